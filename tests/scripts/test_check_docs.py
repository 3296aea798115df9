from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_docs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "README.md").write_text("# Loom\n\nSee [the design](docs/architecture.md#the-layers).\n")
    (docs / "architecture.md").write_text(
        "# Architecture\n\n## The layers\n\n```mermaid\nflowchart TD\n  a --> b\n```\n"
    )
    (docs / "dependencies.md").write_text("| `django` | web | why |\n| `ruff` | lint | why |\n")
    (tmp_path / "requirements.in").write_text("# comment\ndjango==5.2\n")
    (tmp_path / "requirements-dev.in").write_text("-c requirements.txt\nruff==1\n")
    return tmp_path


def test_a_tree_in_order_has_no_problems(tree: Path) -> None:
    assert list(check_docs.broken_links(tree)) == []
    assert list(check_docs.unexplained_pins(tree)) == []
    assert list(check_docs.wrong_arrows(tree, {("a", "b")})) == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[x](docs/gone.md)", "README.md: docs/gone.md is not there"),
        ("[x](docs/architecture.md#gone)", "README.md: docs/architecture.md#gone has no such heading"),
        ("[x](#gone)", "README.md: #gone has no such heading"),
    ],
)
def test_a_broken_link_is_named(tree: Path, link: str, problem: str) -> None:
    (tree / "README.md").write_text(f"# Loom\n\n{link}\n")
    assert list(check_docs.broken_links(tree)) == [problem]


@pytest.mark.parametrize("text", ["[x](https://example.org/gone)", "```\n[x](gone.md)\n```", "[x](#loom)"])
def test_links_elsewhere_and_examples_are_left_alone(tree: Path, text: str) -> None:
    (tree / "README.md").write_text(f"# Loom\n\n{text}\n")
    assert list(check_docs.broken_links(tree)) == []


def test_pins_and_reasons_must_match_both_ways(tree: Path) -> None:
    (tree / "requirements.in").write_text("django==5.2\nuvicorn[standard]==1\n")
    (tree / "requirements-dev.in").write_text("")
    assert list(check_docs.unexplained_pins(tree)) == [
        "docs/dependencies.md: uvicorn is pinned but has no reason",
        "docs/dependencies.md: ruff is explained but not pinned",
    ]


def test_missing_and_invented_arrows_are_named(tree: Path) -> None:
    assert list(check_docs.wrong_arrows(tree, {("b", "c")})) == [
        "docs/architecture.md: the code has b --> c, the diagram does not",
        "docs/architecture.md: the diagram has a --> b, the code does not",
    ]
    (tree / "docs" / "architecture.md").unlink()
    assert list(check_docs.wrong_arrows(tree, set())) == ["docs/architecture.md: there is no mermaid diagram"]


def test_an_arrow_that_a_chain_implies_is_left_out() -> None:
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("x", "c")}
    assert check_docs.reduced(edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("x", "c")}


def test_the_diagram_lists_arrows_from_the_highest_layer_down() -> None:
    order: list[set[str]] = [{"top"}, {"left", "right"}, {"core"}]
    edges = {("left", "core"), ("top", "right"), ("right", "core"), ("top", "left")}
    assert check_docs.diagram(edges, order).splitlines() == [
        "flowchart TD",
        "    top --> left",
        "    top --> right",
        "    left --> core",
        "    right --> core",
    ]


def test_it_sees_the_imports_of_the_real_apps() -> None:
    edges = check_docs.imports_between_apps()
    assert ("events", "core") in edges
    assert not any(source == "core" for source, _ in edges)
    assert set().union(*edges) <= set().union(*check_docs.layers(check_docs.ROOT))
