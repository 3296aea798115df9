"""Indentation that is off as a whole: find the one rule that turns the model's into the file's."""

from __future__ import annotations

from collections.abc import Callable

Shift = Callable[[str], "str | None"]


def find_shift(told: list[str], there: list[str]) -> Shift | None:
    """A function that re-indents a line as `told` must be to become `there`; None if no rule fits all lines.

    The function answers None for a line that the rule cannot move.
    """
    pairs = {
        (_indent(one), _indent(two))
        for one, two in zip(told, there, strict=True)
        if one.strip() and two.strip()
    }
    mixed = any("\t" in file and " " in file for _, file in pairs)
    for rule in (_added(pairs), _removed(pairs), _converted(pairs)):
        if rule is not None and all(rule(old) == new for old, new in pairs):
            return _on_lines(rule, mixed=mixed)
    return None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _on_lines(rule: Shift, *, mixed: bool) -> Shift:
    def shift(line: str) -> str | None:
        if not line.strip():
            return ""
        indent = rule(_indent(line))
        if indent is None or ("\t" in indent and " " in indent and not mixed):
            return None
        return indent + line.lstrip(" \t")

    return shift


def _added(pairs: set[tuple[str, str]]) -> Shift | None:
    old, new = min(pairs)
    if not new.endswith(old):
        return None
    prefix = new[: len(new) - len(old)]
    return lambda indent: prefix + indent


def _removed(pairs: set[tuple[str, str]]) -> Shift | None:
    old, new = min(pairs)
    if not old.endswith(new):
        return None
    prefix = old[: len(old) - len(new)]
    return lambda indent: indent[len(prefix) :] if indent.startswith(prefix) else None


def _converted(pairs: set[tuple[str, str]]) -> Shift | None:
    """Spaces for tabs or tabs for spaces; None when the lines leave open how many spaces a tab stands for."""
    fitting = [
        rule
        for unit in (2, 3, 4, 8)
        for rule in (_to_tabs(unit), _to_spaces(unit))
        if all(rule(old) == new for old, new in pairs)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _to_tabs(unit: int) -> Shift:
    def rule(indent: str) -> str | None:
        steps, rest = divmod(len(indent), unit)
        return None if rest or "\t" in indent else "\t" * steps

    return rule


def _to_spaces(unit: int) -> Shift:
    return lambda indent: None if " " in indent else " " * (unit * len(indent))
