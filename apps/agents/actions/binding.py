"""From a call as the model wrote it to an action with valid arguments, or an error that teaches."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Any, Protocol

from pydantic import ValidationError

from apps.agents.actions.base import Action
from apps.agents.actions.manual import signature_of
from apps.agents.actions.registry import plain_name, resolve
from apps.core.errors import BadInput

_SHOWN = 5  # findings about arguments told at once


class ActionError(BadInput):
    """A call that cannot be done as it stands; `str()` is what the model is shown."""


class CallLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...


def bind(call: CallLike, allowed: set[str]) -> Action:
    """The action that `call` asks for; `allowed` holds the canonical names this session may use."""
    kind = resolve(call.name)
    if kind is None:
        raise ActionError(_unknown(call.name, allowed))
    kind = kind.chosen(call.arguments)
    if kind.name not in allowed and not kind.always:
        raise ActionError(f"{kind.name} is not open to you here. You may use: {', '.join(sorted(allowed))}.")
    try:
        return kind.model_validate(kind.adapted(call.arguments, called=plain_name(call.name)))
    except ValidationError as error:
        raise ActionError(_wrong(kind, error)) from error


def _unknown(name: str, allowed: set[str]) -> str:
    close = get_close_matches(plain_name(name), sorted(allowed), n=1, cutoff=0.6)
    guess = f" Did you mean {close[0]}?" if close else ""
    return f"There is no action {name[:80]!r}.{guess} You may use: {', '.join(sorted(allowed))}."


def _wrong(kind: type[Action], error: ValidationError) -> str:
    findings = [_finding(kind, one["type"], one["loc"], one["msg"], one["input"]) for one in error.errors()]
    told = "; ".join(findings[:_SHOWN])
    expected = f"Expected: {signature_of(kind)}"
    return f"{kind.name}: {told}.\n{expected}" + (f"\nExample: {kind.example}" if kind.example else "")


def _finding(kind: type[Action], type_: str, loc: tuple[int | str, ...], message: str, given: Any) -> str:
    where = ".".join(str(part) for part in loc)
    if type_ == "missing":
        return f"{where} is missing"
    if type_ == "extra_forbidden":
        close = get_close_matches(where, list(kind.model_fields), n=1, cutoff=0.6)
        return f"{where} is not an argument" + (f" (did you mean {close[0]}?)" if close else "")
    if type_ == "value_error":
        return message.removeprefix("Value error, ")
    shown = json.dumps(given, ensure_ascii=False, default=str)
    return f"{where}: {message}, not {shown if len(shown) <= 60 else shown[:60] + '...'}"
