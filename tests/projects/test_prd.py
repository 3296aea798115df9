"""Reading PRDs: real ones, bad ones, and the same one again after it was edited."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import BadInput, LoomError, TooLarge
from apps.projects.prd import (
    MAX_BYTES,
    MAX_REQUIREMENTS,
    Statement,
    prd_decode,
    prd_title,
    requirement_keys,
    requirements_cut,
)

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "apps" / "providers" / "demo" / "prd.md"
REAL = Path(os.environ.get("LOOM_TEST_PRDS") or ROOT.parent / "shared" / "data" / "prds")


def texts(prd: str) -> list[str]:
    return [statement.text for statement in requirements_cut(prd)]


# -- real documents --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title", "count"),
    [
        ("prd-5", "Product Requirements Template and Automated Generation Tool", 11),
        ("prd-9", "Business Travel Intelligent Planning System", 22),
        ("prd-14", "Golf Tourist Consumer Behavior Survey and Data Analysis System", 38),
        ("prd-23", "PyCombinator Programming Language Interpreter", 20),
        (
            "prd-31",
            "Intelligent Analysis System for College Students' Self-Control and Attention Stability",
            50,
        ),
    ],
)
def test_real_prds_are_cut_into_statements_that_stand_alone(name: str, title: str, count: int) -> None:
    path = REAL / f"{name}.md"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine; LOOM_TEST_PRDS names the directory")
    text = prd_decode(path.read_bytes())
    statements = requirements_cut(text)
    assert prd_title(text) == title
    assert len(statements) == count
    for statement in statements:
        assert statement.section, statement
        assert len(statement.text) > 15, statement
        assert not statement.text.endswith(":"), statement
        assert not re.search(r"\*\*[A-Z]", statement.text), statement
        assert "Overview" not in statement.section


def test_nothing_of_a_real_prd_that_stands_in_a_list_of_requirements_is_lost() -> None:
    path = REAL / "prd-5.md"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine; LOOM_TEST_PRDS names the directory")
    whole = " ".join(texts(prd_decode(path.read_bytes())))
    for words in (
        "LBP (Local Binary Pattern)",
        "Exit tool",
        "use a timestamp as the file name",
        "Invalid menu",
    ):
        assert words in whole


def test_the_sample_has_the_requirements_its_script_speaks_of() -> None:
    statements = requirements_cut(prd_decode(SAMPLE.read_bytes()))
    assert len(statements) == 14
    assert {statement.section for statement in statements} == {
        "Functional requirements",
        "Quality requirements",
    }


# -- what counts -----------------------------------------------------------------------------------


def test_lists_below_requirements_count_and_other_lists_do_not() -> None:
    prd = """# Product

## Overview
- This is a product for people.

## Users
- Treasurers
- Friends

## Functional requirements
- Add an amount.
- List amounts.

## Technology
- Python

## Out of scope
- Currencies must not be converted.

## Glossary
- Amount: some money.
"""
    assert texts(prd) == ["Add an amount.", "List amounts."]


def test_what_asks_for_something_counts_elsewhere_too() -> None:
    prd = "## Features\n- Add.\n\n## Display\n- Errors must be red.\n- Blue is nice.\n- Supports dark mode.\n"
    assert texts(prd) == ["Add.", "Errors must be red.", "Supports dark mode."]


def test_without_any_such_heading_every_list_counts_but_overviews() -> None:
    prd = "# P\n\n## Introduction\n- A tool.\n\n## Money\n- Add amounts\n- Sum them\n"
    assert texts(prd) == ["Add amounts", "Sum them"]


def test_an_overview_counts_where_there_is_nothing_else() -> None:
    assert texts("# P\n\n## Overview\n- Add amounts\n- Sum them\n") == ["Add amounts", "Sum them"]


def test_the_name_of_the_document_says_nothing_about_its_parts() -> None:
    prd = "# Product requirements\n\n## Motivation\n- People forget.\n\n## Storage\n- Keep links.\n"
    assert texts(prd) == ["Keep links."]


def test_a_section_without_a_list_is_cut_into_sentences() -> None:
    prd = """# P
## Functional requirements
### Login
Users sign in. They must give a password. It is long.
### Links
- Keep links.
"""
    assert requirements_cut(prd) == [
        Statement("Login", "They must give a password."),
        Statement("Links", "Keep links."),
    ]


def test_prose_is_cut_into_sentences_that_demand_something() -> None:
    prd = "A tool for teams. It must store links. It should list them! Nobody knows why.\n\nIt can search."
    assert texts(prd) == ["It must store links.", "It should list them!", "It can search."]


def test_the_plainest_text_is_a_requirement_too() -> None:
    assert texts("Make me a calculator") == ["Make me a calculator"]


# -- how a statement reads -------------------------------------------------------------------------


def test_details_join_the_item_they_belong_to() -> None:
    prd = "## Features\n- Export reports:\n  - as CSV\n  - as PDF\n    with numbers\n- Import\n  them again\n"
    assert texts(prd) == ["Export reports: as CSV; as PDF with numbers", "Import them again"]


def test_a_bold_topic_gives_its_name_to_each_item_below_it() -> None:
    prd = "## Features\n- **Reports**\n    - Export as CSV\n    - **Formats**\n        - PDF\n- **Search**\n"
    assert texts(prd) == ["Reports: Export as CSV", "Reports: Formats: PDF", "Search"]


def test_a_labeled_paragraph_takes_in_the_list_below_it() -> None:
    prd = """## Features
**Menu**: Show a menu with:
  1. Create
  2. Exit

- **Errors:** Tell them.

**Output**: Print the path.
"""
    assert texts(prd) == [
        "Menu: Show a menu with: Create; Exit",
        "Errors: Tell them.",
        "Output: Print the path.",
    ]


def test_numbers_boxes_and_bullets_are_no_part_of_a_statement() -> None:
    prd = "## Features\n1. One\n2) Two\n* [ ] Three\n+ [x] Four\n• Five\n"
    assert texts(prd) == ["One", "Two", "Three", "Four", "Five"]


def test_rows_of_a_table_are_statements_and_its_head_is_not() -> None:
    prd = "## Requirements\n\n| Id | What |\n|----|:-----|\n| F1 | Add **links** |\n| F2 | List them |\n"
    assert texts(prd) == ["F1 – Add links", "F2 – List them"]


def test_code_and_comments_are_not_read() -> None:
    prd = "## Features\n- Add\n```\n- not this\n```\n<!--\n- nor this\n-->\n- List\n"
    assert texts(prd) == ["Add", "List"]


def test_code_that_is_never_closed_does_not_swallow_the_rest() -> None:
    assert texts("## Features\n- Add\n```\nx\n```\n- List\n```\n- Sum\n") == ["Add", "List", "Sum"]


def test_underlined_and_bold_lines_are_headings_too() -> None:
    prd = "Product\n=======\n\n**Features**\n\n- Add\n\nGlossary\n--------\n- Amount: money\n\n---\n"
    assert requirements_cut(prd) == [Statement("Features", "Add")]


def test_the_same_statement_counts_once() -> None:
    assert texts("## Features\n- Add **links**.\n- add links\n- List links.\n") == [
        "Add links.",
        "List links.",
    ]


def test_more_than_a_plan_can_hold_is_refused_not_cut_off() -> None:
    prd = "## Features\n" + "".join(f"- Feature number {n}\n" for n in range(MAX_REQUIREMENTS + 1))
    with pytest.raises(TooLarge, match=f"has {MAX_REQUIREMENTS + 1} requirements"):
        requirements_cut(prd)


@given(st.text(alphabet="#-*|`: \n\tabcM.1", max_size=300))
def test_any_text_is_read_without_stumbling_and_nothing_empty_comes_out(text: str) -> None:
    for statement in requirements_cut(text):
        assert statement.text.strip()
        assert "\n" not in statement.text


# -- bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", BadInput, "is empty"),
        (b" \r\n\t\n", BadInput, "is empty"),
        (b"\xef\xbb\xbf", BadInput, "is empty"),
        (b"PK\x03\x04\x00\x00", BadInput, "is a binary file"),
        ("Größe".encode("latin-1"), BadInput, "is not UTF-8 text (byte 2 cannot be read)"),
        ("Links".encode("utf-16"), BadInput, "is not UTF-8 text (byte 0 cannot be read)"),
        (b"x" * (MAX_BYTES + 1), TooLarge, "has 1.0 MB; at most 1 MB are read"),
        (b"x" * (5 * MAX_BYTES), TooLarge, "has 5.0 MB; at most 1 MB are read"),
    ],
    ids=["empty", "blank", "only a mark", "binary", "latin-1", "utf-16", "large", "5 MB"],
)
def test_what_is_no_prd_is_refused_in_one_sentence(data: bytes, kind: type[LoomError], words: str) -> None:
    with pytest.raises(kind) as refused:
        prd_decode(data, source="plan.md")
    assert refused.value.message.startswith("plan.md ")
    assert words in refused.value.message
    assert refused.value.hint


def test_marks_and_line_ends_of_other_systems_are_understood() -> None:
    assert prd_decode(b"\xef\xbb\xbf# A\r\n\r- b\r\n") == "# A\n\n- b\n"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Splitfair\n", "Splitfair"),
        ("### Links PRD (Product Requirements Document)\n", "Links"),
        ("PRD: Links\n", "Links"),
        ("# Product Requirements Document - Links\n", "Links"),
        ("# **Links** — PRD\n", "Links"),
        ("# PRD\n", "PRD"),
        ("words before\n# Links\n", "Links"),
        ("\n\n", "Untitled product"),
    ],
)
def test_the_title_is_the_name_of_the_product(text: str, title: str) -> None:
    assert prd_title(text) == title


# -- keys ------------------------------------------------------------------------------------------


def keyed(existing: dict[str, str], *wanted: str) -> dict[str, str]:
    return {
        key: row.text for key, row in requirement_keys(existing, [Statement("", text) for text in wanted])
    }


def test_statements_keep_their_ids_when_the_prd_is_reordered_and_reworded_in_dress_only() -> None:
    first = keyed({}, "Add links.", "List links.", "Search links.")
    assert list(first) == ["R-001", "R-002", "R-003"]
    again = keyed(first, "Search links", "New one.", "**Add** links.")
    assert again == {"R-003": "Search links", "R-004": "New one.", "R-001": "**Add** links."}


def test_an_id_is_never_given_to_another_statement() -> None:
    first = keyed({}, "Add links.", "List links.")
    second = keyed(first, "Add links.")
    third = keyed(first | second, "Add links.", "Share links.", "List links.")
    assert third == {"R-001": "Add links.", "R-003": "Share links.", "R-002": "List links."}
