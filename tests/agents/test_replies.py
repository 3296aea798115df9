"""Native tool calls, the history kept of replies, hostile input, and the replies the original refused."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.replies import Reading, read_reply, valid_history, written
from apps.agents.replies.reading import MAX_REPLY

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


# -- hostile input ---------------------------------------------------------------------------------

MILLION = 1_000_000
HOSTILE = [
    "[",
    "{",
    '{"',
    '{"a":',
    "[{",
    "{}",
    '{"a":1}',
    '"',
    "{'a':'",
    '{"actions":[',
    '{"a":[',
    '{"a":"""',
    "{//",
    "{#",
    "<think>",
    "</think>",
    "</think>{",
    "<function=read_file>",
    "<function=read_file><parameter=path>",
    '{"actions":[{"type":"read_file"',
    '[{"type":"read_file","path":"a"},',
    '{"type":"read_file" ',
    "<tool_call>",
    "to=functions.a ",
    "{ \n",
    ", ",
    "\\",
    '{"notes": "a" b',
    '{"a":1e999}',
    "[TOOL_CALLS]a ",
    "```\n{",
    '\n{"a"',
    "\0",
    "\ud800",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_garbage_is_read_in_under_a_second(piece: str) -> None:
    text = piece * (MILLION // len(piece))
    started = time.process_time()
    reading = read_reply(text)
    message = valid_history(text, [], reading)
    assert time.process_time() - started < 1.5, "generous for slow machines; about a third of it is usual"
    assert reading.error.startswith("Reply not understood")
    assert len(reading.error) < 2000
    assert_valid(message, reading)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"' + "\\" * MILLION,
        "{" + " " * MILLION,
        '{"a":' + "9" * MILLION,
        '{"actions":[{"type":"a"b' + ', {"type":"read_file"}' * (MILLION // 22),
        '{"actions":[{"type":x' + ', {"type":"read_file" ' * (MILLION // 22),
        '{"type":"' + "a" * MILLION,
        "<function=read_file><parameter=path>" + "</parameter> " * (MILLION // 13),
        '{"actions":[' + " " * MILLION + "x",
        "to=functions.a" + " " * MILLION,
        " " * MILLION + '{"type":"x"}' * 1000,
    ],
    ids=range(10),
)
def test_long_pieces_are_read_in_under_a_second(text: str) -> None:
    started = time.process_time()
    assert read_reply(text).actions == ()
    assert time.process_time() - started < 1.5


def test_hostile_arguments_are_read_in_under_a_second() -> None:
    started = time.process_time()
    for piece in ("[", '{"a":', '\\"', "{'a':", '"'):
        assert read_reply("", [tool_call(piece * (MILLION // len(piece)))]).actions == ()
    assert time.process_time() - started < 1.5


def test_a_reply_too_long_to_be_one_is_refused() -> None:
    assert "too long" in read_reply("x" * (MAX_REPLY + 1)).error


def test_a_large_honest_reply_is_read() -> None:
    content = 'x = "\\n"\n' * 60_000
    text = json.dumps({"actions": [{"type": "write_file", "path": "a.py", "content": content}]})
    (call,) = read_reply(text).actions
    assert call.arguments["content"] == content


# -- properties ------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
actions = st.builds(
    lambda name, more: {"type": name, **{f"arg_{key}": value for key, value in more.items()}},
    st.sampled_from(["read_file", "write_file", "done", "run_command"]),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), values, max_size=4),
)


@given(st.lists(actions, min_size=1, max_size=4), st.sampled_from([None, 1, 4]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_is_written_as_json_is_read_back(
    sent: list[dict[str, Any]], indent: int | None, ascii_: bool
) -> None:
    text = json.dumps({"actions": sent}, indent=indent, ensure_ascii=ascii_)
    for reply in (text, f"Well:\n```json\n{text}\n```", f"<think>{text}</think>{text}"):
        reading = read_reply(reply)
        assert [{"type": call.name, **call.arguments} for call in reading.actions] == sent
        assert reading.error == ""
        assert_valid(valid_history(reply, [], reading), reading)


@given(st.lists(actions, min_size=1, max_size=3), st.data())
@settings(max_examples=300, deadline=None)
def test_a_cut_reply_gives_a_prefix_of_its_actions(sent: list[dict[str, Any]], data: st.DataObject) -> None:
    text = json.dumps({"actions": sent})
    cut = data.draw(st.integers(0, len(text) - 1))
    got = [{"type": call.name, **call.arguments} for call in read_reply(text[:cut]).actions]
    assert got == sent[: len(got)]


PIECES = [
    '{"actions": [',
    '{"type": "read_file", "path": "a"}',
    '{"type": "done", "summary": "x"}',
    ",",
    "]",
    "}",
    '"',
    "{'type': 'done', 'summary': 'x'}",
    "<function=done><parameter=summary>x</parameter></function>",
    "</function>",
    '"notes": "n"',
    '"user": {}',
    "```",
    "</think>",
    "<think>",
    "<tool_call>",
    "text",
    "[",
    "{",
    ":",
    "true",
    "//",
    "\\",
    "\n",
    " ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@settings(max_examples=1500, deadline=None)
def test_any_mixture_gives_only_actions_that_stand_in_it(text: str) -> None:
    reading = read_reply(text)
    for call in reading.actions:
        assert call.name in {"read_file", "done"}
        assert call.name in text
    assert reading.actions or reading.error
    assert_valid(valid_history(text, [], reading), reading)


@given(st.text(max_size=200), st.text(max_size=50))
@settings(max_examples=300, deadline=None)
def test_no_text_and_no_arguments_crash_the_reader(text: str, arguments: str) -> None:
    for reading, calls in (
        (read_reply(text), []),
        (read_reply(text, [tool_call(arguments)]), [tool_call(arguments)]),
    ):
        assert reading.actions or reading.error
        assert_valid(valid_history(text, calls, reading), reading)


# -- the replies that the original refused -----------------------------------------------------------


@pytest.mark.skipif(not UNPARSED.exists(), reason=f"{UNPARSED} is not here")
def test_of_real_replies_every_listed_action_is_read_and_none_invented() -> None:
    rows = [json.loads(line) for line in UNPARSED.read_text().splitlines()]
    taken, told = [], 0
    for row in rows:
        started = time.perf_counter()
        reading = read_reply(row["reply"])
        taken.append(time.perf_counter() - started)
        got = [{"type": call.name, **call.arguments} for call in reading.actions]
        assert got == row["actions"], row["id"]
        assert reading.actions or reading.error, row["id"]
        assert_valid(valid_history(row["reply"], [], reading), reading)
        told += bool(reading.error)
    print(
        f"{len(rows)} replies: {sum(bool(row['actions']) for row in rows)} with actions, {told} with an error"
    )
    assert sorted(taken)[len(taken) // 2] < 0.002
