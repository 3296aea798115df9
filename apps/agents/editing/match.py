"""Replace one piece of text by another: exactly, or despite slips that leave only one possible meaning."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise

from apps.agents.editing.closest import show_closest
from apps.agents.editing.indent import find_shift
from apps.agents.editing.text import (
    Line,
    bodies,
    find_block,
    join_lines,
    prevailing_newline,
    splice,
    split_lines,
)
from apps.core.errors import BadInput

_NUMBERED = re.compile(r"\s*\d+\t")
_WORD = re.compile(r"\w\w")
_WORDS = re.compile(r"\w+")
_MAX_DRIFT_LINES = 400
_OPENS = re.compile(  # lines that say where one is
    r"[:{(\[]\s*(?:#.*|//.*)?$|^\s*(?:<\w|#+ |@)"
    r"|^\s*(?:(?:async|export|default|pub|public|private|protected|static)\s+)*"
    r"(?:def|class|function|func|fn|interface|struct|enum|trait|impl|type)\s"
)
_LETTER = re.compile(r"\w")
_LEAST_TOLD = 12  # characters beside indentation
_MANY = 20


class EditRefused(BadInput):
    """The edit has no place or several; nothing was changed."""


@dataclass(frozen=True)
class Edit:
    """The new text, and where the replacement stands in it (1-based lines; last < first: only removed).

    `splits_line`: it began with the line or before, and ends within it; so whole lines may have been meant.
    """

    text: str
    first: int
    last: int
    how: str = ""
    splits_line: bool = False


@dataclass(frozen=True)
class _Wish:
    """What the model asked for, line by line: `kept` lines at both ends are the same before and after."""

    old: list[str]
    new: list[str]
    head: int
    tail: int

    @property
    def removed(self) -> list[str]:
        return self.old[self.head : len(self.old) - self.tail]

    @property
    def added(self) -> list[str]:
        return self.new[self.head : len(self.new) - self.tail]


def edit_text(text: str, old: str, new: str) -> Edit:
    """Replace the only place of `old` in `text` by `new`; raises EditRefused, with a diff or line numbers.

    Tried in this order, ending at the first that finds a place: exact (line endings aside), trailing
    spaces, indentation shifted as a whole, surrounding lines slightly different. In the last three,
    lines that old and new share keep the form they have in the file.
    """
    if not text and not old:
        return Edit(new, 1, new.count("\n") + 1)
    if not old.strip("\r\n"):
        raise EditRefused("old_text is empty.", hint="Give the lines to replace, or use write_file.")
    if old == new:
        raise EditRefused("old_text and new_text are the same.", hint="Nothing to change: go on.")
    edit = _attempt(text, old, new)
    if edit is None and _all_numbered(old):
        edit = _attempt(text, _without_numbers(old), _without_numbers(new))
    if edit is None:
        raise _not_found(text, old, new)
    return edit


def _attempt(text: str, old: str, new: str) -> Edit | None:
    edit = _exact(text, old, new)
    if edit is not None:
        return edit
    lines = split_lines(text)
    wish = _wish(bodies(old), bodies(new))
    if wish.added and find_block([line.body for line in lines], wish.new):
        return None  # the change is there already
    for stage in (_trailing_spaces, _shifted, _drifted):
        edit = stage(lines, wish)
        if edit is not None:
            return edit
    return None


def _exact(text: str, old: str, new: str) -> Edit | None:
    flat, old, new = text.replace("\r\n", "\n"), old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    starts = [start for start in _occurrences(flat, old) if not _inside_indentation(flat, start)]
    if not starts:
        return None
    first_lines = [flat.count("\n", 0, start) + 1 for start in starts]
    if len(starts) > 1:
        raise _ambiguous(first_lines, old)
    begin, end = starts[0], starts[0] + len(old)
    if _cuts_word(flat, begin) or _cuts_word(flat, end):
        raise EditRefused(
            f"old_text stands only inside a longer word, at line {first_lines[0]}.",
            hint="Give whole words, best whole lines.",
        )
    splits_line = _whole_enough(flat, begin, end, old, new)
    place = (begin, end)
    if len(flat) != len(text):
        place = _unflatten(text, begin), _unflatten(text, end)
        new = new.replace("\n", _newline_near(text, place[0]))
    changed = text[: place[0]] + new + text[place[1] :]
    last_line = first_lines[0] + new.count("\n") - new.endswith("\n")
    return Edit(changed, first_lines[0], last_line, splits_line=splits_line)


def _inside_indentation(text: str, start: int) -> bool:
    """Whether text that brings its own indentation was found in a deeper one: that is no exact match."""
    line = text.rfind("\n", 0, start) + 1
    return text[start] in " \t" and line < start and not text[line:start].strip()


def _whole_enough(text: str, begin: int, end: int, old: str, new: str) -> bool:
    """Refuse pieces of lines whose replacement shows that whole lines were meant; whether a line is split."""
    line = text.rfind("\n", 0, begin) + 1
    indent, rest = text[line:begin], text[end:].partition("\n")[0].rstrip()
    starts = not indent.strip()
    splits = bool(rest.strip()) and not old.endswith("\n") and (starts or "\n" in old)
    if splits and _breaks_off(old, new, rest):
        raise EditRefused(
            f"old_text ends within a line, before {rest.strip()[:80]!r}.", hint="Give whole lines."
        )
    if indent and starts and "\n" not in old.strip("\n") and "\n" in new.strip("\n"):
        raise EditRefused(
            "old_text leaves out the indentation of its line, so that of the lines in new_text is unclear.",
            hint="Give whole lines with their indentation in both.",
        )
    return splits


def _breaks_off(old: str, new: str, rest: str) -> bool:
    """Whether `rest`, which follows `old` in its last line, was most likely to be replaced too."""
    told, last = old.rpartition("\n")[2], new.rpartition("\n")[2]
    if new and old[-1].isspace() and not new[-1].isspace():
        return True  # what follows would run into what is new
    if any(line.rstrip().endswith(rest) for line in new.split("\n")) or _balance(old) != _balance(new):
        return True
    if not _LETTER.search(rest):
        return False
    if "\n" not in old:  # more than a name that is exchanged, and nothing of it stays
        return bool(last) and len(told.split()) > 1 and not {*_WORDS.findall(told)} & {*_WORDS.findall(last)}
    return not last.endswith(told.strip())


def _balance(text: str) -> tuple[int, ...]:
    """How many brackets stay open, and whether a quotation does."""
    pairs = [text.count(one) - text.count(two) for one, two in ("()", "[]", "{}")]
    return (*pairs, text.count('"') % 2)


def _cuts_word(text: str, offset: int) -> bool:
    return bool(_WORD.fullmatch(text[max(0, offset - 1) : offset + 1]))


def _occurrences(text: str, part: str) -> list[int]:
    found: list[int] = []
    at = text.find(part)
    while at >= 0 and len(found) < _MANY:
        found.append(at)
        at = text.find(part, at + 1)
    return found


def _unflatten(text: str, offset: int) -> int:
    """The offset in `text` of an offset counted with every CRLF as one character."""
    lines = split_lines(text)
    starts = [0, *accumulate(len(line.body) + 1 for line in lines)]
    before = lines[: bisect_right(starts, offset) - 1]
    return offset + sum(line.ending == "\r\n" for line in before)


def _newline_near(text: str, offset: int) -> str:
    end = text.find("\n", offset)
    if end < 0:
        return prevailing_newline(text)
    return "\r\n" if text[end - 1 : end] == "\r" else "\n"


def _wish(old: list[str], new: list[str]) -> _Wish:
    while old and not old[0].strip():
        old = old[1:]
        new = new[1:] if new and not new[0].strip() else new
    while old and not old[-1].strip():
        old = old[:-1]
        new = new[:-1] if new and not new[-1].strip() else new
    shared = min(len(old), len(new))
    head = next((i for i in range(shared) if old[i] != new[i]), shared)
    left = shared - head
    tail = next((i for i in range(left) if old[-1 - i] != new[-1 - i]), left)
    return _Wish(old, new, head, tail)


def _trailing_spaces(lines: list[Line], wish: _Wish) -> Edit | None:
    places = find_block([line.body.rstrip() for line in lines], [line.rstrip() for line in wish.old])
    if len(places) > 1:
        raise _ambiguous([place + 1 for place in places], "\n".join(wish.old))
    if not places:
        return None
    return _merged(lines, wish, places[0] + wish.head, "matched although trailing spaces differ")


def _shifted(lines: list[Line], wish: _Wish) -> Edit | None:
    told = [line.strip() for line in wish.old]
    if sum(map(len, told)) < _LEAST_TOLD:
        return None  # a lone "else:" is anywhere
    places = find_block([line.body.strip() for line in lines], told)
    shifts: list[tuple[int, Callable[[str], str | None]]] = []
    for place in places:
        shift = find_shift(wish.old, [line.body for line in lines[place : place + len(wish.old)]])
        if shift is not None:
            shifts.append((place, shift))
    if len(shifts) > 1 or (shifts and len(places) == _MANY):
        raise _ambiguous([place + 1 for place, _ in shifts], "\n".join(wish.old))
    if not shifts:
        return None
    place, shift = shifts[0]
    added = [shift(line) for line in wish.added]
    if None in added:
        return None
    moved = _Wish(
        wish.old,
        [*wish.new[: wish.head], *map(str, added), *_last(wish.new, wish.tail)],
        wish.head,
        wish.tail,
    )
    return _merged(
        lines,
        moved,
        place + wish.head,
        "matched although the indentation differs; new_text was shifted alike",
    )


def _last(lines: list[str], count: int) -> list[str]:
    return lines[len(lines) - count :]


def _drifted(lines: list[Line], wish: _Wish) -> Edit | None:
    """Lines that stay may differ a little from the file; lines that go, and their neighbors, may not."""
    if not 3 <= len(wish.old) <= _MAX_DRIFT_LINES:
        return None
    have, want = [line.body.rstrip() for line in lines], [line.rstrip() for line in wish.old]
    window = _anchored_window(have, want)
    if window is None:
        return None
    low, high, offset, slack = window
    end = len(want) - wish.tail
    for before, after in ((1, 1), (1, 0), (0, 1)):
        if wish.head < before or wish.tail < after or (not wish.removed and before + after != 2):
            continue
        block = want[wish.head - before : end + after]
        places = find_block(have[low:high], block)
        if len(places) == 1:
            place = low + places[0] + before
            if abs(place - wish.head - offset) > slack or _elsewhere(set(have[low:high]), want):
                return None
            return _merged(
                lines, wish, place, "matched although nearby lines differ; those were left as they are"
            )
        if places:
            return None
    return None


def _elsewhere(there: set[str], want: list[str]) -> bool:
    """Whether a line that names its place, such as the head of a function, is another one in the file."""
    return any(_OPENS.search(line) for line in want if line not in there)


def _anchored_window(have: list[str], want: list[str]) -> tuple[int, int, int, int] | None:
    """Where `want` must lie in `have`, judged by lines that are unique in both: (low, high, offset, slack).

    None unless at least two such lines agree on the place and most lines of `want` are there.
    """
    slack = max(2, len(want) // 10)
    in_file, in_wish = Counter(have), Counter(want)
    index = {line: number for number, line in enumerate(have)}
    anchors = [
        (number, index[line])
        for number, line in enumerate(want)
        if len(line.strip()) >= 4 and in_wish[line] == 1 and in_file[line] == 1
    ]
    if len(anchors) < 2:
        return None
    offsets = [place - number for number, place in anchors]
    ordered = all(one[1] < two[1] for one, two in pairwise(anchors))
    if not ordered or max(offsets) - min(offsets) > slack:
        return None
    low = max(0, min(offsets) - slack)
    high = min(len(have), max(offsets) + len(want) + slack)
    told = [line for line in want if line]
    there = set(have[low:high])
    if sum(line in there for line in told) < 0.7 * len(told):
        return None
    return low, high, min(offsets), slack


def _merged(lines: list[Line], wish: _Wish, start: int, how: str) -> Edit:
    newline = prevailing_newline(join_lines(lines))
    end = start + len(wish.removed)
    fresh = [Line(body, newline) for body in wish.added]
    text = join_lines(splice(lines, start, end, fresh))
    return Edit(text, start + 1, start + len(fresh), how)


def _ambiguous(first_lines: list[int], old: str) -> EditRefused:
    count = f"{len(first_lines)} places" if len(first_lines) < _MANY else f"{_MANY} or more places"
    shown = ", ".join(str(line) for line in first_lines)
    starts = old.strip().split("\n")[0][:80]
    return EditRefused(
        f"old_text (it starts with {starts!r}) stands in {count}: at lines {shown}.",
        hint="Add lines before or after it until it is the only one.",
    )


def _not_found(text: str, old: str, new: str) -> EditRefused:
    there = text.replace("\r\n", "\n").find(new.replace("\r\n", "\n")) if len(new.strip()) > 8 else -1
    if there >= 0:
        line = text.replace("\r\n", "\n").count("\n", 0, there) + 1
        return EditRefused(
            f"old_text is not in the file, but new_text already is, at line {line}.",
            hint="If that is the change you wanted, it is done.",
        )
    return EditRefused("old_text is not in the file.", hint=show_closest(bodies(text), bodies(old)))


def _all_numbered(text: str) -> bool:
    told = [line for line in bodies(text) if line.strip()]
    return all(_NUMBERED.match(line) for line in told)


def _without_numbers(text: str) -> str:
    if not _all_numbered(text):
        return text
    return "\n".join(_NUMBERED.sub("", line, count=1) for line in text.split("\n"))
