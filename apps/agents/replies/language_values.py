"""The values of the orchestration language: what each instruction takes, how each parameter is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

DEFAULT_SECONDS = 300.0
MAX_SECONDS = 366 * 86_400.0
MAX_TEXT = 4_000
MAX_NAME = 120
MAX_RETRY = 10

KINDS: dict[str, frozenset[str]] = {
    "WORKFLOW": frozenset(
        {"INPUT", "TIMEOUT", "RETRY", "WAIT", "PRIORITY", "IDEMPOTENCY_KEY", "DESCRIPTION", "WORKFLOW_ID"}
    ),
    "SCHEDULE": frozenset(
        {"INPUT", "INTERVAL", "NAME", "TIMEOUT", "RETRY", "PRIORITY", "IDEMPOTENCY_KEY", "DESCRIPTION"}
    ),
    "QUERY": frozenset({"TYPE", "WORKFLOW_ID", "RUN_ID", "DESCRIPTION"}),
    "SIGNAL": frozenset({"NAME", "DATA", "WORKFLOW_ID", "RUN_ID", "IDEMPOTENCY_KEY", "DESCRIPTION"}),
    "ACTIVITY": frozenset({"INPUT", "RETRY", "PRIORITY", "IDEMPOTENCY_KEY", "DESCRIPTION"}),
    "CANCEL": frozenset({"WORKFLOW_ID", "RUN_ID", "DESCRIPTION"}),
    "LIST": frozenset({"TYPE", "DESCRIPTION"}),
}
NEEDED: dict[str, tuple[str, ...]] = {"SCHEDULE": ("INTERVAL",), "SIGNAL": ("NAME",)}
ABOUT_A_RUN = frozenset({"QUERY", "SIGNAL", "CANCEL"})

_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h|d|w)\s*)+", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_YES, _NO = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})


@dataclass(frozen=True)
class Instruction:
    """One sound instruction; `options` holds its parameters by lower-case name, durations in seconds."""

    kind: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """As arguments of the action `orchestrate`."""
        return {"instruction": self.kind, "target": self.target, "options": self.options}


def duration(value: Any) -> float:
    """Seconds of `5m`, `1h30m`, `now`, `default` or a plain number; ValueError for anything else."""
    text = "" if isinstance(value, bool) else str(value).strip().lower()
    if text in {"now", "default"}:
        return 0.0 if text == "now" else DEFAULT_SECONDS
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    else:
        raise ValueError("a duration such as 5m, 1h30m, now, default or 90 (seconds)")
    if seconds > MAX_SECONDS:
        raise ValueError("a duration of at most 366 days")
    return seconds


def _wait(value: Any) -> float | bool:
    """True waits until the end or the timeout, False not at all, a duration as long as it says."""
    text = str(value).strip().lower()
    if value is True or text in _YES:
        return True
    if value is False or text in _NO:
        return False
    try:
        return duration(value)
    except ValueError:
        raise ValueError("true, false or a duration such as 5m") from None


def _document(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError('a JSON object such as {"key": "value"}')
    return value


def _whole(most: int, example: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = "" if isinstance(value, bool) else str(value).strip().lower().removeprefix("p")
        if not _WHOLE.fullmatch(text) or int(text) > most:
            raise ValueError(f"a whole number from 0 to {most}, such as {example}")
        return int(text)

    return read


def _run_id(value: Any) -> int:
    text = "" if isinstance(value, bool) else str(value).strip()
    if not _WHOLE.fullmatch(text) or int(text) > 2**63 - 1:
        raise ValueError("the number of a run, such as 42")
    return int(text)


def _text(most: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not text or len(text) > most or "\0" in text:
            raise ValueError(f"a text of 1 to {most} characters on one line, or a JSON string")
        return text

    return read


VALUES: dict[str, Callable[[Any], Any]] = {
    "INPUT": _document,
    "DATA": _document,
    "TIMEOUT": duration,
    "INTERVAL": duration,
    "WAIT": _wait,
    "RETRY": _whole(MAX_RETRY, "3"),
    "PRIORITY": _whole(4, "2"),
    "RUN_ID": _run_id,
    "WORKFLOW_ID": _text(160),
    "IDEMPOTENCY_KEY": _text(MAX_NAME),
    "NAME": _text(MAX_NAME),
    "TYPE": _text(MAX_NAME),
    "DESCRIPTION": _text(MAX_TEXT),
}
JSON_PARAMETERS = frozenset({"INPUT", "DATA"})
FORMS = {
    "INPUT": 'INPUT: {"title": "..."}',
    "DATA": 'DATA: {"key": "value"}',
    "TIMEOUT": "TIMEOUT: 5m",
    "INTERVAL": "INTERVAL: 1h30m",
    "WAIT": "WAIT: true",
    "RETRY": "RETRY: 3",
    "PRIORITY": "PRIORITY: 2",
    "RUN_ID": "RUN_ID: 42",
    "WORKFLOW_ID": "WORKFLOW_ID: bead:42:1",
    "IDEMPOTENCY_KEY": "IDEMPOTENCY_KEY: nightly-2026-11",
    "NAME": "NAME: go-on",
    "TYPE": "TYPE: history",
    "DESCRIPTION": "DESCRIPTION: what it is for",
}


LOOKING = ("QUERY", "LIST")
DIRECTING = ("WORKFLOW", "SCHEDULE", "SIGNAL", "CANCEL")


def instructions_of(metadata: Mapping[str, str] | None) -> tuple[str, ...]:
    """What a persona may instruct: all may look and run activities; who delegates and decides may direct."""
    metadata = metadata or {}
    may_direct = "delegate" in metadata.get("actions", "").split()
    if not may_direct or metadata.get("autonomy", "semi") == "supervised":
        return (*LOOKING, "ACTIVITY")
    return (*DIRECTING, "ACTIVITY", *LOOKING)


def parameter_problem(kind: str, name: str) -> str:
    """Why `kind` does not take the parameter `name`; "" if it does."""
    taken = sorted(KINDS[kind])
    if name in KINDS[kind]:
        return ""
    what = f"{kind} does not take {name}" if name in VALUES else f"there is no parameter {name[:40]!r}"
    close = get_close_matches(name.upper(), taken, n=1, cutoff=0.6)
    guess = f" (did you mean {close[0]}?)" if close else ""
    return f"{what}{guess}; expected one of {', '.join(taken)}"


def missing_problem(kind: str, target: str, given: Mapping[str, Any]) -> str:
    """What an instruction lacks; "" if nothing."""
    for name in NEEDED.get(kind, ()):
        if name not in given:
            return f"{kind} needs {name}; expected a line such as `{FORMS[name]}`"
    if kind in ABOUT_A_RUN:
        if not target and not {"RUN_ID", "WORKFLOW_ID"} & given.keys():
            return f"{kind} needs a run; expected `{kind}: <run>` or a line such as `{FORMS['RUN_ID']}`"
    elif not target and kind != "LIST":
        return f"{kind} needs a name; expected `{kind}: <name>`"
    return f"the name of {kind} is longer than {MAX_NAME} characters" if len(target) > MAX_NAME else ""


def instruction_check(kind: str, target: str, options: Mapping[str, Any]) -> Instruction:
    """The instruction that these values make, wherever they come from; ValueError tells what is wrong."""
    word = kind.strip().upper()
    if word not in KINDS:
        raise ValueError(f"there is no instruction {kind[:40]!r}; expected one of {', '.join(KINDS)}")
    target, read = target.strip(), {}
    for given, value in options.items():
        name = given.strip().upper()
        if problem := parameter_problem(word, name):
            raise ValueError(problem)
        try:
            read[name] = VALUES[name](value)
        except ValueError as error:
            raise ValueError(f"{name} is not valid; expected {error}, as in `{FORMS[name]}`") from None
    if problem := missing_problem(word, target, read):
        raise ValueError(problem)
    return Instruction(word, target, {name.lower(): value for name, value in read.items()})


def canonical(instruction: Instruction) -> str:
    """One text for equal instructions."""
    return json.dumps(instruction.arguments(), sort_keys=True, ensure_ascii=False)
