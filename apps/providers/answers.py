"""Reading chat completions, whole or streamed, from strict and from sloppy servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import orjson

from apps.providers.errors import Garbage, Usage

MOST_TOKENS = 10**9  # of one call


@dataclass(frozen=True)
class Answer:
    """What the model said. `usage` is None when the server did not report any."""

    text: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    model: str = ""

    @property
    def size(self) -> int:
        """Bytes of what was generated, for estimating tokens nobody reported."""
        calls = sum(len(c["function"]["name"]) + len(c["function"]["arguments"]) for c in self.tool_calls)
        return len(self.text.encode()) + calls


class ErrorInside(Exception):
    """A 200 answer or a stream that carries an error object; the wire names the cause."""

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__("the answer carries an error")
        self.body = body
        self.status = status


def read_body(body: bytes) -> Answer:
    """A whole chat completion, as bytes."""
    data = _object(body)
    if data.get("error"):
        raise ErrorInside(body, _status_inside(data["error"]))
    return read_completion(data)


def read_completion(data: dict[str, Any]) -> Answer:
    """A whole chat completion, as an object."""
    usage = read_usage(data.get("usage"))
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Garbage(
            "The model server answered JSON without a chat message.", billable=usage is not None, usage=usage
        )
    merged = Merger()
    merged.add_message(message)
    merged.finish_reason = _text(choice.get("finish_reason"))
    merged.usage = usage
    merged.model = _text(data.get("model"))
    return merged.answer()


class Merger:
    """Puts the pieces of one answer together."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.model = ""
        self._text: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._slots: dict[int, int] = {}  # the server's index -> place in _calls

    @property
    def is_empty(self) -> bool:
        return not self._text and not self._calls

    @property
    def size(self) -> int:
        return self.answer().size

    def add_message(self, message: dict[str, Any]) -> str:
        """Add a whole message or a delta of one; the text it brought."""
        text = _content(message.get("content"))
        if text:
            self._text.append(text)
        calls = message.get("tool_calls")
        for position, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._add_call(call, position)
        if isinstance(message.get("function_call"), dict):  # the form before tools
            self._add_call({"function": message["function_call"]}, 0)
        return text

    def add_chunk(self, data: dict[str, Any]) -> str:
        """Add one event of a stream; the text it brought."""
        if usage := read_usage(data.get("usage")):
            self.usage = usage
        self.model = self.model or _text(data.get("model"))
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return ""
        self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
        delta = choice.get("delta") or choice.get("message")
        return self.add_message(delta) if isinstance(delta, dict) else ""

    def answer(self) -> Answer:
        calls = []
        for position, call in enumerate(self._calls):
            function = {"name": call["name"], "arguments": "".join(call["arguments"]) or "{}"}
            calls.append({"id": call["id"] or f"call_{position}", "type": "function", "function": function})
        return Answer("".join(self._text), tuple(calls), self.finish_reason, self.usage, self.model)

    def _add_call(self, call: dict[str, Any], position: int) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index = call.get("index")
        index = index if isinstance(index, int) else position
        call_id, name = _text(call.get("id")), _text(function.get("name"))
        place = self._slots.get(index)
        if place is None or self._starts_another(place, call_id, name):
            place = self._slots[index] = len(self._calls)
            self._calls.append({"id": call_id, "name": name, "arguments": []})
        else:
            known = self._calls[place]
            known["id"] = known["id"] or call_id
            known["name"] = known["name"] or name
        self._calls[place]["arguments"].append(_arguments(function.get("arguments")))

    def _starts_another(self, place: int, call_id: str, name: str) -> bool:
        """Some servers send every call whole, all under index 0: a new id with a name is a new call."""
        return bool(call_id and name and self._calls[place]["id"] and call_id != self._calls[place]["id"])


class EventReader:
    """Cuts a byte stream into the data of server-sent events, wherever the network cut it."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._line(line.rstrip(b"\r"))

    def end(self) -> Iterator[bytes]:
        """What a stream that just stopped had not finished with an empty line."""
        yield from self._line(self._rest.rstrip(b"\r"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not line:
            if self._data:
                yield b"\n".join(self._data)
                self._data.clear()
        elif line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))


@runtime_checkable
class Overhears(Protocol):
    """A listener that also wants what is no text for people: `thinking`, and `action:<place>:<name>`."""

    def aside(self, kind: str, text: str) -> None: ...


def asides_of(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What an event of a stream brings beside text."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return
    if thinking := _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")):
        yield "thinking", thinking
    calls = delta.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            place = call.get("index") if isinstance(call.get("index"), int) else position
            yield f"action:{place}:{_text(function.get('name'))}", _arguments(function.get("arguments"))


def overhear(on_delta: object, data: dict[str, Any]) -> None:
    if isinstance(on_delta, Overhears):
        for kind, text in asides_of(data):
            on_delta.aside(kind, text)


class StreamReader:
    """Feeds the pieces of a streamed answer in, text out as it comes, the whole answer at the end."""

    def __init__(self, on_delta: Callable[[str], None] | None) -> None:
        self.merged = Merger()
        self.done = False
        self._events = EventReader()
        self._on_delta = on_delta

    def feed(self, piece: bytes) -> None:
        for data in self._events.feed(piece):
            self._take(data)

    def end(self) -> None:
        for data in self._events.end():
            self._take(data)

    def _take(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            self.done = True
            return
        chunk = _object(data)
        if chunk.get("error"):
            raise ErrorInside(data, _status_inside(chunk["error"]))
        overhear(self._on_delta, chunk)
        text = self.merged.add_chunk(chunk)
        if text and self._on_delta is not None:
            self._on_delta(text)


def read_usage(value: object) -> Usage | None:
    """The usage object of any of the usual dialects; None if it says nothing."""
    if not isinstance(value, dict):
        return None
    prompt, completion = _tokens(value.get("prompt_tokens")), _tokens(value.get("completion_tokens"))
    if prompt is None:
        return None
    details = value.get("prompt_tokens_details")
    cached = (
        details.get("cached_tokens") if isinstance(details, dict) else value.get("prompt_cache_hit_tokens")
    )
    return Usage(prompt=prompt, completion=completion or 0, cached=_tokens(cached) or 0)


def _tokens(value: object) -> int | None:
    """None for what no call can have used, and no ledger could hold."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MOST_TOKENS else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        start = body[:200].lstrip()
        what = (
            "a page of HTML"
            if start.startswith(b"<")
            else "something that is no JSON object"
            if start
            else "nothing"
        )
        raise Garbage(f"The model server answered {what}.", billable=True)
    return data


def _content(value: object) -> str:
    """Text of a message; some servers send a list of parts."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, dict))
    return _text(value)


def _arguments(value: object) -> str:
    """Arguments as text; some servers send the object itself."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _text(value: object) -> str:
    """Without NUL, which PostgreSQL does not keep."""
    return value.replace("\0", "") if isinstance(value, str) else ""


def _status_inside(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
