"""Native tool calls, the history kept of replies, and the replies the original refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from apps.agents.replies import Reading, read_reply, valid_history, written

UNPARSED = Path(os.environ.get("LOOM_UNPARSED_REPLIES", "../shared/data/unparsed_replies.jsonl"))


def tool_call(arguments: Any, name: Any = "read_file", id_: Any = "call_1") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


# -- native calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "arguments"),
    [
        ('{"path": "a"}', {"path": "a"}),
        ({"path": "a"}, {"path": "a"}),
        ("", {}),
        (None, {}),
        ("{}", {}),
        (' {"path": "a"}\n', {"path": "a"}),
        ('{"path": "a",}', {"path": "a"}),
        ("{'path': 'a', 'deep': True, 'limit': None}", {"path": "a", "deep": True, "limit": None}),
        ('{path: "a"}', {"path": "a"}),
        ('{"content": "one\ntwo"}', {"content": "one\ntwo"}),
        ('{"query": "\\d+"}', {"query": "\\d+"}),
        ('{"path": "a"', {"path": "a"}),
        ('{"paths": ["a", "b"', {"paths": ["a", "b"]}),
        ('{"path": "a"}}', {"path": "a"}),
        ('{"path": "a"}</tool_call>', {"path": "a"}),
        ('{"path": "a"}{"path": "a"}', {"path": "a"}),
        ('```json\n{"path": "a"}\n```', {"path": "a"}),
        ('"{\\"path\\": \\"a\\"}"', {"path": "a"}),
    ],
)
def test_arguments_that_can_mean_only_one_thing_are_read(sent: Any, arguments: dict[str, Any]) -> None:
    reading = read_reply("", [tool_call(sent)])
    assert [call.arguments for call in reading.actions] == [arguments]
    assert reading.error == ""


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ('{"path": "src/a', "does not end"),
        ('{"path": "a",', "ends where"),
        ('{"path": "a", "limit": 12', "ends where"),
        ('{"path"', "is expected"),
        ('{"path": "a"}{"path": "b"}', "more follows"),
        ('{"command": "echo "hi""}', 'written as \\"'),
        ('{"content": "a\\nb\nc"}', "raw line breaks"),
        ("[1, 2]", "a JSON object is expected"),
        ("a.py", "a value is expected"),
        (7, "neither an object nor text"),
        ('{"content": "\\u0000"}', "NUL"),
        ({"content": "\ud800"}, "surrogate"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested too deeply"),
    ],
)
def test_arguments_that_are_not_certain_are_refused_with_the_reason(sent: Any, why: str) -> None:
    reading = read_reply("", [tool_call(sent)])
    assert reading.actions == ()
    assert reading.error.startswith(
        "Reply not understood: the arguments of tool call 1 (read_file) are broken"
    )
    assert why in reading.error


def test_good_calls_are_kept_beside_a_broken_one() -> None:
    reading = read_reply(
        "Let me see.", [tool_call('{"path": "a"}'), tool_call('{"path": "b'), tool_call("{}", "done")]
    )
    assert [call.name for call in reading.actions] == ["read_file", "done"]
    assert reading.error.startswith("Reply not understood in part: the arguments of tool call 2")
    assert reading.notes == "Let me see."


@pytest.mark.parametrize("ids", [["x", "x", "x"], ["", None, 3], ["a b", "a" * 65, "ü"], ["x", "y", "x"]])
def test_ids_that_repeat_or_cannot_be_used_are_replaced(ids: list[Any]) -> None:
    reading = read_reply("", [tool_call('{"path": "a"}', id_=one) for one in ids])
    got = [call.id for call in reading.actions]
    assert len(set(got)) == 3
    assert all(one.isascii() and one.isalnum() for one in got)


def test_ids_that_are_good_stay() -> None:
    reading = read_reply("", [tool_call("{}", id_="call_a-1"), tool_call("{}", id_="call_b")])
    assert [call.id for call in reading.actions] == ["call_a-1", "call_b"]


@pytest.mark.parametrize(
    ("name", "read_as"), [(" done ", "done"), ("done<|channel|>commentary", "done"), ("fly", "fly")]
)
def test_names_lose_what_templates_leak_into_them(name: str, read_as: str) -> None:
    (call,) = read_reply("", [tool_call("{}", name)]).actions
    assert call.name == read_as


@pytest.mark.parametrize("name", [None, "", 3, "<|x|>"])
def test_a_call_without_a_name_is_told(name: Any) -> None:
    assert "tool call 1 names no tool" in read_reply("", [tool_call("{}", name)]).error


def test_actions_in_the_text_beside_native_calls_are_not_taken_twice() -> None:
    reading = read_reply('{"actions": [{"type": "git_status"}]}', [tool_call("{}", "git_status")])
    assert len(reading.actions) == 1


# -- history ---------------------------------------------------------------------------------------


def assert_valid(message: dict[str, Any], reading: Reading) -> None:
    """What the strictest servers demand of an assistant message."""
    assert message["role"] == "assistant"
    assert isinstance(message["content"], str)
    assert message["content"].strip() or message.get("tool_calls")
    assert "\0" not in message["content"]
    json.dumps(message).encode()
    message["content"].encode()
    calls = message.get("tool_calls", [])
    assert [call["id"] for call in calls] == [call.id for call in reading.actions]
    assert len({call["id"] for call in calls}) == len(calls)
    for call, action in zip(calls, reading.actions, strict=True):
        assert call["type"] == "function"
        assert json.loads(call["function"]["arguments"]) == action.arguments
        assert 0 < len(call["function"]["name"]) <= 64
        assert call["function"]["name"].replace("_", "").replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        ("Let me see.", [tool_call('{"path": "a",}')], "Let me see."),
        (None, [tool_call('{"path": "a"}', "read file!")], ""),
        ("", [tool_call('{"path": "a')], '[tool calls as sent, not all readable: [{"name": "read_file"'),
        ("", [tool_call("{}"), tool_call("{", id_="call_1")], "[tool calls as sent"),
        ("", [], "(empty reply)"),
        ("<think>secret</think>Hello\0 you", [], "Hello you"),
        ('Looking.\n{"actions": [{"type": "read_file", "path": "a"}]}', [], "Looking."),
        (
            '{"actions": [{"type": "read_file", "path": "a"}, {"type": x}]}',
            [],
            '{"actions": [{"type": "read_file"',
        ),
        ("word " * 50_000, [], "word word"),
        ("half \ud800", [], "half ?"),
    ],
)
def test_the_history_is_valid_whatever_came(
    text: str | None, calls: list[dict[str, Any]], content: str
) -> None:
    reading = read_reply(text, calls)
    message = valid_history(text, calls, reading)
    assert_valid(message, reading)
    assert message["content"].startswith(content)
    assert len(message["content"]) < 61_000


def test_actions_written_as_text_are_kept_as_tool_calls_so_that_results_have_a_place() -> None:
    text = '{"actions": [{"type": "read_file", "path": "a"}], "notes": "first look"}'
    message = valid_history(text, [], read_reply(text))
    assert message["content"] == "first look"
    assert message["tool_calls"][0]["function"] == {"name": "read_file", "arguments": '{"path": "a"}'}


def test_the_json_form_of_an_action_is_read_back_as_the_same() -> None:
    action = written("create_bead", {"title": "x", "type": "story", "acceptance": ["y"]})
    (call,) = read_reply(json.dumps({"actions": [action]})).actions
    assert (call.name, call.arguments) == (
        "create_bead",
        {"title": "x", "bead_type": "story", "acceptance": ["y"]},
    )


# -- the replies that the original refused -----------------------------------------------------------


@pytest.mark.skipif(not UNPARSED.exists(), reason=f"{UNPARSED} is not here")
def test_of_real_replies_every_listed_action_is_read_and_none_invented() -> None:
    rows = [json.loads(line) for line in UNPARSED.read_text().splitlines()]
    told = 0
    for row in rows:
        reading = read_reply(row["reply"])
        got = [{"type": call.name, **call.arguments} for call in reading.actions]
        assert got == row["actions"], row["id"]
        assert reading.actions or reading.error, row["id"]
        assert_valid(valid_history(row["reply"], [], reading), reading)
        told += bool(reading.error)
    print(
        f"{len(rows)} replies: {sum(bool(row['actions']) for row in rows)} with actions, {told} with an error"
    )
