"""The OpenAI-compatible wire: a request body joined from bytes, a reply read from JSON or a stream."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

import orjson

from apps.core.errors import BadInput
from apps.providers.answers import Answer, ErrorInside, StreamReader, read_body
from apps.providers.errors import CallFailed, Garbage, Rejected, Unreachable, Usage
from apps.providers.faults import Asked, fault_of
from apps.providers.link import Exchange, Patience, Server, exchange

ERROR_BODY_LIMIT = 64 * 1024
ADAPTATIONS = 3  # parameters a server may refuse before we give up

OnDelta = Callable[[str], None]


@dataclass(frozen=True)
class Ask:
    """One chat completion to request; `messages` are JSON bytes that are not looked into."""

    model: str
    messages: Sequence[bytes]
    max_tokens: int
    tools: bytes | None = None
    temperature: float | None = None
    stream: bool = False


@dataclass(frozen=True)
class Dialect:
    """Parameters a server turned out not to take."""

    max_completion_tokens: bool = False
    temperature: bool = True
    stream_options: bool = True


# Learned from refusals, per server and model; forgotten when the process ends.
_dialects: dict[tuple[str, str], Dialect] = {}

_REFUSED = re.compile(
    r"unsupported|does not support|unknown|unrecognized|unexpected|extra|not (supported|permitted|allowed)",
    re.IGNORECASE,
)


def patience(idle: float = 120.0) -> Patience:
    """How long to wait, with LOOM_MODEL_TIMEOUT (seconds) for a whole call."""
    raw = os.environ.get("LOOM_MODEL_TIMEOUT", "").strip() or "600"
    try:
        total = float(raw)
    except ValueError:
        total = 0.0
    if not total > 0:
        raise BadInput(f"LOOM_MODEL_TIMEOUT must be a number of seconds, not {raw!r}.")
    return Patience(connect=min(10.0, total), total=total, idle=min(idle, total))


def chat(server: Server, ask: Ask, *, limits: Patience, on_delta: OnDelta | None = None) -> Answer:
    """One chat completion. Parameters the server refuses by name are left out from then on."""
    place = (server.url, ask.model)
    for _ in range(ADAPTATIONS):
        dialect = _dialects.get(place) or Dialect(max_completion_tokens="://api.openai.com" in server.url)
        try:
            return _chat(server, ask, dialect, limits, on_delta)
        except Rejected as refusal:
            learned = _learn(dialect, ask, refusal.message)
            if learned is None:
                raise
            _dialects[place] = learned
    return _chat(server, ask, _dialects[place], limits, on_delta)


def models(server: Server, *, limits: Patience) -> list[dict[str, object]]:
    """What `/models` lists: objects with at least an `id`."""
    with exchange(server, "GET", "/models", patience=limits) as answer:
        if answer.status != 200:
            raise _fault(answer, Asked(server.label, key=server.key))
        try:
            data = orjson.loads(answer.body())
        except orjson.JSONDecodeError:
            data = None
    listed = data.get("data") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise Garbage(f"{server.label} does not list its models.")
    return [model for model in listed if isinstance(model, dict) and isinstance(model.get("id"), str)]


def has_model(server: Server, name: str, *, limits: Patience) -> bool | None:
    """Whether the server knows a model it does not list, such as an alias; None if it does not say."""
    with exchange(server, "GET", f"/models/{quote(name)}", patience=limits) as answer:
        answer.head(ERROR_BODY_LIMIT)
        return {200: True, 404: False}.get(answer.status)


def encode(ask: Ask, dialect: Dialect) -> bytes:
    """The request body; the history is joined, never parsed."""
    limit = "max_completion_tokens" if dialect.max_completion_tokens else "max_tokens"
    parts = [
        b'{"model":', orjson.dumps(ask.model),
        b',"messages":[', b",".join(ask.messages),
        b'],"', limit.encode(), b'":', str(ask.max_tokens).encode(),
    ]  # fmt: skip
    if ask.tools:
        parts += [b',"tools":', ask.tools]
    if ask.temperature is not None and dialect.temperature:
        parts += [b',"temperature":', orjson.dumps(ask.temperature)]
    if ask.stream:
        parts.append(b',"stream":true')
        if dialect.stream_options:
            parts.append(b',"stream_options":{"include_usage":true}')
    parts.append(b"}")
    return b"".join(parts)


def _chat(server: Server, ask: Ask, dialect: Dialect, limits: Patience, on_delta: OnDelta | None) -> Answer:
    asked = Asked(server.label, ask.model, server.key, tools=bool(ask.tools))
    sent = partial(encode, ask, dialect)
    with exchange(server, "POST", "/chat/completions", body=sent, patience=limits) as answer:
        if answer.status != 200:
            raise _fault(answer, asked)
        try:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return _stream(answer, server, on_delta)
            body = answer.body()
            if body.lstrip().startswith(b"data:"):  # a stream under the wrong name
                return _stream_of([body], server, on_delta)
            whole = read_body(body)  # also from a server that ignores "stream"
        except ErrorInside as inside:
            raise fault_of(inside.status, answer.headers, inside.body, asked) from None
    if on_delta is not None and whole.text:
        on_delta(whole.text)
    return whole


def _stream(answer: Exchange, server: Server, on_delta: OnDelta | None) -> Answer:
    whole = _stream_of(answer.pieces(), server, on_delta)
    answer.drain(0.2)
    return whole


def _stream_of(pieces: Iterable[bytes], server: Server, on_delta: OnDelta | None) -> Answer:
    reader = StreamReader(on_delta)
    try:
        for piece in pieces:
            reader.feed(piece)
            if reader.done:
                break
        else:
            reader.end()
    except CallFailed as failure:
        # What has come so far was generated, so it will be on the bill.
        failure.usage = failure.usage or reader.merged.usage or _so_far(reader)
        raise
    if reader.merged.is_empty and not reader.merged.finish_reason and not reader.done:
        usage = reader.merged.usage
        raise Garbage(f"{server.label} sent a stream without an answer.", billable=True, usage=usage)
    if not reader.done and not reader.merged.finish_reason:
        usage = _so_far(reader)
        raise Unreachable(
            f"{server.label} broke off in the middle of its answer.", billable=True, usage=usage
        )
    return reader.merged.answer()


def _so_far(reader: StreamReader) -> Usage | None:
    size = reader.merged.size
    return Usage(completion=-(-size // 4), estimated=True) if size else None


def _fault(answer: Exchange, asked: Asked) -> CallFailed:
    try:
        body = answer.head(ERROR_BODY_LIMIT)
    except CallFailed:
        body = b""  # the status alone says enough
    return fault_of(answer.status, answer.headers, body, asked)


def _learn(dialect: Dialect, ask: Ask, said: str) -> Dialect | None:
    """The dialect after this refusal; None if it names nothing we can leave out."""
    if not _REFUSED.search(said):
        return None
    if "max_completion_tokens" in said and not dialect.max_completion_tokens:
        return replace(dialect, max_completion_tokens=True)
    if "temperature" in said and ask.temperature is not None and dialect.temperature:
        return replace(dialect, temperature=False)
    if "stream_options" in said and ask.stream and dialect.stream_options:
        return replace(dialect, stream_options=False)
    return None
