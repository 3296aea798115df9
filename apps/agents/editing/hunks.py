"""Putting hunks where their lines say they belong; line numbers only choose between equal places."""

from __future__ import annotations

from dataclasses import dataclass

from apps.agents.editing.closest import show_closest
from apps.agents.editing.patch import CUT_OFF, Hunk, PatchRefused
from apps.agents.editing.text import Line, find_block, join_lines, prevailing_newline, splice, split_lines

_MOST_FUZZ = 2


@dataclass(frozen=True)
class Patched:
    """The new text; `notes` says which hunks sat elsewhere than they claimed or needed fuzz."""

    text: str
    notes: tuple[str, ...] = ()


def apply_hunks(text: str, hunks: list[Hunk], *, name: str) -> Patched:
    """All `hunks` in `text`, or PatchRefused that names the first one that has no place, or several."""
    lines = split_lines(text)
    shift = floor = 0
    notes: list[str] = []
    numbered = all(hunk.start is not None for hunk in hunks)
    for hunk in sorted(hunks, key=lambda one: one.start or 0) if numbered else hunks:
        expected = None if hunk.start is None else max(hunk.start - 1, 0) + shift
        place, fuzz = _place(lines, hunk, expected, floor, name)
        body = _trimmed(hunk, fuzz)
        removed = sum(sign != "+" for sign, _ in body)
        fresh = _fresh(lines[place : place + removed], body, prevailing_newline(text))
        if hunk is hunks[-1] and hunk.cut_off and place + removed < len(lines):
            raise PatchRefused(CUT_OFF, hint="The unchanged lines after its last change are missing.")
        lines = splice(lines, place, place + removed, fresh)
        _set_final_newline(lines, hunk, at_end=place + len(fresh) == len(lines))
        if expected is not None and (place - _head(hunk, fuzz) != expected or fuzz):
            notes.append(
                f"hunk {hunk.number} fitted at line {place + 1}" + (f" with fuzz {fuzz}" if fuzz else "")
            )
        shift += len(fresh) - removed + (0 if expected is None else place - _head(hunk, fuzz) - expected)
        floor = place + len(fresh)
    return Patched(join_lines(lines), tuple(notes))


def new_text(hunks: list[Hunk]) -> str:
    """The text of a file that a patch creates."""
    lines = [text for hunk in hunks for sign, text in hunk.lines if sign != "-"]
    bare = bool(hunks) and hunks[-1].new_bare
    return "\n".join(lines) + ("" if bare or not lines else "\n")


def _place(lines: list[Line], hunk: Hunk, expected: int | None, floor: int, name: str) -> tuple[int, int]:
    """The index where the hunk's lines stand, and the number of outer context lines left out to find it."""
    have = [line.body.rstrip() for line in lines]
    if not any(sign != "+" for sign, _ in hunk.lines):
        if have:
            raise PatchRefused(
                f"Hunk {hunk.number} of {name} has no line to find its place by.",
                hint="Show unchanged lines before and after the change, each beginning with a space.",
            )
        return 0, 0
    low = _after_anchor(have, hunk, floor, name)
    for fuzz in range(_MOST_FUZZ + 1):
        wanted = [text.rstrip() for sign, text in _trimmed(hunk, fuzz) if sign != "+"]
        if fuzz and (wanted == _wanted(hunk, fuzz - 1) or not any(wanted)):
            break
        places = [low + place for place in find_block(have[low:], wanted)]
        if expected is not None and expected + _head(hunk, fuzz) in places:
            return expected + _head(hunk, fuzz), fuzz
        if len(places) == 1:
            return places[0], fuzz
        if places:
            shown = ", ".join(str(place + 1) for place in places)
            raise PatchRefused(
                f"Hunk {hunk.number} of {name} fits in {len(places)} places: at lines {shown}.",
                hint="Show more unchanged lines around the change.",
            )
    raise PatchRefused(
        f"Hunk {hunk.number} of {name} does not fit.",
        hint=show_closest([line.body for line in lines], [text for sign, text in hunk.lines if sign != "+"]),
    )


def _after_anchor(have: list[str], hunk: Hunk, floor: int, name: str) -> int:
    if not hunk.anchor:
        return floor
    for index in range(floor, len(have)):
        if have[index].strip() == hunk.anchor:
            return index
    raise PatchRefused(
        f"Hunk {hunk.number} of {name} begins after the line {hunk.anchor[:120]!r}, which is not there.",
        hint="Read the file and copy the line exactly.",
    )


def _head(hunk: Hunk, fuzz: int) -> int:
    """How many context lines fuzz takes away at the start."""
    return _spare(hunk, [sign for sign, _ in hunk.lines], fuzz)


def _spare(hunk: Hunk, signs: list[str], fuzz: int) -> int:
    context = next((index for index, sign in enumerate(signs) if sign != " "), len(signs))
    # Something must hold an insertion in place: the line next to it is never given up.
    keep = 0 if any(sign == "-" for sign, _ in hunk.lines) else 1
    return max(0, min(fuzz, context - keep))


def _trimmed(hunk: Hunk, fuzz: int) -> list[tuple[str, str]]:
    tail = _spare(hunk, [sign for sign, _ in reversed(hunk.lines)], fuzz)
    return hunk.lines[_head(hunk, fuzz) : len(hunk.lines) - tail]


def _wanted(hunk: Hunk, fuzz: int) -> list[str]:
    return [text.rstrip() for sign, text in _trimmed(hunk, fuzz) if sign != "+"]


def _fresh(there: list[Line], body: list[tuple[str, str]], newline: str) -> list[Line]:
    """The lines after the hunk; context keeps the form it has in the file."""
    fresh: list[Line] = []
    known = iter(there)
    for sign, text in body:
        if sign == "+":
            fresh.append(Line(text, newline))
            continue
        line = next(known)
        if sign == " ":
            fresh.append(Line(line.body, line.ending or newline))
    return fresh


def _set_final_newline(lines: list[Line], hunk: Hunk, *, at_end: bool) -> None:
    if not (at_end and lines and (hunk.old_bare or hunk.new_bare)):
        return
    ending = "" if hunk.new_bare else prevailing_newline(join_lines(lines))
    lines[-1] = Line(lines[-1].body, ending)
