"""What an OpenAI-compatible server says: a completion, whole or as events, and answers that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from apps.providers.scripted import ScriptedReply

RAW = {
    "garbage": ("application/json", b"I am not JSON \xff\xfe {"),
    "html": ("text/html", b"<!doctype html><title>Sign in</title>"),
    "empty": ("application/json", b""),
    "shape": ("application/json", b'{"object":"chat.completion","choices":[]}'),
    "blank-stream": ("text/event-stream", b": nothing\n\n"),
}


def usage_of(request_bytes: int, reply: ScriptedReply) -> dict[str, int]:
    """About four bytes a token, like the scripted provider."""
    prompt = max(1, request_bytes // 4)
    said = len(reply.text.encode()) + sum(len(json.dumps(call)) for call in reply.tool_calls)
    completion = max(1, said // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion_of(model: str, reply: ScriptedReply, usage: dict[str, int] | None) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "message": reply.message(), "finish_reason": reply.finish_reason}
    whole: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model}
    return {**whole, "choices": [choice], **({"usage": usage} if usage else {})}


def events_of(
    model: str, reply: ScriptedReply, usage: dict[str, int] | None, *, width: int = 12
) -> list[bytes]:
    """The same as server-sent events: text in small deltas, arguments of calls cut in the middle."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _cut(reply.text, width)]
    for index, call in enumerate(reply.tool_calls):
        function = call["function"]
        first = {
            "index": index,
            "id": call["id"],
            "type": "function",
            "function": {"name": function["name"], "arguments": ""},
        }
        deltas.append({"tool_calls": [first]})
        for piece in _cut(function["arguments"], width):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]})
    if usage:
        chunks.append({"choices": [], "usage": usage})
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model}
    events = [
        b"data: " + json.dumps({**shared, **chunk}, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks
    ]
    return [*events, b"data: [DONE]\n\n"]


def pieces_of(events: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The events as the network might cut them."""
    if not size:
        yield from events
        return
    whole = b"".join(events)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def _cut(text: str, width: int) -> list[str]:
    return [text[start : start + width] for start in range(0, len(text), width)]
