"""Actions that run, look at git, speak to the platform; how calls are bound and how models are told."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.agents.actions import (
    REGISTRY,
    ActionError,
    AskQuestion,
    CreateBead,
    RequestDecision,
    SubmitReview,
    UpdateBead,
    bind,
    manual_for,
    resolve,
    tools_for,
)
from apps.agents.actions.base import LIMIT, clip
from apps.agents.replies import Call, written
from apps.core.errors import Conflict, Unavailable
from tests.agents.actions_room import Room, make_room

EVERYTHING = set(REGISTRY)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return make_room(tmp_path_factory.mktemp("room"))


def bound(name: str, **arguments: Any) -> Any:
    return bind(Call("1", name, arguments), EVERYTHING)


def refused(name: str, allowed: set[str] = EVERYTHING, **arguments: Any) -> str:
    with pytest.raises(ActionError) as caught:
        bind(Call("1", name, arguments), allowed)
    return str(caught.value)


# -- running ---------------------------------------------------------------------------------------


def test_a_command_shows_its_exit_code_and_output(room: Room) -> None:
    result = room.do("run_command", command="echo out; echo err >&2; exit 3")
    assert not result.ok
    assert result.text.startswith("Exit code 3 after ")
    assert result.text.endswith("\nout\nerr")
    assert result.data["exit_code"] == 3
    assert result.changed, "a command may have changed files"


def test_a_command_without_output_says_so(room: Room) -> None:
    assert room.do("run_command", command="true").text.endswith("\n(no output)")


def test_the_ends_of_a_long_output_are_shown(room: Room) -> None:
    text = room.do("run_command", command="echo first; seq 100000; echo last").text
    assert "first" in text
    assert text.endswith("last")
    assert "characters left out" in text
    assert len(text) < LIMIT + 200


def test_a_command_that_runs_too_long_says_so(room: Room) -> None:
    result = room.do("run_command", command="echo begun; sleep 5", timeout=0.3)
    assert not result.ok
    assert "the time it had" in result.text
    assert "begun" in result.text


def test_commands_may_come_as_lists_and_with_a_directory() -> None:
    assert bound("bash", cmd=["ls", "a b"]).command == "ls 'a b'"
    assert bound("run_command", command="ls", working_dir="src/a b").command == "cd 'src/a b' && ls"
    assert bound("run_command", command="ls", cwd=".").command == "ls"


def test_checks_report_verdict_counts_and_the_output_of_what_failed(room: Room) -> None:
    assert room.do("run_tests", test_pattern="x").ok
    (room.root / "shop/data.json").write_text("{")
    result = room.do("run_tests")
    assert not result.ok
    assert "json: failed (exit code 1)" in result.text
    assert "Expecting property name" in result.text
    assert result.data["checks"][0]["exit_code"] == 1
    room.workspace.restore(room.context.base)


def test_a_kind_of_check_that_the_project_lacks_is_told(room: Room) -> None:
    result = room.do("build_project")
    assert not result.ok
    assert "no build step" in result.text


# -- git -------------------------------------------------------------------------------------------


def test_git_shows_status_diff_and_log(room: Room) -> None:
    room.do("edit_file", path="shop/till.py", old_text="0.19", new_text="0.2")
    assert "shop/till.py" in room.do("git_status").text
    assert "+    return price * 0.2" in room.do("git_diff", paths="shop/till.py").text
    assert "price" not in room.do("git_diff", paths=["README.md"]).text
    assert "Begin" in room.do("git_log", max_count=1).text
    room.workspace.restore(room.context.base)


@pytest.mark.parametrize("name", ["git_commit", "git_push", "commit"])
def test_committing_is_answered_with_the_truth_by_every_role(room: Room, name: str) -> None:
    result = bind(Call("1", name, {"commit_message": "x", "files": ["a"]}), {"done"}).run(room.context)
    assert result.ok
    assert "Nothing was committed" in result.text
    assert "git_commit" not in manual_for(["done"])


# -- the desk --------------------------------------------------------------------------------------

DESK: list[tuple[str, dict[str, Any], str, str]] = [
    ("create_bead", {"title": "Parse dates", "type": "story"}, "bead_create", ""),
    ("update_bead", {"bead": "b-1", "title": "Parse all dates"}, "bead_update", ""),
    ("delegate", {"role": "qa", "title": "Test dates", "description": "all"}, "bead_delegate", ""),
    ("ask_question", {"question": "Which?"}, "question_ask", "wait"),
    ("request_decision", {"question": "Which?", "options": ["a", "b"]}, "decision_request", "wait"),
    ("send_message", {"to_role": "qa", "subject": "x", "body": "y"}, "message_send", ""),
    ("remember", {"note": "use pytest"}, "note_remember", ""),
    ("done", {"summary": "all works"}, "work_claim", "claim"),
    ("submit_review", {"verdict": "approve"}, "review_submit", "review"),
    ("decide", {"choice": "a", "rationale": "simple"}, "decision_decide", "decide"),
]


@pytest.mark.parametrize(("name", "arguments", "method", "ends"), DESK)
def test_the_desk_is_asked_and_its_answer_shown(
    room: Room, name: str, arguments: dict[str, Any], method: str, ends: str
) -> None:
    room.desk.asked.clear()
    room.context.index = 7
    result = room.do(name, **arguments)
    assert (result.ok, result.text, result.ends) == (True, f"{method} was done", ends)
    ((asked, action, index),) = room.desk.asked
    assert (asked, type(action)) == (method, REGISTRY[name])
    assert index in {7, None}


@pytest.mark.parametrize(("name", "arguments", "method", "ends"), DESK)
def test_a_refusal_of_the_desk_is_shown_with_its_hint_and_ends_nothing(
    room: Room, name: str, arguments: dict[str, Any], method: str, ends: str
) -> None:
    room.desk.refusal = Conflict(f"{method} cannot be.", hint="Try otherwise.")
    result = room.do(name, **arguments)
    room.desk.refusal = None
    assert (result.ok, result.text, result.ends) == (False, f"{method} cannot be.\nTry otherwise.", "")


def test_trouble_of_the_platform_is_not_put_on_the_model(room: Room) -> None:
    room.desk.refusal = Unavailable("The database is gone.")
    with pytest.raises(Unavailable):
        room.do("remember", note="something")
    room.desk.refusal = None


def test_a_full_disk_is_trouble_of_the_platform_and_a_refused_file_is_not(room: Room) -> None:
    def failing(code: int) -> Callable[[Path, bytes], None]:
        def write(path: Path, data: bytes) -> None:
            raise OSError(code, "no")

        return write

    kept, room.context.write = room.context.write, failing(errno.ENOSPC)
    with pytest.raises(Unavailable, match="full"):
        room.do("write_file", path="x", content="y")
    room.context.write = failing(errno.EACCES)
    assert not room.do("write_file", path="x", content="y").ok
    room.context.write = kept


# -- names and arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("read_code", "read_file"), ("read", "read_file"), ("edit_code", "edit_file"), ("edit", "edit_file"),
        ("write", "write_file"), ("scope", "read_tree"), ("tree", "read_tree"), ("search", "search_text"),
        ("bash", "run_command"), ("test", "run_tests"), ("build", "build_project"), ("close_bead", "done"),
        ("escalate_ceo", "request_decision"), ("ask_followup", "ask_question"), ("rename_file", "move_file"),
        ("delegate_task", "delegate"), ("send_agent_message", "send_message"), ("git_push", "git_commit"),
        ("approve_bead", "submit_review"), ("ReadFile", "read_file"), ("read-file", "read_file"),
        ("functions.read_file", "read_file"), (" READ_FILE ", "read_file"),
    ],
)  # fmt: skip
def test_other_names_of_an_action_are_understood(name: str, canonical: str) -> None:
    kind = resolve(name)
    assert kind is not None
    assert kind.name == canonical


def test_no_two_actions_share_a_name() -> None:
    names = [name for kind in REGISTRY.values() for name in (kind.name, *kind.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("read_file", {"file": "a"}, {"path": "a"}),
        ("read_file", {"filePath": "a", "offset": "3"}, {"path": "a", "offset": 3}),
        ("read_tree", {"path": "a", "max_depth": 2, "limit": 9}, {"path": "a", "depth": 2}),
        ("edit", {"path": "a", "old": "x", "new": "y"}, {"path": "a", "old_text": "x", "new_text": "y"}),
        ("edit", {"path": "a", "oldText": "x", "newText": ""}, {"old_text": "x", "new_text": ""}),
        ("write", {"filename": "a", "content": 12}, {"path": "a", "content": "12"}),
        ("move_file", {"source_path": "a", "target_path": "b"}, {"source": "a", "target": "b"}),
        ("rename_file", {"source_path": "d/a", "new_name": "b"}, {"source": "d/a", "target": "d/b"}),
        ("git_diff", {"paths": '["a", "b"]'}, {"paths": ["a", "b"]}),
        ("git_diff", {"path": "a"}, {"paths": ["a"]}),
        ("done", {"reason": "all works", "bead_id": "b-1"}, {"summary": "all works"}),
        ("close_bead", {"reason": "all works", "commands": "make"}, {"commands": ["make"]}),
        ("approve_bead", {"bead_id": "b-1"}, {"verdict": "approve"}),
        ("reject_bead", {"reason": "no tests"}, {"verdict": "reject", "comments": "no tests"}),
        ("submit_review", {"verdict": "LGTM"}, {"verdict": "approve"}),
        ("send_agent_message", {"to_agent_role": "qa", "message_subject": "s", "message_body": "b"},
         {"to_role": "qa", "subject": "s", "body": "b"}),
        ("create_bead", {"title": "Dates", "bead_type": "bug"}, {"type": "bug"}),
        ("create_bead", {"title": "Dates", "priority": "P0"}, {"priority": 0}),
        ("create_bead", {"bead": {"title": "Parse", "type": "epic", "project_id": "p"}}, {"type": "epic"}),
        ("create_bead", {"title": "Parse", "blocked_by": "b-1", "priority": "high"}, {"blocked_by": ["b-1"]}),
        ("update_bead", {"id": "b-1", "priority": "low"}, {"bead": "b-1", "priority": 3}),
        ("read_file", {"path": "a", "notes": "why", "reason": "because", "id": "1"}, {"path": "a"}),
    ],
)  # fmt: skip
def test_arguments_under_other_names_and_forms_are_understood(
    name: str, arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    action = bound(name, **arguments)
    assert {key: getattr(action, key) for key in expected} == expected


def test_an_edit_that_brings_a_patch_is_a_patch() -> None:
    assert bound("edit_code", path="a", patch="--- a\n+++ a\n").name == "apply_patch"


def test_update_bead_knows_which_fields_were_given() -> None:
    action: UpdateBead = bound("update_bead", bead="b-1", blocked_by=[], drop=False)
    assert action.model_dump(exclude_unset=True) == {"bead": "b-1", "blocked_by": [], "drop": False}


def test_an_escalation_of_the_original_becomes_a_decision() -> None:
    action: RequestDecision = bound("escalate_ceo", bead_id="b-1", reason="May I drop the table?")
    assert action.needs_person
    assert action.question == "May I drop the table?"
    assert [option.key for option in action.options] == ["approve", "deny"]


def test_options_may_be_plain_texts() -> None:
    action: RequestDecision = bound(
        "request_decision", question="Which?", options=["ISO dates", {"label": "US"}]
    )
    assert [(option.key, option.label) for option in action.options] == [
        ("iso-dates", "ISO dates"),
        ("us", "US"),
    ]


def test_a_name_that_is_unknown_is_told_with_the_nearest(room: Room) -> None:
    text = refused("read_fil", {"read_file", "done"}, path="a")
    assert text == "There is no action 'read_fil'. Did you mean read_file? You may use: done, read_file."


def test_an_action_of_another_role_is_refused() -> None:
    assert "write_file is not open to you here" in refused("write", {"read_file"}, path="a", content="b")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("read_file", {}, "path is missing"),
        ("read_file", {"path": "a", "offset": 0}, "greater than or equal to 1, not 0"),
        ("read_file", {"path": "a", "limi": 3}, "limi is not an argument (did you mean limit?)"),
        ("read_file", {"path": "a", "user: user": {}}, "user: user is not an argument"),
        ("edit_file", {"path": "a", "old_text": "x"}, "new_text is missing"),
        ("write_file", {"path": "a", "content": {"x": 1}}, 'should be a valid string, not {"x": 1}'),
        ("create_bead", {"title": "Parse", "type": "saga"}, "type: Input should be 'task'"),
        ("create_bead", {"title": "Parse", "priority": 9}, "priority"),
        ("request_decision", {"question": "Which?", "options": ["a"]}, "options"),
        ("request_decision", {"question": "Which?", "options": ["a", "A"]}, "same key"),
        ("request_decision", {"question": "Which?", "options": ["a", "b"], "recommendation": "c"}, "one of"),
        ("submit_review", {"verdict": "reject"}, "needs comments"),
        ("submit_review", {"verdict": "maybe"}, "'approve' or 'reject'"),
        ("run_command", {"command": "ls", "timeout": 1e9}, "timeout"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_answered_with_what_is_wrong_and_the_form(
    name: str, arguments: dict[str, Any], says: str
) -> None:
    text = refused(name, **arguments)
    assert says in text
    assert f"\nExpected: {name} {{" in text
    assert "Traceback" not in text


# -- what models are told --------------------------------------------------------------------------


def test_tool_definitions_are_compact_and_without_references() -> None:
    tools = tools_for(REGISTRY)
    text = json.dumps(tools)
    assert [tool["function"]["name"] for tool in tools] == list(REGISTRY)
    for word in ("$ref", "$defs", '"default"', "anyOf"):
        assert word not in text, word
    for tool in tools:
        schema = tool["function"]["parameters"]
        assert schema["type"] == "object"
        assert set(schema["required"]) <= set(schema["properties"])
        for about in schema["properties"].values():
            assert "title" not in about
            assert "type" in about or "enum" in about
    assert len(text) / 4 < 3500, "tokens, roughly"


def test_an_argument_called_title_survives_the_compaction() -> None:
    (tool,) = tools_for(["create_bead"])
    properties = tool["function"]["parameters"]["properties"]
    assert properties["title"]["type"] == "string"
    assert properties["priority"]["type"] == "integer"
    assert tool["function"]["parameters"]["required"] == ["title"]


def test_nested_arguments_are_spelled_out() -> None:
    (tool,) = tools_for(["submit_review"])
    item = tool["function"]["parameters"]["properties"]["criteria"]["items"]
    assert set(item["properties"]) == {"criterion", "met", "note"}
    assert item["required"] == ["criterion", "met"]


@pytest.mark.parametrize("kind", REGISTRY.values(), ids=REGISTRY.keys())
def test_every_example_binds(kind: Any) -> None:
    if kind.example:
        example = json.loads(kind.example)
        assert bound(example.pop("type"), **example).name == kind.name


def test_the_manual_is_short_and_names_each_action_once() -> None:
    manual = manual_for(REGISTRY)
    assert len(manual) / 3.5 < 2000, "tokens, roughly"
    for name in REGISTRY:
        assert manual.count(f"- {name} {{") == 1
    assert "- read_file {path, offset?, limit?}: " in manual
    assert "bead_type?" in manual


def test_the_manual_lists_only_what_is_asked_for() -> None:
    assert manual_for(["done"]).startswith("- done {summary, commands[]?}: ")
    with pytest.raises(KeyError, match="fly"):
        manual_for(["fly"])


def test_written_actions_bind_to_what_they_were() -> None:
    action: CreateBead = bound("create_bead", title="Parse dates", type="story")
    spoken = written("create_bead", action.model_dump(exclude_unset=True))
    assert spoken == {"type": "create_bead", "title": "Parse dates", "bead_type": "story"}
    assert bound(spoken.pop("type"), **spoken) == action


def test_reviews_and_questions_keep_what_they_were_given() -> None:
    review: SubmitReview = bound(
        "submit_review", verdict="approve", criteria={"criterion": "x", "met": "true"}
    )
    assert [criterion.model_dump(exclude_none=True) for criterion in review.criteria] == [
        {"criterion": "x", "met": True}
    ]
    question: AskQuestion = bound("ask_question", question="Which?", choices="a")
    assert question.options == ["a"]


def test_clipping_keeps_both_ends_and_says_what_is_missing() -> None:
    text = clip("a" * 500 + "b" * 500, 100)
    assert text.startswith("a" * 40)
    assert text.endswith("b" * 60)
    assert "[... 900 characters left out ...]" in text
    assert clip("short", 100) == "short"
