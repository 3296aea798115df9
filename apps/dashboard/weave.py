"""The weave as a picture: where each thread, knot and join stands. Pure; queries_weave says what is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

LEFT, RIGHT, TOP, LANE, FOOT, WIDTH = 128, 22, 22, 30, 26, 1040
NARROW = 740  # where it shares the page with something else
BEND = 22  # how far a thread runs while it crosses to another lane
NAME_CHARS = 17
TICKS = 6
STEPS = (
    1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 604800,
    1209600,
)  # fmt: skip


@dataclass(frozen=True)
class Stretch:
    """A session, or a wait of one: something that lasts. `end` is None while it goes on."""

    lane: str
    start: datetime
    end: datetime | None
    state: str
    label: str
    address: str
    is_wait: bool = False


@dataclass(frozen=True)
class Moment:
    lane: str
    at: datetime
    state: str
    label: str
    address: str


@dataclass(frozen=True)
class Crossing:
    """Work that goes from one lane to another; to main if `to` is empty."""

    lane: str
    to: str
    start: datetime
    end: datetime
    state: str
    label: str
    address: str


@dataclass(frozen=True)
class Shape:
    state: str
    label: str
    address: str
    path: str = ""
    is_dotted: bool = False
    knot: str = ""
    dot: tuple[float, float] | None = None


@dataclass(frozen=True)
class Tick:
    x: float
    words: str


@dataclass
class Picture:
    height: int
    main_y: int
    lanes: list[tuple[str, int]]
    ticks: list[Tick]
    shapes: list[Shape] = field(default_factory=list)
    width: int = WIDTH
    left: int = LEFT

    @property
    def right(self) -> int:
        return self.width - RIGHT


@dataclass(frozen=True)
class Frame:
    start: datetime
    end: datetime
    width: int = WIDTH

    def x(self, moment: datetime) -> float:
        whole = max((self.end - self.start).total_seconds(), 1.0)
        part = min(1.0, max(0.0, (moment - self.start).total_seconds() / whole))
        return round(LEFT + part * (self.width - LEFT - RIGHT), 1)


def picture(
    frame: Frame,
    lanes: list[str],
    stretches: Iterable[Stretch],
    moments: Iterable[Moment],
    crossings: Iterable[Crossing],
) -> Picture:
    y = {name: TOP + LANE * number for number, name in enumerate(lanes)}
    main_y = TOP + LANE * len(lanes) + 4
    drawn = Picture(
        height=main_y + FOOT,
        main_y=main_y,
        lanes=[(_short(name), at) for name, at in y.items()],
        ticks=_ticks(frame),
        width=frame.width,
    )
    drawn.shapes += [_crossing(frame, row, y, main_y) for row in crossings if row.lane in y]
    drawn.shapes += [_stretch(frame, row, y[row.lane]) for row in stretches if row.lane in y]
    drawn.shapes += [_moment(frame, row, y[row.lane]) for row in moments if row.lane in y]
    return drawn


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…"


def _stretch(frame: Frame, row: Stretch, y: int) -> Shape:
    start, end = frame.x(row.start), frame.x(row.end or frame.end)
    end = max(end, start + 3)
    is_open = row.end is None
    return Shape(
        state=row.state,
        label=row.label,
        address=row.address,
        path=f"M{start} {y}H{end}",
        is_dotted=row.is_wait,
        dot=(end, y) if is_open and not row.is_wait else None,
        knot=_diamond(end, y) if is_open and row.is_wait else "",
    )


def _moment(frame: Frame, row: Moment, y: int) -> Shape:
    return Shape(row.state, row.label, row.address, knot=_diamond(frame.x(row.at), y))


def _diamond(x: float, y: float, size: float = 5.5) -> str:
    return f"M{x} {y - size}L{x + size} {y}L{x} {y + size}L{x - size} {y}z"


def _crossing(frame: Frame, row: Crossing, lanes: dict[str, int], main_y: int) -> Shape:
    top, bottom = lanes[row.lane], lanes.get(row.to, main_y)
    end = frame.x(row.end)
    start = min(frame.x(row.start), end)
    if end - start < BEND:  # so quick that the bend would stand upright: begin it a little earlier
        start = max(LEFT, end - BEND)
    turn = end - min(BEND, end - start)
    middle = (turn + end) / 2
    path = f"M{start} {top}H{round(turn, 1)}C{middle} {top} {middle} {bottom} {end} {bottom}"
    is_merge = not row.to
    return Shape(row.state, row.label, row.address, path=path, dot=(end, main_y) if is_merge else None)


def _ticks(frame: Frame) -> list[Tick]:
    length = (frame.end - frame.start).total_seconds()
    step = next((size for size in STEPS if length / size <= TICKS), STEPS[-1])
    words = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%d %b"
    first = frame.start.timestamp() // step * step + step
    at = datetime.fromtimestamp(first, tz=frame.start.tzinfo)
    ticks: list[Tick] = []
    while at < frame.end and len(ticks) < 4 * TICKS:
        ticks.append(Tick(frame.x(at), at.strftime(words)))
        at += timedelta(seconds=step)
    return ticks
