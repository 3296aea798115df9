"""Patches and whole files, got right or wrong; imported for the kinds it adds."""

from __future__ import annotations

import random
import re
from difflib import unified_diff

from tests.campaigns._edit_cases import Case, kind
from tests.campaigns._edit_sources import Change, renamed, sources, text


def diff_of(change: Change, context: int = 3) -> list[str]:
    before, after = (side.split("\n")[:-1] for side in (change.before, change.after))
    names = f"a/{change.path}", f"b/{change.path}"
    return list(unified_diff(before, after, names[0], names[1], n=context, lineterm=""))


def patch(
    change: Change, lines: list[str], meant: str | None, *, must_apply: bool = False, before: str = ""
) -> Case:
    return Case(
        change.path,
        (before or change.before).encode(),
        None if meant is None else meant.encode(),
        {"patch": "\n".join(lines) + "\n"},
        must_apply,
        "apply_patch",
    )


def renumbered(lines: list[str], by: int) -> list[str]:
    def moved(match: re.Match[str]) -> str:
        return f"{match[1]}{max(1, int(match[2]) + by)}"

    return [re.sub(r"([-+])(\d+)", moved, line) if line.startswith("@@") else line for line in lines]


def contexts(lines: list[str]) -> list[str]:
    return [line[1:] for line in lines[3:] if line[0] in " -"]


@kind
def patch_exact(dice: random.Random, change: Change) -> Case | None:
    return patch(change, diff_of(change), change.after, must_apply=True)


@kind
def patch_with_wrong_numbers(dice: random.Random, change: Change) -> Case | None:
    lines = renumbered(diff_of(change), dice.choice((-9, -3, 5, 40)))
    if change.before.count(text(contexts(lines))) != 1:
        return None
    return patch(change, lines, change.after, must_apply=True)


@kind
def patch_with_wrong_counts(dice: random.Random, change: Change) -> Case | None:
    lines = [
        re.sub(r",\d+", f",{dice.randint(1, 20)}", line) if line.startswith("@@") else line
        for line in diff_of(change)
    ]
    return patch(change, lines, change.after, must_apply=True)


@kind
def patch_without_numbers(dice: random.Random, change: Change) -> Case | None:
    lines = ["@@" if line.startswith("@@") else line for line in diff_of(change)]
    whole = change.before.count(text(contexts(lines))) == 1
    return patch(change, lines, change.after if whole else None, must_apply=whole)


@kind
def patch_after_the_file_moved_on(dice: random.Random, change: Change) -> Case | None:
    more = dice.randint(1, 30)
    fresh = [f"# line {number} that came later" for number in range(more)]
    whole = change.before.count(text(contexts(diff_of(change)))) == 1
    before, after = (text(fresh) + side for side in (change.before, change.after))
    return patch(change, diff_of(change), after, must_apply=whole, before=before) if whole else None


@kind
def patch_with_a_drifted_outer_line(dice: random.Random, change: Change) -> Case | None:
    lines = diff_of(change)
    at = dice.choice((3, len(lines) - 1))
    if lines[at][0] != " " or change.before.count(text(contexts(lines))) != 1:
        return None
    other = renamed(dice, lines[at])
    lines[at] = other
    return patch(change, lines, change.after)


@kind
def patch_with_drift_in_what_goes(dice: random.Random, change: Change) -> Case | None:
    lines = diff_of(change)
    gone = [n for n, line in enumerate(lines) if n > 2 and line.startswith("-")]
    if not gone:
        return None
    at = dice.choice(gone)
    other = renamed(dice, lines[at])
    if other == lines[at] or "+" + other[1:] in lines:
        return None
    lines[at] = other
    return patch(change, lines, None)


@kind
def patch_in_two_places(dice: random.Random, change: Change) -> Case | None:
    lines = ["@@" if line.startswith("@@") else line for line in diff_of(change)]
    return patch(change, lines, None, before=text([*change.lines, *contexts(lines)]))


@kind
def patch_for_another_file(dice: random.Random, change: Change) -> Case | None:
    path, lines = dice.choice(sources())
    if path == change.path or text(contexts(diff_of(change))) in text(lines):
        return None
    gone = [line[1:] for line in diff_of(change)[3:] if line.startswith("-")]
    if not gone or any(line in lines for line in gone):
        return None
    return patch(change, diff_of(change), None, before=text(lines))


@kind
def patch_cut_off(dice: random.Random, change: Change) -> Case | None:
    lines = diff_of(change)
    last = max(n for n, line in enumerate(lines) if line[:1] in "+-")
    if last < 4 or len(lines[last]) < 12:
        return None
    lines = [*lines[:last], lines[last][: len(lines[last]) // 2]]
    return patch(change, lines, None)


@kind
def patch_in_stars(dice: random.Random, change: Change) -> Case | None:
    hunk = diff_of(change)[3:]
    whole = change.before.count(text(contexts(diff_of(change)))) == 1
    end = ["*** End Patch"] if dice.random() < 0.7 else []
    lines = ["*** Begin Patch", f"*** Update File: {change.path}", "@@", *hunk, *end]
    return patch(change, lines, change.after if whole and end else None, must_apply=bool(whole and end))


@kind
def patch_of_a_windows_file(dice: random.Random, change: Change) -> Case | None:
    sides = [side.replace("\n", "\r\n") for side in (change.before, change.after)]
    return patch(change, diff_of(change), sides[1], must_apply=True, before=sides[0])


def whole(change: Change, content: str, meant: str | None, **first: int) -> Case:
    return Case(
        change.path,
        change.before.encode(),
        None if meant is None else meant.encode(),
        {"path": change.path, "content": content},
        meant is not None,
        "write_file",
        {"path": change.path, **first} if first else {},
    )


@kind
def whole_file_unread(dice: random.Random, change: Change) -> Case | None:
    return whole(change, text(change.fresh), None)


@kind
def whole_file_of_which_the_start_was_read(dice: random.Random, change: Change) -> Case | None:
    shown = dice.randint(5, 15)
    return whole(change, text([*change.lines[:shown], *change.fresh]), None, offset=1, limit=shown)


@kind
def whole_file_that_hints_at_its_rest(dice: random.Random, change: Change) -> Case | None:
    hint = dice.choice(
        ("# ... rest of the file unchanged ...", "// ... existing code ...", "    # ... (remaining code) ...")
    )
    return whole(change, text([*change.lines[:10], *change.fresh, hint]), None, offset=1, limit=400)


@kind
def whole_file_after_reading_it(dice: random.Random, change: Change) -> Case | None:
    if len(change.lines) > 200 or len(change.before) > 9000:
        return None
    return whole(change, change.after, change.after, offset=1, limit=400)
