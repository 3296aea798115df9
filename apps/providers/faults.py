"""From what a server said (status, headers, body) to the error that names the cause."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from apps.providers.errors import (
    CallFailed,
    ContextTooLong,
    ModelMissing,
    OutOfCredit,
    RateLimited,
    Rejected,
    ServerFailed,
    TimedOut,
    ToolsUnsupported,
    Unauthorized,
)

SAID_LIMIT = 300  # characters of the server's own words that are passed on
LONGEST_WAIT = 3600.0

_TOO_LONG = re.compile(
    r"context[_ ](length|window|size)|maximum context|exceeds? the (available )?context|reduce the length"
    r"|too many (input )?tokens|(prompt|input|request) is too (long|large)",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(
    r"(does|do) ?n[o']t support (tools?|tool use|tool call|function)"
    r"|not support(ed)?.{0,20}\b(tools?|functions?)\b|that support tool"
    r"|\btools?\b.{0,40}(is|are|was) (not|un)[ -]?(supported|permitted|allowed|available)"
    r"|enable-auto-tool-choice|tools? param requires"
    r"|(unsupported|unknown|unrecognized|extra|unexpected).{0,40}\btools?\b|\btools?\b.{0,20}extra",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|balance|credit|funds)|exceeded your current quota|billing", re.IGNORECASE
)
_WAIT_INSIDE = re.compile(
    r"(?:try again|retry) in\s+(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(\d+(?:\.\d+)?)(ms|s)\b", re.IGNORECASE
)
_RETRY_DELAY = re.compile(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"')
_LOOKS_SECRET = re.compile(r"\b(sk|pk|gsk|xai|key|Bearer)[-_ ][A-Za-z0-9*_\-]{6,}")


@dataclass(frozen=True)
class Asked:
    """What a failed call was about: the provider and model to name, the key never to show."""

    where: str
    model: str = ""
    key: str = field(default="", repr=False)
    tools: bool = False  # whether tools were offered


def fault_of(status: int, headers: Mapping[str, str], body: bytes, asked: Asked) -> CallFailed:
    """The error for an HTTP answer that is no success."""
    said, labels = _spoken(body)
    return named_fault(status, clean(said, asked.key), asked, wait=wait_in(headers, body), labels=labels)


def named_fault(
    status: int, said: str, asked: Asked, *, wait: float | None = None, labels: str = ""
) -> CallFailed:
    """The error for a status and the server's own words.

    `wait`: seconds the server asks for. `labels`: its codes for the fault, which help to tell faults apart.
    """
    heard = f"{said} {labels}"
    where, model, told = asked.where, asked.model, f": {_sentence(said)}" if said else "."
    if asked.tools and status in (400, 404, 422, 500, 501) and _NO_TOOLS.search(heard):
        return ToolsUnsupported(f"The model {model} at {where} takes no tools{told}")
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(heard)):
        return ContextTooLong(f"The conversation is too long for {model} at {where}{told}")
    if status in (401, 403):
        return Unauthorized(f"{where} refused the API key ({status}){told}")
    if status == 402 or (status == 429 and _NO_CREDIT.search(heard)):
        return OutOfCredit(f"The account at {where} has no credit left{told}")
    if status == 429:
        return RateLimited(f"{where} limits the rate of calls{told}", retry_after=wait)
    if status in (404, 405):
        return ModelMissing(f"{where} knows no model {model!r} or no such address ({status}){told}")
    if status in (408, 504):
        return TimedOut(f"{where} gave up on the call ({status}){told}", retry_after=wait, billable=True)
    if status >= 500:
        return ServerFailed(f"{where} failed ({status}){told}", retry_after=wait)
    if 300 <= status < 400:
        hint = "Set the provider's URL to the final address."
        return Rejected(f"{where} answers with a redirect ({status}).", hint=hint)
    return Rejected(f"{where} rejected the call ({status}){told}")


def _sentence(said: str) -> str:
    """The server's words with an end: what to do follows them."""
    return said if said[-1:] in ".!?…" else f"{said}."


def clean(text: str, key: str = "") -> str:
    """One short line without anything that looks like a key."""
    line = " ".join(redact(text.replace("\0", ""), key).split())
    return line if len(line) <= SAID_LIMIT else line[: SAID_LIMIT - 1] + "…"


def _spoken(body: bytes) -> tuple[str, str]:
    """The server's message for people, and its labels for programs."""
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace")
        return ("" if "<" in text[:200] else text), ""  # an HTML page says nothing useful
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, dict) and data.get("error"):
        data = data["error"]
    if not isinstance(data, dict):
        return (data if isinstance(data, str) else ""), ""
    words = [data.get(name) for name in ("message", "detail")]
    labels = [data.get(name) for name in ("code", "type", "status")]
    return _joined(words), _joined(labels)


def _joined(values: list[object]) -> str:
    return " ".join(value for value in values if isinstance(value, str))


def redact(text: str, key: str = "") -> str:
    """Servers like to quote the key they refuse."""
    if key:
        text = text.replace(key, "[key]")
    return _LOOKS_SECRET.sub("[key]", text)


def wait_in(headers: Mapping[str, str], body: bytes) -> float | None:
    """Seconds the server asks us to wait, from whichever of the usual places says so."""
    if milliseconds := _number(headers.get("retry-after-ms")):
        return _bounded(milliseconds / 1000)
    header = (headers.get("retry-after") or "").strip()
    if (seconds := _number(header)) is not None:
        return _bounded(seconds)
    if header:
        try:
            return _bounded(parsedate_to_datetime(header).timestamp() - time.time())
        except ValueError:
            pass
    text = body[:4096].decode("utf-8", "replace")
    if found := _RETRY_DELAY.search(text):
        return _bounded(float(found[1]))
    if found := _WAIT_INSIDE.search(text):
        hours, minutes, amount = int(found[1] or 0), int(found[2] or 0), float(found[3])
        return _bounded(3600 * hours + 60 * minutes + amount / (1000 if found[4].lower() == "ms" else 1))
    return None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_WAIT)
