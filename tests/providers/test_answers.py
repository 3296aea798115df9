"""Reading replies as real servers send them: whole, streamed, cut anywhere, and not quite by the book."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.providers.answers import Answer, ErrorInside, StreamReader, read_body, read_usage
from apps.providers.errors import Garbage, Usage
from apps.providers.scripted import ScriptedReply
from tests.providers.completions import completion_of, events_of, pieces_of

CALLS = tuple(
    {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    for n, (name, arguments) in enumerate(
        [("write_file", {"path": "ä.py", "content": "Ω" * 40}), ("done", {})]
    )
)
REPLY = ScriptedReply("Grüße, 世界! 🧵 and more text", CALLS, finish_reason="tool_calls")
USAGE = {"prompt_tokens": 12, "completion_tokens": 34}
KEPT = st.characters(codec="utf-8", exclude_characters="\0")


def whole(message: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **more}).encode()


def streamed(pieces: list[bytes]) -> tuple[Answer, list[str]]:
    heard: list[str] = []
    reader = StreamReader(heard.append)
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    assert reader.done
    return reader.merged.answer(), heard


def test_a_stream_says_the_same_as_the_whole_body() -> None:
    body = read_body(json.dumps(completion_of("m", REPLY, USAGE)).encode())
    answer, heard = streamed(events_of("m", REPLY, USAGE))
    assert answer == body
    assert answer.usage == Usage(12, 34)
    assert "".join(heard) == REPLY.text
    assert answer.tool_calls == CALLS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 100_000])
def test_a_stream_may_be_cut_anywhere_even_inside_a_character(size: int) -> None:
    events = events_of("m", REPLY, USAGE)
    answer, heard = streamed(list(pieces_of(events, size)))
    assert (answer.text, answer.tool_calls) == (REPLY.text, CALLS)
    assert "".join(heard) == REPLY.text


@settings(deadline=None)
@given(text=st.text(KEPT, max_size=60), size=st.integers(1, 40))
def test_any_text_survives_any_cut(text: str, size: int) -> None:
    events = events_of("m", ScriptedReply(text), None)
    answer, _ = streamed(list(pieces_of(events, size)))
    assert answer.text == text


def test_carriage_returns_comments_and_event_names_are_taken_in_stride() -> None:
    raw = (
        b": keep-alive\r\n\r\nevent: message\r\nid: 7\r\n"
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\r\n\r\n'
        b'data:{"choices":[{"delta":{"content":"!"},"finish_reason":"stop"}]}\r\n\r\ndata: [DONE]\r\n\r\n'
    )
    answer, heard = streamed([raw])
    assert (answer.text, answer.finish_reason, heard) == ("Hi!", "stop", ["Hi", "!"])


def test_an_event_of_several_data_lines_is_one_object() -> None:
    answer, _ = streamed([b'data: {"choices":\ndata: [{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n'])
    assert answer.text == "x"


def test_a_last_event_without_its_empty_line_counts() -> None:
    reader = StreamReader(None)
    reader.feed(b'data: {"choices":[{"delta":{"content":"end"},"finish_reason":"stop"}]}')
    reader.end()
    assert reader.merged.answer().text == "end"


def test_calls_sent_whole_under_one_index_are_several_calls() -> None:
    reader = StreamReader(None)
    for name in ("a", "b"):
        call = {"index": 0, "id": f"id-{name}", "function": {"name": name, "arguments": "{}"}}
        reader.feed(
            b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}).encode() + b"\n\n"
        )
    assert [c["function"]["name"] for c in reader.merged.answer().tool_calls] == ["a", "b"]


def test_an_error_in_the_middle_of_a_stream_is_not_an_answer() -> None:
    reader = StreamReader(None)
    with pytest.raises(ErrorInside) as caught:
        reader.feed(b'data: {"error":{"message":"overloaded","code":503}}\n\n')
    assert caught.value.status == 503


def test_arguments_sent_as_an_object_become_text_and_missing_ids_are_given() -> None:
    calls = [
        {"function": {"name": "a", "arguments": {"x": "ü"}}},
        {"function": {"name": "b", "arguments": None}},
    ]
    answer = read_body(whole({"content": None, "tool_calls": calls}))
    assert [c["id"] for c in answer.tool_calls] == ["call_0", "call_1"]
    assert [c["function"]["arguments"] for c in answer.tool_calls] == ['{"x": "ü"}', "{}"]


def test_the_form_before_tools_is_understood() -> None:
    answer = read_body(whole({"content": "", "function_call": {"name": "old", "arguments": '{"a":1}'}}))
    assert answer.tool_calls[0]["function"] == {"name": "old", "arguments": '{"a":1}'}


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "image"}, {"type": "text", "text": "two"}]
    assert read_body(whole({"content": parts})).text == "one two"


def test_what_no_database_keeps_is_left_out() -> None:
    answer = read_body(
        b'{"model": "m\\u0000",'
        b' "choices": [{"message": {"content": "a\\u0000b"}, "finish_reason": "st\\u0000op"}]}'
    )
    assert (answer.text, answer.finish_reason, answer.model) == ("ab", "stop", "m")


def test_an_empty_but_well_formed_message_is_an_answer() -> None:
    assert read_body(whole({"content": None})) == Answer("", (), "stop")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing"),
        (b"   ", "nothing"),
        (b"<html>Sign in</html>", "HTML"),
        (b"hello", "no JSON object"),
        (b"[1, 2]", "no JSON object"),
        (b"\xff\xfe\x00", "no JSON object"),
        (b'{"choices": [{"message"', "no JSON object"),
        (b"{}", "without a chat message"),
        (b'{"choices": []}', "without a chat message"),
        (b'{"choices": [null]}', "without a chat message"),
        (b'{"choices": [{"text": "completion"}]}', "without a chat message"),
        (b'{"choices": [{"message": "text"}]}', "without a chat message"),
    ],
)
def test_what_is_no_completion_is_garbage_and_says_what_came(body: bytes, says: str) -> None:
    with pytest.raises(Garbage, match=says):
        read_body(body)


def test_garbage_with_usage_keeps_the_bill() -> None:
    with pytest.raises(Garbage) as caught:
        read_body(json.dumps({"choices": [], "usage": USAGE}).encode())
    assert caught.value.usage == Usage(12, 34)
    assert caught.value.billable


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        (None, None),
        ("many", None),
        ({}, None),
        ({"prompt_tokens": "12"}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 2**64 - 1}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 5, "completion_tokens": 2**63}, Usage(5)),
        ({"prompt_tokens": 5}, Usage(5)),
        ({"prompt_tokens": 5, "completion_tokens": None}, Usage(5)),
        (
            {"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(5, 6, 4),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": None}, Usage(5, 6)),
        ({"prompt_tokens": 5, "completion_tokens": 6, "prompt_cache_hit_tokens": 3}, Usage(5, 6, 3)),
    ],
)
def test_usage_in_the_usual_dialects(value: object, usage: Usage | None) -> None:
    assert read_usage(value) == usage
