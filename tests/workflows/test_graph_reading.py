"""Definitions: what is accepted, and what is refused with its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.beads.models import Bead
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project
from apps.workflows.graph import Graph
from apps.workflows.graph_library import Found, built_in, graph_check, graph_checked, workflow_for
from apps.workflows.graph_reading import GraphRefused, graph_read

pytestmark = pytest.mark.django_db

MINIMAL = """
name: small
start: build
nodes:
  build: {kind: task}
  merge: {kind: merge, timeout: 90s}
edges:
  - {from: build, to: merge, on: success}
  - {from: build, to: build, on: failure}
  - {from: merge, to: end, on: success}
  - {from: merge, to: build, on: failure}
  - {from: merge, to: build, on: timeout}
"""


def changed(**changes: Any) -> dict[str, Any]:
    """The minimal definition with some of its nodes, or its edges by their number, replaced."""
    data: dict[str, Any] = yaml.load(MINIMAL, Loader=yaml.BaseLoader)
    for key, value in changes.pop("nodes", {}).items():
        data["nodes"][key] = value
    data["edges"] += changes.pop("more", [])
    for number in changes.pop("without", []):
        data["edges"][number] = None
    data["edges"] = [edge for edge in data["edges"] if edge is not None]
    return {**data, **changes}


def edge(source: str, target: str, on: str, **more: Any) -> dict[str, Any]:
    return {"from": source, "to": target, "on": on, **more}


def problems(given: str | dict[str, Any]) -> list[str]:
    try:
        graph_checked(given)
    except GraphRefused as refused:
        return [str(problem) for problem in refused.problems]
    return []


def test_a_small_definition_is_read_with_its_defaults() -> None:
    graph = graph_checked(MINIMAL)
    merge: Any = graph.nodes["merge"]
    assert (merge.timeout, merge.max_attempts, graph.max_cycles) == (90, 6, 20)
    assert graph.way("merge", "success") == "end"
    assert graph.way("merge", "rejected") is None
    assert graph.goes_back("merge", "build")
    assert not graph.goes_back("build", "merge")


def test_every_shipped_workflow_can_be_used_and_says_what_it_is_for() -> None:
    assert set(built_in()) == {"story", "feature", "bug", "ui", "self-improvement", "bootstrap"}
    for graph in built_in().values():
        assert [str(problem) for problem in graph_check(graph)] == []
        assert graph.description
    assert [graph.name for graph in built_in().values() if graph.default] == ["story"]


def test_the_example_of_the_documentation_can_be_used() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    assert problems(example) == []


def test_what_was_written_out_reads_as_the_same_graph() -> None:
    for graph in built_in().values():
        assert graph_read(yaml.safe_dump(graph.content(), sort_keys=False)).sha256 == graph.sha256


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {
                "nodes": {"lonely": {"kind": "wait", "delay": "1h"}},
                "more": [edge("lonely", "end", "success")],
            },
            ["node lonely: it cannot be reached from build"],
        ),
        (
            {
                "nodes": {"loop": {"kind": "verify"}},
                "more": [
                    edge("merge", "loop", "escalated"),
                    edge("loop", "loop", "success"),
                    edge("loop", "loop", "failure"),
                ],
            },
            ["node loop: it goes round without an exit: no way leads from it to an end"],
        ),
        (
            {"without": [2], "more": [edge("merge", "build", "success")]},
            ["goes round without an exit (with merge)"],
        ),
        ({"nodes": {"build": {"kind": "task", "role": "wizard"}}}, ["node build: there is no role 'wizard'"]),
        (
            {"nodes": {"build": {"kind": "task", "persona": "default/nobody"}}},
            ["node build: there is no persona 'default/nobody'"],
        ),
        (
            {"nodes": {"build": {"kind": "task", "role": "cto", "persona": "default/qa-engineer"}}},
            ["node build: the persona default/qa-engineer has the role qa-engineer, not cto"],
        ),
        ({"more": [edge("build", "nowhere", "escalated")]}, ["there is no node 'nowhere'"]),
        ({"start": "begin"}, ["start: there is no node 'begin'"]),
        ({"more": [edge("build", "merge", "success")]}, ["edge build → merge on success: stands here twice"]),
        (
            {"more": [edge("build", "end", "success", priority=-1)]},
            ["edge build → end on success: is never taken: merge comes first on success"],
        ),
        ({"without": [1]}, ["node build: it can end with failure, but no edge says what follows"]),
        (
            {"nodes": {"build": {"kind": "task", "timeout": "1h"}}},
            ["node build: it can end with timeout, but no edge says what follows"],
        ),
        ({"more": [edge("build", "merge", "approved")]}, ["this task ends with success, failure, escalated"]),
        (
            {"without": [0], "more": [edge("build", "end", "success")]},
            ["edge build → end on success: the bead would be closed as done without a merge"],
        ),
        ({"start": "merge"}, ["node merge: it can be reached without a task that makes something first"]),
        (
            {
                "nodes": {"act": {"kind": "action", "action": "fly"}},
                "more": [
                    edge("build", "act", "escalated"),
                    edge("act", "drop", "success"),
                    edge("act", "drop", "failure"),
                ],
            },
            ["node act: there is no action 'fly'"],
        ),
        (
            {
                "nodes": {"hold": {"kind": "wait"}},
                "more": [edge("build", "hold", "escalated"), edge("hold", "build", "success")],
            },
            ["node hold: a wait has either a delay or a signal"],
        ),
        ({"match": [{"types": ["epic"]}]}, ["match 1: nobody works on beads of type 'epic'"]),
        ({"match": [{}]}, ["match 1: a rule names types or labels"]),
        (
            {"without": [0], "more": [edge("build", "merge", "success", labels=["a"])]},
            ["node build: beads without these labels have no way on after success"],
        ),
        ({"nodes": {"build": {"kind": "tusk"}}}, ["node build", "tusk"]),
        ({"nodes": {"build": {"kind": "task", "role_": "x"}}}, ["node build: role_: is not a field"]),
        ({"nodes": {"build": {"kind": "verify", "timeout": "1h"}}}, ["node build: timeout: is not a field"]),
        ({"nodes": {"build": {"kind": "task", "max_attempts": "many"}}}, ["node build: max_attempts: "]),
        ({"nodes": {"build": {"kind": "task", "timeout": "soon"}}}, ["'soon' is no length of time"]),
        ({"nodes": {"Build it": {"kind": "task"}}}, ["node Build it: a key has lower-case words"]),
        ({"nodes": {"end": {"kind": "verify"}}}, ["node end: the names end and drop are the ends"]),
        ({"more": [{"from": "build"}]}, ["edge 6 (build → ? on ?): to: "]),
        ({"colour": "red"}, ["colour: is not a field"]),
        ({"max_cycles": 0}, ["max_cycles: "]),
        ({"name": "Big Thing"}, ["name: "]),
    ],
)
def test_a_graph_that_cannot_work_is_refused_with_the_place(
    changes: dict[str, Any], expected: list[str]
) -> None:
    found = problems(changed(**changes))
    for part in expected:
        assert any(part in problem for problem in found), (part, found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "this is not YAML"),
        ("- a\n- b\n", "a definition has fields"),
        ("", "a definition has fields"),
        (MINIMAL + "start: merge\n", "start: stands here twice (line 13)"),
        (MINIMAL.replace("on: success", "on: sucess", 1), "edge 1 (build → merge on sucess)"),
        ("name: &a x\nstart: *a\n", "start: anchors and aliases are not read (line 1)"),
        ("nodes: " + "[" * 20_000, "nested that deeply"),
        ("#" * 200_000, "at most 131072 characters"),
    ],
)
def test_a_text_that_is_no_definition_says_where(text: str, expected: str) -> None:
    with pytest.raises(BadInput) as refused:
        graph_read(text)
    assert expected in refused.value.message


def test_a_problem_tells_the_line_of_its_node() -> None:
    found = problems(MINIMAL.replace("kind: task", "kind: task, attempts: 3"))
    assert found == ["node build: attempts: is not a field of this place (line 5)"]


def test_the_words_of_the_http_api_are_understood() -> None:
    given = {
        "id": "wf-1",
        "name": "small",
        "workflow_type": "story",
        "is_default": False,
        "nodes": [
            {"node_key": "build", "node_type": "task", "role_required": "qa", "timeout_minutes": 0},
            {"node_key": "ship", "node_type": "commit", "max_attempts": 2, "timeout_minutes": 30},
        ],
        "edges": [
            {"from_node_key": "", "to_node_key": "build", "condition": "success", "priority": 0},
            {"from_node_key": "build", "to_node_key": "ship", "condition": "success"},
            {"from_node_key": "build", "to_node_key": "build", "condition": "failure"},
            {"from_node_key": "ship", "to_node_key": "", "condition": "success"},
            {"from_node_key": "ship", "to_node_key": "build", "condition": "failure"},
            {"from_node_key": "ship", "to_node_key": "build", "condition": "timeout"},
        ],
    }
    graph = graph_checked(given)
    ship: Any = graph.nodes["ship"]
    assert (graph.start, ship.kind, ship.max_attempts, ship.timeout) == ("build", "merge", 2, 1800)


@pytest.mark.parametrize(
    "odd",
    [
        {"edges": 5}, {"edges": {"a": 1}}, {"edges": "abc"},
        {"nodes": [{"node_key": "a", "metadata": "abc"}]}, {"nodes": [{"node_key": "a", "metadata": [1]}]},
    ],
)  # fmt: skip
def test_words_of_the_wrong_types_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(GraphRefused):
        graph_read({"name": "odd", "nodes": [{"node_key": "a", "node_type": "task"}], "edges": [], **odd})


def test_no_node_or_edge_of_a_list_is_lost_on_the_way() -> None:
    task = {"node_key": "a", "node_type": "task"}
    given = {"name": "odd", "nodes": [task, {**task, "node_type": "merge"}, None], "edges": [7]}
    assert problems(given) == [
        "node a: stands here twice",
        "node 3: must be an object",
        "edge 1: must be an object",
    ]


def test_what_no_database_keeps_is_left_out_of_texts() -> None:
    said = MINIMAL + 'description: "A\\0B\\ud800"\n'
    assert graph_read(said).description == "AB?"


def test_a_higher_priority_goes_first_for_beads_with_its_label() -> None:
    graph = graph_checked(
        changed(
            nodes={"look": {"kind": "review"}},
            more=[
                edge("build", "look", "success", labels=["ui"], priority=5),
                edge("look", "merge", "approved"),
                edge("look", "build", "rejected"),
                edge("look", "look", "failure"),
            ],
        )
    )
    assert graph.way("build", "success", ["UI"]) == "look"
    assert graph.way("build", "success", ["build", "guide"]) == "merge"


def bead(kind: str, labels: Sequence[str] = ()) -> Bead:
    return Bead(type=kind, labels=list(labels), project=Project(name="Calculator"))


# -- which workflow a bead gets --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "labels", "name"),
    [
        ("task", [], "story"),
        ("story", [], "story"),
        ("chore", ["build", "guide", "require", "fluid"], "story"),
        ("feature", [], "feature"),
        ("bug", [], "bug"),
        ("bug", ["UI"], "ui"),
        ("feature", ["area/ui"], "ui"),
        ("task", ["ui-design"], "ui"),
        ("task", ["self-improvement"], "self-improvement"),
        ("task", ["self", "improvement"], "story"),
        ("bug", ["ui", "workflow:story"], "story"),
        ("task", ["workflow:bootstrap"], "story"),
    ],
)
def test_labels_say_more_than_types_and_match_whole_words(kind: str, labels: list[str], name: str) -> None:
    workflows = {key: Found(graph) for key, graph in built_in().items()}
    assert workflow_for(bead(kind, labels), workflows).graph.name == name


def graph_named(name: str, match: list[dict[str, Any]], **more: Any) -> Graph:
    return graph_checked(changed(name=name, match=match, **more))


def test_of_equal_matches_the_narrower_level_wins_then_the_name() -> None:
    workflows = {
        "b": Found(graph_named("b", [{"types": ["bug"]}])),
        "a": Found(graph_named("a", [{"types": ["bug"]}])),
        "own": Found(graph_named("own", [{"types": ["bug"]}]), level=2),
    }
    assert workflow_for(bead("bug"), workflows).graph.name == "own"
    del workflows["own"]
    assert workflow_for(bead("bug"), workflows).graph.name == "a"
    both = graph_named("z", [{"types": ["bug"], "labels": ["db"]}])
    assert workflow_for(bead("bug", ["db"]), {**workflows, "z": Found(both)}).graph.name == "z"
    with pytest.raises(NotFound, match="No workflow is for"):
        workflow_for(bead("chore"), workflows)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("nodes", {}, "nodes: must not be empty"),
        ("edges", [], "edges: must not be empty"),
        ("edges", 7, "edges: must be a list"),
        ("nodes", 7, "nodes: must be names with values below them"),
    ],
)
def test_what_is_missing_is_said_in_words_for_people(field: str, value: Any, said: str) -> None:
    assert said in problems({**changed(), field: value})
    without = changed()
    del without[field]
    assert f"{field}: is missing" in problems(without)
