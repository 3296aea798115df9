"""One way each of getting an edit right or wrong: the call a model makes, and what may come of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.campaigns._edit_sources import Change, renamed, sources, text

Maker = Callable[[random.Random, Change], "Case | None"]
KINDS: dict[str, Maker] = {}


@dataclass(frozen=True)
class Case:
    """`meant` is the only right outcome of a call that is carried out; None: it has to be refused."""

    path: str
    before: bytes
    meant: bytes | None
    arguments: dict[str, Any]
    must_apply: bool = False
    action: str = "edit_file"
    first: dict[str, Any] = field(default_factory=dict)  # arguments of a read_file before it


def kind(make: Maker) -> Maker:
    KINDS[make.__name__] = make
    return make


def edit(
    change: Change, old: str, new: str, meant: str | None, *, must_apply: bool = False, before: str = ""
) -> Case:
    return Case(
        change.path,
        (before or change.before).encode(),
        None if meant is None else meant.encode(),
        {"path": change.path, "old_text": old, "new_text": new},
        must_apply,
    )


def alone(change: Change, old: str) -> bool:
    """Whether the text stands once: in the midst of a deeper indentation it does not stand."""
    return ("\n" + change.before).count("\n" + old) == 1 if old[:1] == " " else change.before.count(old) == 1


def pair(dice: random.Random, change: Change, least: int = 0) -> tuple[list[str], list[str]]:
    return change.around(dice.randint(least, 3), dice.randint(least, 3))


@kind
def exact(dice: random.Random, change: Change) -> Case | None:
    old, new = map(text, pair(dice, change))
    whole = alone(change, old)
    return edit(change, old, new, change.after if whole else None, must_apply=whole)


@kind
def without_final_newline(dice: random.Random, change: Change) -> Case | None:
    old, new = (text(side)[:-1] for side in pair(dice, change, 1))
    if ("\n" + change.before).count("\n" + old) != 1 or change.before.count(old) != 1:
        return None
    return edit(change, old, new, change.after, must_apply=change.before.count(old + "\n") == 1)


@kind
def part_of_a_line(dice: random.Random, change: Change) -> Case | None:
    line = change.lines[change.start]
    words = [word for word in line.split() if len(word) > 5 and word[0].isalpha() and word[-1].isalpha()]
    if not words or not alone(change, words[0]):
        return None
    return edit(change, words[0], "renewed_word", change.before.replace(words[0], "renewed_word"))


@kind
def trailing_spaces(dice: random.Random, change: Change) -> Case | None:
    """At the end of a line that stays, in both texts, or of one that goes."""
    old, new = change.around(2, 2)
    at = dice.randrange(2 + change.end - change.start)
    if not alone(change, text(old)):
        return None
    sides = [
        [line + "  " if index == at and (at < 2 or side is old) else line for index, line in enumerate(side)]
        for side in (old, new)
    ]
    return edit(change, text(sides[0]), text(sides[1]), change.after)


@kind
def reindented(dice: random.Random, change: Change) -> Case | None:
    old, new = pair(dice, change, 1)
    if not alone(change, text(old)):
        return None
    by = dice.choice((2, 4, 8))
    if dice.random() < 0.5:
        sides = [[" " * by + line if line.strip() else line for line in side] for side in (old, new)]
    elif all(line.startswith(" " * by) or not line.strip() for line in (*old, *new)):
        sides = [[line[by:] if line.strip() else line for line in side] for side in (old, new)]
    else:
        return None
    return (
        edit(change, text(sides[0]), text(sides[1]), change.after)
        if text(sides[0]) not in change.before
        else None
    )


@kind
def tabs_for_spaces(dice: random.Random, change: Change) -> Case | None:
    old, new = pair(dice, change, 1)
    sides = [
        ["\t" * (indent(line) // 4) + " " * (indent(line) % 4) + line.lstrip() for line in side]
        for side in (old, new)
    ]
    if sides[0] == old or not alone(change, text(old)):
        return None
    return edit(change, text(sides[0]), text(sides[1]), change.after)


def indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


@kind
def first_indentation_lost(dice: random.Random, change: Change) -> Case | None:
    """The arguments were stripped on their way; the lines after the first have their indentation."""
    old, new = (text(side).strip() for side in pair(dice, change, 1))
    if change.before.count(old) != 1 or text(pair(dice, change, 1)[0])[:1] != " ":
        return None
    right = change.before.replace(old, new)
    return edit(change, old, new, right) if right == change.after else None


@kind
def a_bare_line_becomes_a_block(dice: random.Random, change: Change) -> Case | None:
    """Without its indentation one cannot tell whether the lines after the first bring theirs."""
    line = change.lines[change.start]
    if indent(line) == 0 or not alone(change, line.strip()) or not change.path.endswith(".py"):
        return None
    meant = ["if ready:", f"    {line.strip()}"]
    outcome = [f"{' ' * indent(line)}{one}" for one in meant]
    after = text([*change.lines[: change.start], *outcome, *change.lines[change.start + 1 :]])
    return edit(change, line.strip(), "\n".join(meant), after)


@kind
def windows_file(dice: random.Random, change: Change) -> Case | None:
    old, new = map(text, pair(dice, change))
    whole = alone(change, old)
    after = change.after.replace("\n", "\r\n") if whole else None
    return edit(change, old, new, after, must_apply=whole, before=change.before.replace("\n", "\r\n"))


@kind
def windows_arguments(dice: random.Random, change: Change) -> Case | None:
    old, new = (text(side).replace("\n", "\r\n") for side in pair(dice, change))
    whole = alone(change, old.replace("\r\n", "\n"))
    return edit(change, old, new, change.after if whole else None, must_apply=whole)


@kind
def no_newline_at_the_end(dice: random.Random, change: Change) -> Case | None:
    lines = change.lines[: change.end]
    old = text(lines[change.start - 2 :])
    new = text([*lines[change.start - 2 : change.start], *change.fresh])
    if text(lines).count(old) != 1:
        return None
    after = text([*lines[: change.start], *change.fresh])
    return edit(change, old, new, after[:-1], before=text(lines)[:-1])


@kind
def encoded(dice: random.Random, change: Change) -> Case | None:
    old, new = map(text, pair(dice, change))
    if not alone(change, old) or not change.before.isascii():
        return None
    encoding, mark = dice.choice(
        (("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"), ("utf-8", "\ufeff"), ("latin-1", "# é\n"))
    )
    sides = [(mark + side).encode(encoding) for side in (change.before, change.after)]
    arguments = {"path": change.path, "old_text": old, "new_text": new}
    return Case(change.path, sides[0], sides[1], arguments, must_apply=True)


def opens(line: str) -> bool:
    return line.rstrip().endswith((":", "{", "(", "["))


@kind
def drifted_nearby(dice: random.Random, change: Change) -> Case | None:
    """A line that stays, two lines away, is not quite as in the file."""
    old, new = change.around(3, 3)
    at = dice.choice((0, len(old) - 1))
    other = renamed(dice, old[at])
    if other == old[at] or opens(old[at]) or not alone(change, text(old)):
        return None
    beside = (len(new) - 1) if at else 0
    spoiled, kept = old.copy(), new.copy()
    spoiled[at], kept[beside] = other, other
    return edit(change, text(spoiled), text(kept), change.after)


@kind
def drifted_in_what_goes(dice: random.Random, change: Change) -> Case | None:
    old, new = change.around(3, 3)
    at = dice.randrange(3, 3 + change.end - change.start)
    other = renamed(dice, old[at])
    if other == old[at] or {other, old[at]} & set(change.fresh):
        return None
    spoiled = [*old[:at], other, *old[at + 1 :]]
    return edit(change, text(spoiled), text(new), None) if spoiled != new else None


@kind
def twice_in_the_file(dice: random.Random, change: Change) -> Case | None:
    old, new = pair(dice, change, 1)
    where = dice.choice((0, len(change.lines)))
    before = text([*change.lines[:where], *old, *change.lines[where:]])
    return edit(change, text(old), text(new), None, before=before)


@kind
def twice_and_reindented(dice: random.Random, change: Change) -> Case | None:
    old, new = pair(dice, change, 1)
    deeper = ["    " + line if line.strip() else line for line in old]
    third = [[" " + line if line.strip() else line for line in side] for side in (old, new)]
    before = text([*change.lines, *deeper])
    return edit(change, text(third[0]), text(third[1]), None, before=before)


@kind
def twins_told_apart_by_a_drifted_line(dice: random.Random, change: Change) -> Case | None:
    old, new = change.around(3, 3)
    names = [renamed(dice, old[0]), renamed(dice, old[0])]
    if len({old[0], *names}) != 3:
        return None
    before = text([*change.lines, names[0], *old[1:]])
    return edit(change, text([names[1], *old[1:]]), text([names[1], *new[1:]]), None, before=before)


@kind
def only_the_twin_is_left(dice: random.Random, change: Change) -> Case | None:
    """The function that was meant is gone; one of another name has the same lines."""
    above = range(max(0, change.start - 12), change.start - 1)
    heads = [n for n in above if change.lines[n].lstrip().startswith(("def ", "async def "))]
    if not heads or not change.path.endswith(".py"):
        return None
    reach = change.start - heads[-1]
    old, new = change.around(reach, 3)
    head = old[0].replace("def ", "def other_")
    if old[0] in (*old[1:], *new[1:]):
        return None
    return edit(change, text([head, *old[1:]]), text([head, *new[1:]]), None)


@kind
def wrong_file(dice: random.Random, change: Change) -> Case | None:
    path, lines = dice.choice(sources())
    old, new = map(text, pair(dice, change, 1))
    if path == change.path or old in text(lines):
        return None
    spoiled = edit(change, old, new, None, before=text(lines))
    return spoiled if any(line.strip() and line not in lines for line in old.split("\n")) else None


@kind
def cut_off_in_a_line(dice: random.Random, change: Change) -> Case | None:
    """old_text ends early, new_text is whole."""
    old, new = pair(dice, change)
    last = old[-1]
    if len(last.strip()) < 12:
        return None
    cut = dice.randrange(len(last) // 2, len(last) - 1)
    return edit(change, text(old[:-1]) + last[:cut], text(new)[:-1], None)


@kind
def elided(dice: random.Random, change: Change) -> Case | None:
    old, new = change.around(4, 4)
    sign = dice.choice(("...", "    # ...", "# ... rest of the function ..."))
    return edit(change, text([*old[:2], sign, *old[-2:]]), text([*new[:2], sign, *new[-2:]]), None)


@kind
def made_before(dice: random.Random, change: Change) -> Case | None:
    old, new = pair(dice, change, 1)
    if text(old) in change.after:
        return None
    return edit(change, text(old), text(new), None, before=change.after)


@kind
def line_numbers_copied(dice: random.Random, change: Change) -> Case | None:
    old, new = pair(dice, change, 1)
    if not alone(change, text(old)):
        return None
    sides = ["".join(f"{number:>5}\t{line}\n" for number, line in enumerate(side, 40)) for side in (old, new)]
    return edit(change, sides[0], sides[1], change.after)


@kind
def curly_quotes(dice: random.Random, change: Change) -> Case | None:
    """Quotes became typographic on their way: only lines that stay may have them."""
    old, new = pair(dice, change, 1)
    goes = text(sorted({*change.lines[change.start : change.end]} ^ {*change.fresh}))
    sides = [text(side).replace('"', "”") for side in (old, new)]
    if "”" not in sides[0] or sides[0] == sides[1]:
        return None
    return edit(change, sides[0], sides[1], None if '"' in goes else change.after)
