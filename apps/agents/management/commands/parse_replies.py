"""What Loom reads in replies of models: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError

from apps.agents.replies import read_reply


class Command(BaseCommand):
    help = (
        'Read {"id", "reply"} lines and write {"id", "actions", "error"} lines: the complete actions of each '
        "reply in order, and what is wrong with the rest of it. Text of native tool calls may stand in "
        '"tool_calls", as servers send them.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a JSONL file; - reads standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        try:
            with nullcontext(sys.stdin) if name == "-" else _open(name) as lines:
                unreadable = self._answer(lines)
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}.") from error
        if unreadable:
            raise CommandError(f'{unreadable} lines are no {{"id", "reply"}} objects; their answers say why.')

    def _answer(self, lines: Iterable[str]) -> int:
        """How many of the lines could not be read."""
        unreadable = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            answer, is_readable = _read(number, line)
            unreadable += not is_readable
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
        return unreadable


def _open(name: str) -> TextIO:
    return Path(name).open(encoding="utf-8", errors="replace")


def _read(number: int, line: str) -> tuple[dict[str, Any], bool]:
    """The answer to one line, and whether there was a reply in it."""
    try:
        given = json.loads(line)
    except ValueError as error:
        return _refused(None, f"Line {number} is not JSON: {error}."), False
    if not isinstance(given, dict):
        return _refused(None, f"Line {number} is not an object."), False
    reply, calls = given.get("reply"), given.get("tool_calls") or []
    if not isinstance(reply, str | None) or not isinstance(calls, list) or (reply is None and not calls):
        return _refused(given.get("id"), f'Line {number} has no "reply" with a text.'), False
    if not all(isinstance(call, dict) for call in calls):
        return _refused(given.get("id"), f'Line {number} has "tool_calls" that are no objects.'), False
    reading = read_reply(reply, calls)
    actions = [{"type": action.name, **action.arguments} for action in reading.actions]
    return {"id": given.get("id"), "actions": actions, "error": reading.error or None}, True


def _refused(identifier: Any, why: str) -> dict[str, Any]:
    return {"id": identifier, "actions": [], "error": why}
