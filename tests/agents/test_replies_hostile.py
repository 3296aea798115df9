"""Replies nobody would send: read in bounded time, and never made up; properties that hold of any."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.replies import read_reply, valid_history
from apps.agents.replies.reading import MAX_REPLY
from tests.agents.test_replies import assert_valid, tool_call

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
    "\nread_file(",
    "\nread_file(path='",
    "\n[read_file(path='a'),",
    "```python\nread_file(x)\n",
    "```\nread_file(path='a')\nx\n",
    "\n<read_file>",
    "\n<read_file><path>",
    "\nAction: a\n",
    "\n>>>a\n",
    "\n>>>a\n{",
    "{/*",
    "{“",
    "<tool_response>",
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
        "\n" + " " * MILLION + "read_fil",
        "<tool_call>" + "\n" * MILLION + "{",
    ],
    ids=range(12),
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
