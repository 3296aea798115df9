"""Replies nobody would send: read in bounded time, and never made up; properties that hold of any."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.replies import read_reply, valid_history
from apps.agents.replies.reading import MAX_REPLY
from tests.agents.hostile import HOSTILE, MILLION
from tests.agents.test_replies import assert_valid, tool_call
from tests.growth import assert_linear


@pytest.mark.parametrize("piece", HOSTILE)
def test_garbage_is_read_in_time_that_grows_with_it(piece: str) -> None:
    def read(size: int) -> None:
        text = piece * (size // len(piece))
        reading = read_reply(text)
        message = valid_history(text, [], reading)
        assert reading.error.startswith("Reply not understood")
        assert len(reading.error) < 2000
        assert_valid(message, reading)

    assert_linear(read, MILLION // 4)


@pytest.mark.parametrize(
    ("before", "piece", "after"),
    [
        ('{"a":"', "\\", ""),
        ("{", " ", ""),
        ('{"a":', "9", ""),
        ('{"actions":[{"type":"a"b', ', {"type":"read_file"}', ""),
        ('{"actions":[{"type":x', ', {"type":"read_file" ', ""),
        ('{"type":"', "a", ""),
        ("<function=read_file><parameter=path>", "</parameter> ", ""),
        ('{"actions":[', " ", "x"),
        ("to=functions.a", " ", ""),
        ("", " ", '{"type":"x"}' * 1000),
        ("\n", " ", "read_fil"),
        ("<tool_call>", "\n", "{"),
    ],
    ids=range(12),
)
def test_long_pieces_are_read_in_time_that_grows_with_them(before: str, piece: str, after: str) -> None:
    def read(size: int) -> None:
        assert read_reply(before + piece * (size // len(piece)) + after).actions == ()

    assert_linear(read, MILLION // 4)


@pytest.mark.parametrize("piece", ["[", '{"a":', '\\"', "{'a':", '"'])
def test_hostile_arguments_are_read_in_time_that_grows_with_them(piece: str) -> None:
    def read(size: int) -> None:
        assert read_reply("", [tool_call(piece * (size // len(piece)))]).actions == ()

    assert_linear(read, MILLION // 4)


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
