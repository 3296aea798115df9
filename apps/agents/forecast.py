"""Which beads are likely to touch the same files: by the paths they declare, and those that sessions touched.

Beads that overlap are worked on one after the other, unless the project says otherwise: to build on a merged
change costs less than a conflict with it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from django.db.models import Q

from apps.agents.lock_models import FileLock
from apps.agents.merge_models import MergePolicy
from apps.agents.models import Session, Turn
from apps.agents.pins import CHANGES
from apps.beads.models import Bead

PATHS = 200  # of one bead
READY = 500  # beads of a project that are looked at
TEXT_CHARS = 20_000
TOLD_BY = ("project_id", "key", "title", "description", "acceptance", "paths")  # what is read of a bead
# What a text names as a file: with an extension, and no part of an address.
_PATH = re.compile(r"(?<![\w/:.@-])(?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z]\w{0,7}(?![\w/(])")
_NO_FILE = re.compile(r"^(?:e\.g|i\.e|etc\.\w*|\d+\.\w*|.*\.(?:com|org|net|io|dev|html?\d))$", re.IGNORECASE)
# Files that nearly every change touches say nothing.
COMMON = {"README.md", "CHANGELOG.md", "AGENTS.md", "__init__.py"}


def declared_paths(bead: Bead) -> frozenset[str]:
    """Files and folders that a bead says it is about: its field, else what its texts name."""
    if bead.paths:
        return frozenset(_plain(path) for path in bead.paths[:PATHS])
    text = "\n".join([bead.title, bead.description, *map(str, bead.acceptance)])[:TEXT_CHARS]
    named = {_plain(match) for match in _PATH.findall(text) if not _NO_FILE.match(match)}
    return frozenset(path for path in named if path not in COMMON)


def observed_paths(bead_ids: Iterable[int]) -> dict[int, frozenset[str]]:
    """Files that sessions which still go on changed, by bead."""
    turns = Turn.objects.filter(
        session__bead_id__in=list(bead_ids), session__status=Session.Status.OPEN, session__kind="work"
    ).exclude(commit="")
    found: defaultdict[int, set[str]] = defaultdict(set)
    for bead_id, outcome in turns.values_list("session__bead_id", "outcome"):
        for one in outcome:
            if one["ok"] and one["name"] in CHANGES and one["data"].get("path"):
                found[bead_id or 0].add(_plain(str(one["data"]["path"])))
    return {bead_id: frozenset(paths) for bead_id, paths in found.items()}


def apart(project_id: int, ready: Sequence[Bead]) -> dict[int, str]:
    """Ready beads of a project, in the order they would start, that should wait for another; why, by id."""
    if not any(map(declared_paths, ready)):
        return {}
    locked = _locked(ready)
    free = [bead for bead in ready if bead.pk not in locked]
    if not free or project_id in _in_parallel([project_id]):
        return locked
    busy = list(Bead.objects.filter(project_id=project_id, status=Bead.Status.IN_PROGRESS))
    return locked | _held(free, busy, observed_paths(bead.pk for bead in busy))


def _locked(ready: Sequence[Bead]) -> dict[int, str]:
    """Those that are about a path which somebody keeps, and not for them; and who."""
    locks = list(FileLock.objects.live().filter(project__in={bead.project_id for bead in ready}))
    held: dict[int, str] = {}
    for bead in ready if locks else ():
        wanted = declared_paths(bead)
        for lock in locks:
            theirs = lock.project_id == bead.project_id and lock.bead_id != bead.pk
            if theirs and overlap(wanted, [lock.file_path]):
                held[bead.pk] = f"waits for {lock.file_path}, which {lock.holder} keeps"
    return held


def held_beads(beads: Iterable[Bead]) -> dict[int, str]:
    """Those of the beads, of any projects, that are ready and yet wait for the files of others; and why."""
    asked = [(bead.priority, bead.pk, bead.project_id) for bead in beads if bead.status == Bead.Status.OPEN]
    projects = {project_id for *_, project_id in asked}
    if not projects:
        return {}
    work = Bead.objects.only(*TOLD_BY)
    # A bead waits for those at work and for those that start before it: what comes later is not read.
    priority, last, _ = max(asked)
    before = Q(priority__lt=priority) | Q(priority=priority, pk__lte=last)
    every = list(work.filter(before, project_id__in=projects).ready().order_by("priority", "id")[:READY])
    if not any(map(declared_paths, every)):
        return {}
    locked = _locked(every)
    projects -= _in_parallel(projects)
    rows = work.filter(project_id__in=projects)
    ready = [bead for bead in every if bead.pk not in locked]
    busy = list(rows.filter(status=Bead.Status.IN_PROGRESS)[:READY])
    seen = observed_paths(bead.pk for bead in busy)
    held = dict(locked)
    for project_id in sorted(projects):
        held |= _held(_of(ready, project_id), _of(busy, project_id), seen)
    return held


def _of(beads: Iterable[Bead], project_id: int) -> list[Bead]:
    return [bead for bead in beads if bead.project_id == project_id]


def _held(ready: Sequence[Bead], busy: Sequence[Bead], seen: dict[int, frozenset[str]]) -> dict[int, str]:
    taken = _Taken()
    for bead in busy:
        taken.add(bead, declared_paths(bead) | seen.get(bead.pk, frozenset()))
    held: dict[int, str] = {}
    for bead in ready:
        wanted = declared_paths(bead)
        if (other := taken.first(wanted)) is None:
            taken.add(bead, wanted)
        else:
            held[bead.pk] = f"waits for {other[0].key} “{other[0].title}”: both touch {other[1]}"
    return held


class _Taken:
    """Who touches what, so that one of many beads is not compared with every other."""

    def __init__(self) -> None:
        self._rows: list[tuple[Bead, frozenset[str]]] = []
        self._paths: dict[str, int] = {}  # the first row of each path
        self._above: dict[str, int] = {}  # and of each folder that a path is in
        self._patterns: dict[str, int] = {}

    def add(self, bead: Bead, paths: frozenset[str]) -> None:
        at = len(self._rows)
        self._rows.append((bead, paths))
        for path in paths:
            self._paths.setdefault(path, at)
            if _is_pattern(path):
                self._patterns.setdefault(path, at)
            for folder in _folders(path):
                self._above.setdefault(folder, at)

    def first(self, wanted: frozenset[str]) -> tuple[Bead, str] | None:
        """The first that touches one of these paths, and the path."""
        met = [at for path in wanted for at in self._met(path)]
        if not met:
            return None
        bead, paths = self._rows[min(met)]
        return bead, overlap(wanted, paths)

    def _met(self, path: str) -> Iterator[int]:
        others = self._paths if _is_pattern(path) else self._patterns
        yield from (at for other, at in others.items() if paths_meet(path, other))
        if path in self._above:
            yield self._above[path]
        yield from (self._paths[one] for one in (path, *_folders(path)) if one in self._paths)


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def _folders(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def overlap(mine: Iterable[str], theirs: Iterable[str]) -> str:
    """A path that both are about; empty if there is none."""
    others = list(theirs)
    return next((path for path in sorted(mine) if any(paths_meet(path, other) for other in others)), "")


def paths_meet(one: str, other: str) -> bool:
    """Two paths, or patterns of such, that may name the same file."""
    if one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/"):
        return True
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def _plain(path: str) -> str:
    return path.strip().removeprefix("./").rstrip("/")


def _in_parallel(project_ids: Iterable[int]) -> set[int]:
    """Projects that leave it to the merge queue."""
    rows = MergePolicy.objects.filter(project_id__in=list(project_ids), overlap=MergePolicy.Overlap.PARALLEL)
    return set(rows.values_list("project_id", flat=True))
