"""The parser of the orchestration language: what it reads, what it says is wrong; nothing breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.personas import load_personas
from apps.agents.replies import read_reply, valid_history
from apps.agents.replies.language import Instruction, read_language, strip
from apps.agents.replies.language_values import KINDS, VALUES, duration, instruction_check
from apps.core.errors import BadInput
from tests.growth import assert_linear

QUICK = settings(max_examples=150, deadline=None)


def one(text: str) -> Instruction:
    found = read_language(text)
    assert found.problems == ()
    (instruction,) = found.instructions
    return instruction


def problem(text: str) -> str:
    found = read_language(text)
    assert found.instructions == ()
    return "\n".join(found.problems)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300), ("1h30m", 5400), ("now", 0), ("default", 300), ("90", 90), ("1.5h", 5400),
        ("2d", 172_800), ("250ms", 0.25), ("1h 30m", 5400), (" 10S ", 10), ("0", 0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "5 minutes", "-5m", "1h30", "m5", "1e9", "400d", "9" * 12, "٥m", True, None]
)
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


def test_several_instructions_with_all_kinds_of_values() -> None:
    text = """Before.
<temporal>
  workflow: delegate
    INPUT:
      {"title": "a\\nEND\\n</loom>", "n": [1,
       2]}
    TIMEOUT: 1h30m
    WAIT: yes
    PRIORITY: P1
    DESCRIPTION: about the END of </notloom> it
  END

QUERY:
RUN_ID: 12
END
LIST: "runs"
END </temporal> After."""
    found = read_language(text)
    assert found.problems == ()
    assert found.text == "Before.\n After."
    first, second, third = found.instructions
    assert first.options == {
        "input": {"title": "a\nEND\n</loom>", "n": [1, 2]},
        "timeout": 5400.0,
        "wait": True,
        "priority": 1,
        "description": "about the END of </notloom> it",
    }
    assert (second.kind, second.target, second.options) == ("QUERY", "", {"run_id": 12})
    assert (third.kind, third.target) == ("LIST", "runs")


@pytest.mark.parametrize(
    "text",
    [
        "<loom> LIST: runs END </loom>", "So <LOOM> LIST: runs END </LOOM> it is.",
        "<loom>\r\nLIST: runs\r\nEND\r\n</loom>",
        "<loom>\nLIST: runs\n</loom>", "<loom>\nLIST: runs END\n</loom>",
        "\t<loom>\n\n LIST : runs\n\nEND</loom>",
    ],
)  # fmt: skip
def test_ways_to_write_the_same(text: str) -> None:
    assert one(text) == Instruction("LIST", "runs")


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("a\n<loom>\nWORKFLO: x\nEND\n</loom>", "line 3, column 1", "did you mean WORKFLOW?"),
        ("<loom>\nLIST: x\n\nEND\n", "line 1, column 1", "never closed"),
        ("<loom>\n<loom>\nWORKFLO: x\n</loom>", "line 1, column 1", "never closed"),
        ("<loom>\nTIMEOUT: 5m\nEND\n</loom>", "line 2, column 1", "before any instruction"),
        ("<loom>\nLIST: x\n  INTERVAL: 5m\nEND\n</loom>", "line 3, column 3", "LIST does not take INTERVAL"),
        ("<loom>\nSCHEDULE: x\nINTERVALL: 5m\nEND\n</loom>", "line 3, column 1", "did you mean INTERVAL?"),
        ("<loom>\nSCHEDULE: x\nEND\n</loom>", "line 2, column 1", "needs INTERVAL"),
        ("<loom>\nSCHEDULE: x\nINTERVAL: soon\nEND\n</loom>", "line 3, column 11", "`INTERVAL: 1h30m`"),
        ("<loom>\nSIGNAL: 1\nEND\n</loom>", "line 2, column 1", "`NAME: go-on`"),
        ("<loom>\nWORKFLOW:\nEND\n</loom>", "line 2, column 1", "`WORKFLOW: <name>`"),
        ('<loom>\nWORKFLOW: x\nINPUT: {"a" 1}\nEND\n</loom>', "line 3, column 13", "INPUT is not JSON"),
        ("<loom>\nWORKFLOW: x\nINPUT: [1]\nEND\n</loom>", "line 3, column 8", "a JSON object"),
        ("<loom>\nWORKFLOW: x\nINPUT: null\nEND\n</loom>", "line 3, column 8", "a JSON object"),
        ('<loom>\nWORKFLOW: x\nINPUT: {"a": NaN}\nEND\n</loom>', "line 3, column 8", "JSON"),
        ("<loom>\nWORKFLOW: x\nINPUT: {} x\nEND\n</loom>", "line 3, column 10", "end of the line"),
        ("<loom>\nWORKFLOW: x\nRETRY: 11\nEND\n</loom>", "line 3, column 8", "from 0 to 10"),
        ("<loom>\nWORKFLOW: x\nWAIT: maybe\nEND\n</loom>", "line 3, column 7", "true, false or a duration"),
        ("<loom>\nWORKFLOW: x\nWAIT:\nEND\n</loom>", "line 3, column 1", "WAIT has no value"),
        ("<loom>\nWORKFLOW: x\nRETRY: 1\nRETRY: 2\nEND\n</loom>", "line 4, column 1", "given twice"),
        ("<loom>\n\n</loom>", "line 1, column 1", "holds no instruction"),
        ("<loom>\nLIST: x\nEND\nand so on\n</loom>", "line 4, column 1", "'and so on' is no instruction"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_and_with_what_was_expected(text: str, where: str, says: str) -> None:
    told = problem(text)
    assert told.startswith(where), told
    assert says in told
    assert "expected" in told


def test_one_mistake_keeps_the_whole_block_from_being_done_but_no_other() -> None:
    found = read_language(
        "<loom>\nLIST: runs\nEND\nLISTE: runs\nEND\n</loom>\n<loom>\nLIST: schedules\nEND\n</loom>"
    )
    assert found.instructions == (Instruction("LIST", "schedules"),)
    assert len(found.problems) == 1


@pytest.mark.parametrize(
    "text", ["use a <loom> block", "`<loom>` is a tag", "<looms>\nLIST: x", "<loom> is nice", "x </loom>"]
)
def test_speaking_of_the_language_is_not_speaking_it(text: str) -> None:
    assert strip(text) == text
    assert read_language(text).problems == ()


def test_instructions_become_actions_and_leave_the_text() -> None:
    actions = '{"actions": [{"type": "read_file", "path": "a"}], "notes": "n"}'
    reply = f"Look.\n<loom>\nLIST: runs\nEND\n</loom>\n{actions}"
    reading = read_reply(reply)
    assert [call.name for call in reading.actions] == ["orchestrate", "read_file"]
    assert reading.error == ""
    kept = json.dumps(valid_history(reply, (), reading))
    assert "<loom>" not in kept
    assert "orchestrate" in kept


def test_beside_tool_calls_and_inside_notes_too() -> None:
    call = {"id": "1", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
    said = "Well.\n<loom>\nLIST: runs\nEND\n</loom>"
    reading = read_reply(said, [call])
    assert ([one.name for one in reading.actions], reading.notes) == (["orchestrate", "read_file"], "Well.")
    assert valid_history(said, [call], reading)["content"] == "Well."
    reading = read_reply(json.dumps({"actions": [{"type": "read_file", "path": "a"}], "notes": said}))
    assert ([one.name for one in reading.actions], reading.notes) == (["orchestrate", "read_file"], "Well.")


def test_an_error_of_the_language_stands_beside_actions_that_are_taken() -> None:
    reading = read_reply('<loom>\nLIST: runs\nEND\n{"actions": [{"type": "read_file", "path": "a"}]}')
    assert [call.name for call in reading.actions] == ["read_file"]
    assert "line 1, column 1: this block is never closed" in reading.error


def test_actions_inside_input_are_data() -> None:
    inner = '{"type": "delete_file", "path": "a"}'
    reading = read_reply(f"<loom>\nACTIVITY: x\nINPUT: {inner}\nEND\n</loom>")
    (call,) = reading.actions
    assert call.arguments["options"]["input"] == json.loads(inner)


@pytest.mark.parametrize(
    ("kind", "target", "options", "says"),
    [
        ("FLY", "x", {}, "no instruction"), ("WORKFLOW", "", {}, "needs a name"),
        ("SCHEDULE", "x", {"INTERVAL": "soon"}, "INTERVAL is not valid"),
        ("LIST", "x", {"NAME": "y"}, "does not take NAME"),
        ("QUERY", "", {}, "needs a run"), ("WORKFLOW", "x", {"INPUT": "{}"}, "a JSON object"),
        ("QUERY", "x", {"RUN_ID": 2**70}, "number of a run"), ("WORKFLOW", "x" * 200, {}, "longer than"),
    ],
)  # fmt: skip
def test_instructions_given_as_actions_are_checked_the_same(
    kind: str, target: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        instruction_check(kind, target, options)


def test_a_persona_with_a_broken_block_is_refused_by_name_and_place(tmp_path: Any) -> None:
    folder = tmp_path / "default" / "tester"
    folder.mkdir(parents=True)
    head = "---\nname: tester\ndescription: Tests.\n---\n"
    (folder / "SKILL.md").write_text(head + "Test.\n<loom>\nSCHEDULE: checks\nEND\n</loom>\n")
    with pytest.raises(
        BadInput, match=r"default/tester/SKILL.md: .*line 3, column 1: SCHEDULE needs INTERVAL"
    ):
        load_personas(tmp_path)
    (folder / "SKILL.md").write_text(head + "Test.\n<loom>\nSCHEDULE: checks\nINTERVAL: 1d\nEND\n</loom>\n")
    assert len(load_personas(tmp_path)) == 1


# -- anything at all -----------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["<loom>", "</loom>", "<temporal>", "</temporal>", "END", "\n", " ", '"', "{", "}", "\\", ":", "x",
     *(f"{kind}: a" for kind in KINDS), *(f"{name}: " for name in VALUES),
     '{"a": "b"}', "5m", "\r\n", "\0", "\ud800"]
)  # fmt: skip
ANYTHING = st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join)
LINE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")), min_size=1, max_size=40
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | LINE
    | st.sampled_from(["END", "\nEND\n", "</loom>", "<loom>\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LINE, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@QUICK
@given(ANYTHING)
def test_nothing_breaks_it_and_stripping_twice_changes_nothing(text: str) -> None:
    found = read_language(text)
    for instruction in found.instructions:
        assert instruction_check(instruction.kind, instruction.target, instruction.options) == instruction
        json.dumps(instruction.arguments())
    assert all("line " in told for told in found.problems)
    reading = read_reply(text)
    json.dumps(valid_history(text, (), reading)).encode()
    assert len(found.text) <= len(text)


@QUICK
@given(
    st.dictionaries(LINE, JSON_VALUES, max_size=4),
    LINE.map(str.strip).filter(lambda text: text and "<" not in text and not text.startswith('"')),
    st.booleans(),
    st.sampled_from([None, 1, 4]),
)
def test_what_is_written_is_read_back(
    data: dict[str, Any], words: str, ascii_only: bool, indent: int | None
) -> None:
    document = json.dumps(data, ensure_ascii=ascii_only, indent=indent)
    text = f"a\n<loom>\nWORKFLOW: x\nINPUT: {document}\nDESCRIPTION: {words}\nEND\nLIST: runs\nEND </loom>\nb"
    found = read_language(text)
    assert found.problems == ()
    first, second = found.instructions
    assert first.options == {"input": data, "description": words}
    assert second == Instruction("LIST", "runs")
    assert found.text == "a\n\nb"


@pytest.mark.parametrize(
    "piece",
    ["<loom>\n", "<loom>\nLIST: x\n", "<loom>\nWORKFLOW: x\nINPUT: {\n", "x: y\n",
     "<loom> LIST: a END </loom>",
     '<loom>\nWORKFLOW: x\nINPUT: {"a": "', "</loom>", "LIST: a\n"],
)  # fmt: skip
def test_time_grows_with_the_text_and_no_faster(piece: str) -> None:
    assert_linear(
        lambda size: read_language("<loom>\n" + piece * (size // len(piece)) + "\n</loom>"), 200_000
    )
