"""The weave for terminals: a thread for each agent over time, and where it joins main; from events alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from rich.text import Text

from apps.core.show import plain
from apps.events.models import Event

NAME, LEAST = 18, 30  # columns of names, and the least of what is drawn
MARKS = {"failed": ("✕", "red"), "person": ("◆", "yellow"), "done": ("✔", "green")}
FAILED = {"evidence.failed", "merge.red", "merge.conflict"}
THREAD, WAIT, REVIEW, MAIN, TURN, FALL = "━", "┄", "─", "═", "┓", "┃"


@dataclass
class _Stretch:
    start: datetime
    end: datetime | None = None
    kind: str = "work"


@dataclass
class _Lane:
    sessions: list[_Stretch] = field(default_factory=list)
    waits: list[_Stretch] = field(default_factory=list)
    marks: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def last(self) -> datetime:
        newest = self.sessions[-1]
        return newest.end or datetime.max.replace(tzinfo=newest.start.tzinfo)


class Threads:
    """What the events so far come to."""

    def __init__(self) -> None:
        self.lanes: dict[str, _Lane] = {}
        self.merges: list[tuple[datetime, str]] = []
        self._begun: datetime | None = None
        self._newest: datetime | None = None
        self._worker: dict[int | None, str] = {}  # of a bead: whose thread its checks and merges belong to

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            self._begun = self._begun or event.created_at
            self._newest = event.created_at
            self._take(event)

    def _take(self, event: Event) -> None:
        at, actor = event.created_at, event.actor
        match event.kind:
            case "session.opened":
                kind = str(event.data.get("session_kind", ""))
                self.lanes.setdefault(actor, _Lane()).sessions.append(_Stretch(at, kind=kind))
                if kind == "work":
                    self._worker[event.bead_id] = actor
            case "session.ended":
                self._end(self.lanes.get(actor, _Lane()).sessions, at)
            case "review.approved" | "review.rejected":
                self._mark(actor, at, "done" if event.kind == "review.approved" else "failed")
        worker = self._worker.get(event.bead_id, "")
        if (lane := self.lanes.get(worker)) is not None:
            self._take_of_worker(event, worker, lane)

    def _take_of_worker(self, event: Event, worker: str, lane: _Lane) -> None:
        at = event.created_at
        if event.kind == "claim.made":
            lane.waits.append(_Stretch(at))
        elif event.kind in FAILED | {"review.rejected", "merge.merged"}:
            self._end(lane.waits, at)
        if event.kind in FAILED:
            self._mark(worker, at, "failed")
        elif event.kind == "bead.blocked":
            self._mark(worker, at, "person")
        elif event.kind == "merge.merged":
            self.merges.append((at, worker))

    def _end(self, stretches: list[_Stretch], at: datetime) -> None:
        if stretches and stretches[-1].end is None:
            stretches[-1].end = at

    def _mark(self, name: str, at: datetime, state: str) -> None:
        if name in self.lanes:
            self.lanes[name].marks.append((at, state))

    # -- drawing -----------------------------------------------------------------------------------

    def picture(self, width: int, *, now: datetime | None = None, most: int = 12) -> list[Text]:
        """Lines of at most `width` columns: the lanes at work last, main, and the time."""
        if not self.lanes or self._begun is None or self._newest is None or width < NAME + LEAST:
            return []
        until, columns = now or self._newest, width - NAME - 1
        length = max(1.0, (until - self._begun).total_seconds())
        begun = self._begun

        def column(at: datetime | None) -> int:
            passed = ((at or until) - begun).total_seconds()
            return max(0, min(columns - 1, int(passed / length * columns)))

        kept = set(sorted(self.lanes, key=lambda name: self.lanes[name].last)[-most:])
        shown = [name for name in self.lanes if name in kept]
        rows = [_cells(self.lanes[name], columns, column) for name in shown]
        main = [(MAIN, "green dim")] * columns if self.merges else [(" ", "")] * columns
        for at, worker in self.merges:
            if worker in kept:
                _fall(rows, shown.index(worker), column(at))
            main[column(at)] = MARKS["done"]
        lines = [_line(name, cells) for name, cells in zip(shown, rows, strict=True)]
        return [*lines, _line("main", main, "green"), _axis(columns, length)]


Cells = list[tuple[str, str]]


def _cells(lane: _Lane, columns: int, at: Callable[[datetime | None], int]) -> Cells:
    cells: Cells = [(" ", "")] * columns
    for session in lane.sessions:
        glyph = THREAD if session.kind != "review" else REVIEW
        style = "cyan" if session.end is None else ""
        _draw(cells, at(session.start), at(session.end), (glyph, style))
    for wait in lane.waits:
        _draw(cells, at(wait.start), at(wait.end), (WAIT, "dim"))
    for moment, state in lane.marks:
        cells[at(moment)] = MARKS[state]
    return cells


def _draw(cells: Cells, start: int, end: int, cell: tuple[str, str]) -> None:
    for at in range(start, end + 1):
        cells[at] = cell


def _fall(rows: list[Cells], lane: int, column: int) -> None:
    """A thread goes down to main, behind what the lanes between do."""
    rows[lane][column] = (TURN, "green")
    for row in rows[lane + 1 :]:
        if row[column][0] == " ":
            row[column] = (FALL, "green dim")


def _line(name: str, cells: Cells, style: str = "") -> Text:
    text = Text(no_wrap=True, overflow="crop")
    name = plain(name)
    text.append((name if len(name) <= NAME else f"{name[: NAME - 1]}…").ljust(NAME + 1), style=style)
    for color, same in groupby(cells, key=itemgetter(1)):
        text.append("".join(glyph for glyph, _ in same), style=color)
    return text


def _axis(columns: int, seconds: float) -> Text:
    first, middle, last = (_clock(int(part)) for part in (0, seconds / 2, seconds))
    half = columns // 2 - len(middle) // 2
    line = first.ljust(half) + middle
    return Text(" " * (NAME + 1) + line.ljust(columns - len(last)) + last, style="dim", no_wrap=True)


def _clock(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60}h {minutes % 60:02d}m" if minutes >= 60 else f"{minutes}:{seconds:02d}"
