"""For text that was not found: the place in the file that comes closest, as a short diff."""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches, unified_diff

_MOST_LINES = 3000
_SHOWN = 40


def show_closest(have: list[str], wanted: list[str]) -> str:
    """What to tell the model: a diff from the closest lines of the file to those it gave."""
    while wanted and not wanted[0].strip():
        wanted = wanted[1:]
    start = _closest_start(have, wanted)
    if start is None:
        return "Nothing in the file is like it: read the file, then copy the lines to replace exactly."
    end = min(len(have), start + len(wanted))
    diff = list(
        unified_diff(
            have[start:end],
            wanted[:_MOST_LINES],
            f"the file, lines {start + 1}-{end}",
            "your old_text",
            n=2,
            lineterm="",
        )
    )
    if len(diff) > _SHOWN:
        diff = [*diff[:_SHOWN], f"... {len(diff) - _SHOWN} more lines differ"]
    shown = "\n".join(line if len(line) <= 200 else line[:200] + "..." for line in diff)
    return f"The closest place differs like this; copy the lines marked - exactly:\n{shown}"


def _closest_start(have: list[str], wanted: list[str]) -> int | None:
    """Every line of `wanted` that the file has votes for a place; rare lines weigh more."""
    places: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(have[: _MOST_LINES * 10]):
        if line.strip():
            places[line.strip()].append(number)
    votes: dict[int, float] = defaultdict(float)
    for number, line in enumerate(wanted[:200]):
        found = places.get(line.strip(), ())
        for place in found[:20]:
            votes[place - number] += 1 / len(found)
    if votes:
        return max(0, max(votes, key=lambda start: (votes[start], -start)))
    return _similar_start(list(places)[:_MOST_LINES], places, wanted)


def _similar_start(known: list[str], places: dict[str, list[int]], wanted: list[str]) -> int | None:
    for line in sorted((line.strip()[:300] for line in wanted), key=len, reverse=True)[:2]:
        close = get_close_matches(line, [one for one in known if len(one) <= 300], n=1, cutoff=0.6)
        if close:
            number = next(index for index, one in enumerate(wanted) if one.strip()[:300] == line)
            return max(0, places[close[0]][0] - number)
    return None
