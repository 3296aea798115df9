"""Tests before and after a change: which are gone, skipped, not run any more, or say less than they did."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from apps.agents.tampering.cases import EXACT, TRIVIAL, Case, Check, is_kept
from apps.agents.tampering.change import NOTICE, WARNING, Change, File, Finding, is_collected
from apps.agents.tampering.python_cases import python_cases
from apps.agents.tampering.script_cases import script_cases

_DEFINED = re.compile(
    r"^[ \t]*(?:export\s+)?(?:pub(?:\([^)]*\))?\s+)?(?:async\s+)?"
    r"(?:def|class|function|func(?:\s*\([^)]*\))?|fn)\s+(\w+)",
    re.M,
)
_CALLED = re.compile(r"\b(\w+)\s*\(")
ALIKE = 0.6
MAX_BODY = 4_000
MAX_LIKENESSES = 2_500
SHOWN = 5


def compare_tests(change: Change) -> Iterator[Finding]:
    before, after, broken = _read(change)
    yield from broken
    pairs, gone, fresh = _matched(before, after)
    for old, new in pairs:
        yield from _weakened(old, new, after, change)
    yield from _removed(gone, after, change)
    yield from _hollow(fresh)


def cases_of(file: File, text: str) -> list[Case] | None:
    return python_cases(file.path, text) if file.suffix == ".py" else script_cases(file, text)


def _read(change: Change) -> tuple[list[Case], list[Case], list[Finding]]:
    """Tests of both sides; a file that is no test any more has none after."""
    before: list[Case] = []
    after: list[Case] = []
    broken: list[Finding] = []
    for file in change.tests + [one for one in change.files if one.suffix == ".rs" and not one.is_test]:
        old = cases_of(file, file.before or "")
        new = cases_of(file, file.after or "")
        before += old or []
        after += new or []
        if new is None and old and file.after is not None:
            broken.append(Finding(file.path, "the test file is not valid any more", "test-broken"))
    return before, after, broken


def _matched(
    before: Sequence[Case], after: Sequence[Case]
) -> tuple[list[tuple[Case, Case]], list[Case], list[Case]]:
    """Pairs of old and new, what is gone, and what is new: by place, by name, by likeness."""
    left, free = list(before), list(after)
    pairs: list[tuple[Case, Case]] = []
    for key in (_place, _name, lambda case: _last(case.name)):
        known = {key(case): case for case in reversed(free)}
        for old in list(left):
            if (new := known.pop(key(old), None)) is not None:
                _take(pairs, left, free, old, new)
    if len(left) * len(free) <= MAX_LIKENESSES:
        for old in list(left):
            if (new := next((one for one in free if _alike(old, one)), None)) is not None:
                _take(pairs, left, free, old, new)
    return pairs, left, free


def _take(pairs: list[tuple[Case, Case]], left: list[Case], free: list[Case], old: Case, new: Case) -> None:
    pairs.append((old, new))
    left[:] = [case for case in left if case is not old]
    free[:] = [case for case in free if case is not new]


def _place(case: Case) -> tuple[str, str]:
    return case.path, case.name


def _name(case: Case) -> str:
    return case.name


def _last(name: str) -> str:
    return name.rpartition(" > ")[2].rpartition(".")[2]


def _alike(old: Case, new: Case) -> bool:
    """A test under another name: much the same text, and the same data; what it tests may be renamed too."""
    if not all(is_kept(check, [new], renamed=True) for check in old.real):
        return False
    a, b = old.body[:MAX_BODY], new.body[:MAX_BODY]
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def _weakened(old: Case, new: Case, after: Sequence[Case], change: Change) -> Iterator[Finding]:
    name = _last(old.name)
    if new.skipped and not old.skipped:
        yield Finding(new.path, f"{name} is skipped now", "test-skipped")
    elif new.why_not and not old.why_not:
        yield Finding(new.path, f"{name} checks nothing any more: {new.why_not}", "test-not-run")
    elif is_collected(old.path) and not is_collected(new.path):
        yield Finding(new.path, f"{name} is in a file that is not collected", "test-not-run")
    else:
        yield from _fewer(old, new, after)
        yield from _other_expectations(old, new, change)
    subjects = {check.subject for check in old.checks if check.subject}
    if faked := sorted((new.replaced - old.replaced) & subjects):
        yield Finding(new.path, f"{name} replaces what it tests: {', '.join(faked)}", "subject-mocked")


def _fewer(old: Case, new: Case, after: Sequence[Case]) -> Iterator[Finding]:
    """Fewer checks, or weaker ones, unless what they checked is checked elsewhere."""
    name, exact = _last(old.name), old.weight(EXACT) - new.weight(EXACT)
    lost = [check for check in _without(old.real, new.real) if not is_kept(check, after, renamed=True)]
    if old.weight() <= new.weight() and exact <= 0:
        still = {check.left for check in new.real}
        other = [check for check in lost if check.literals and check.left not in still]
        if other:
            what = f"{name} checks other data than before (no longer {_shown(other)})"
            yield Finding(new.path, what, "data-changed", NOTICE)
        return
    lost = [check for check in lost if not is_kept(check, after)]
    if not lost and (rows := _rows_lost(old, new, after)):
        yield Finding(new.path, f"{name} is run with less data (without {rows})", "assertion-removed")
    if not lost:
        return
    trivial = sum(1 for check in new.checks if check.strength == TRIVIAL)
    if trivial > sum(1 for check in old.checks if check.strength == TRIVIAL):
        yield Finding(new.path, f"{name}: a check cannot fail any more", "assertion-trivial")
    elif old.weight() > new.weight():
        gone = old.weight() - new.weight()
        yield Finding(new.path, f"{name}: {gone} fewer assertions ({_shown(lost)})", "assertion-removed")
    else:
        yield Finding(new.path, f"{name}: says less than before ({_shown(lost)})", "assertion-weakened")


def _rows_lost(old: Case, new: Case, after: Sequence[Case]) -> str:
    """Data that a test was run with, and that no test of the change is run with any more."""
    if old.weight() <= new.weight():
        return ""
    known = new.pool.union(
        *(case.pool for case in after), *(one.literals for case in after for one in case.real)
    )
    return ", ".join(sorted(repr(value) for value in old.pool - known))[:200]


def _without(checks: Iterable[Check], others: Iterable[Check]) -> Iterator[Check]:
    """The checks that the others do not make, or make fewer times."""
    still = Counter(check.said for check in others)
    for check in checks:
        if still[check.said] > 0:
            still[check.said] -= 1
        else:
            yield check


def _shown(checks: Iterable[Check]) -> str:
    texts = [f"{check.left} {check.right}".strip()[:100] for check in checks]
    return "; ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _other_expectations(old: Case, new: Case, change: Change) -> Iterator[Finding]:
    """The same call is expected to give something else."""
    was, now = _expectations(old), _expectations(new)
    for left in was.keys() & now.keys():
        if was[left].expected != now[left].expected and was[left].expected and now[left].expected:
            what = (
                f"{_last(old.name)} expects {now[left].right[:80]} of {left[:80]}, not {was[left].right[:80]}"
            )
            level = NOTICE if change.code else WARNING
            yield Finding(new.path, what, "expectation-changed", level)
            return


def _expectations(case: Case) -> dict[str, Check]:
    """Exact checks of what a call gives, where the test makes one such check only."""
    times = Counter(check.left for check in case.real)
    exact = (check for check in case.real if check.strength == EXACT and check.subject)
    return {check.left: check for check in exact if times[check.left] == 1}


def _removed(gone: Sequence[Case], after: Sequence[Case], change: Change) -> Iterator[Finding]:
    places: defaultdict[str, list[Case]] = defaultdict(list)
    dead = _no_longer_defined(change)
    for case in gone:
        if case.runs and not _is_covered(case, after):
            places[case.path].append(case)
    for file in change.files:
        lost = places.get(file.path, [])
        level = NOTICE if all(_tests_only(case, dead) for case in lost) else WARNING
        if lost and file.after is None:
            yield Finding(file.path, f"test file was deleted ({_names(lost)})", "test-deleted", level)
        elif lost:
            yield Finding(file.path, f"{len(lost)} fewer tests ({_names(lost)})", "test-deleted", level)


def _no_longer_defined(change: Change) -> set[str]:
    """Names that code of the product defined, and does not define any more: a feature that was removed."""
    before = {name for file in change.code for name in _DEFINED.findall(file.before or "")}
    after = {name for file in change.code for name in _DEFINED.findall(file.after or "")}
    return before - after


def _tests_only(case: Case, dead: set[str]) -> bool:
    """Whether all that a test asks about is gone from the product too."""
    subjects = {check.subject for check in case.checks if check.subject}
    return subjects <= dead and bool(dead & set(_CALLED.findall(case.body)))


def _is_covered(case: Case, after: Sequence[Case]) -> bool:
    """Every check that it made is made by a test that runs."""
    return bool(case.real) and all(is_kept(check, after) for check in case.real)


def _names(cases: Sequence[Case]) -> str:
    names = [_last(case.name) for case in cases]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _hollow(fresh: Sequence[Case]) -> Iterator[Finding]:
    """New tests that test nothing."""
    for case in fresh:
        if case.skipped:
            level = NOTICE if case.on_condition else WARNING
            yield Finding(case.path, f"the new test {_last(case.name)} is skipped", "test-skipped", level)
        elif case.why_not:
            yield Finding(
                case.path, f"the new test {_last(case.name)} is not run: {case.why_not}", "test-not-run"
            )
        elif case.is_empty:
            yield Finding(case.path, f"the new test {_last(case.name)} tests nothing", "test-empty")
