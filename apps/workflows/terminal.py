"""The terminal's picture of a weave: a live table where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import shlex
import sys
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterable
from select import select
from typing import Any

from django.utils import timezone
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from apps.core.show import plain
from apps.events.models import Event
from apps.workflows.progress import PHASES, Again, Progress, Row
from apps.workflows.terminal_weave import Threads

SHAPES = {"open": "○", "working": "◔", "person": "◆", "failed": "✕", "done": "✔", "waiting": "◌"}
COLORS = {
    "open": "default",
    "working": "cyan",
    "person": "yellow",
    "failed": "red",
    "done": "green",
    "waiting": "dim",
}
URGENCY = ("person", "failed", "working", "open", "waiting", "done")
LEFT = {"person": "that need you", "open": "ready", "done": "merged"}
TURNING = "◔◑◕●"
TAIL = 6
LEAST_LANES = 3
HEAD = 7  # lines above and around the table on 80 columns
LEAST_ROWS = 5  # of the table, however low the terminal is
ASK_S = 0.5  # whoever is asked at the terminal hears within that time that it was answered elsewhere
NARROW, WIDE = 100, 140  # columns below which figures are left out, and from which nothing must be shortened


def console_make(**how: Any) -> Console:
    """A console that takes words as they are: `[id]` in a title is no markup, `:bug:` no picture."""
    return Console(markup=False, emoji=False, highlight=False, **how)


def shown(words: str, style: str = "") -> Text:
    """Words of models and strangers, without what would steer the terminal."""
    return Text(plain(words), style=style)


def usd(microusd: int) -> str:
    return f"${microusd / 1e6:.4f}" if microusd < 1_000_000 else f"${microusd / 1e6:,.2f}"


def tokens(count: int) -> str:
    return f"{count / 1000:.1f}k" if count >= 1000 else str(count)


def fitting(rows: list[Row], room: int) -> tuple[list[Row], str]:
    """The rows there is room for, those first where something goes on; what is left out in words."""
    if len(rows) <= max(room, LEAST_ROWS):
        return rows, ""
    order = sorted(range(len(rows)), key=lambda number: URGENCY.index(rows[number].state))
    kept = sorted(order[: max(room, LEAST_ROWS) - 1])
    left = Counter(rows[number].state for number in set(order) - set(kept))
    told = ", ".join(f"{left[state]} {LEFT.get(state, state)}" for state in URGENCY if left[state])
    return [rows[number] for number in kept], f"    … and {told}"


class News:
    """What has not been told yet, in lines."""

    def __init__(self) -> None:
        self._told: set[tuple[int, int]] = set()

    def lines(self, progress: Progress, events: Iterable[Event]) -> list[str]:
        said = [line for event in events if (line := say(event))]
        for again in progress.again:
            if (again.step_id, again.tries) not in self._told:
                self._told.add((again.step_id, again.tries))
                said.append(say_again(again))
        return [plain(line) for line in said]


class LiveView:
    """Redraws in place; the newest events stand below the table."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.news = News()
        self.tail: list[str] = []
        self.threads = Threads()
        self.started = time.monotonic()
        # No refresh thread: the process may fork again to replace a dead worker.
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()
        for line in self.threads.picture(self.console.width):
            self.console.print(line)

    def show(self, progress: Progress, events: Iterable[Event]) -> None:
        events = list(events)
        self.threads.take(events)
        self.tail = [*self.tail, *self.news.lines(progress, events)][-TAIL:]
        self.live.update(self._picture(progress), refresh=True)

    def say(self, text: str) -> None:
        self.live.console.print(plain(text))

    def ask(self, question: str, *, waits: Callable[[], bool]) -> str | None:
        """Stop drawing and read one line; None once nothing `waits` for it any more."""
        self.live.stop()
        self.console.print(plain(question), end="")
        try:
            while waits():
                if select([sys.stdin], [], [], ASK_S)[0]:
                    if line := sys.stdin.readline():
                        return line
                    raise EOFError
            # What was half written is no answer to what is asked next.
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
            self.console.print()
            return None
        finally:
            self.live.start()

    def _picture(self, progress: Progress) -> Group:
        parts: list[Any] = [self._head(progress)]
        rows, left = fitting(progress.rows, self.console.height - HEAD - TAIL)
        if rows:
            parts.append(self._table(rows))
        parts += [Text(left, style="dim"), *self._weave(len(rows) + 1)] if left else self._weave(len(rows))
        parts += [Text(f"  {line}", style="dim", overflow="ellipsis", no_wrap=True) for line in self.tail]
        return Group(*parts)

    def _weave(self, rows: int) -> list[Text]:
        """As many threads as the table leaves room for; none where that is few."""
        room = self.console.height - rows - TAIL - 8
        if room < LEAST_LANES:
            return []
        return [Text(), *self.threads.picture(self.console.width, now=timezone.now(), most=room), Text()]

    def _head(self, progress: Progress) -> Table:
        grid = Table.grid(padding=(0, 2))
        phases = Text()
        reached = PHASES.index(progress.phase) if progress.phase in PHASES else -1
        for number, phase in enumerate(PHASES):
            style = "green" if number < reached else "bold cyan" if number == reached else "dim"
            mark = "✔" if number < reached else self._turn() if number == reached else "◌"
            phases.append(f"{mark} {phase}  ", style=style)
        grid.add_row(shown(self.title, "bold"), phases)
        total = len(progress.rows)
        limit = "" if progress.limit_microusd is None else f" of {usd(progress.limit_microusd)}"
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        figures = (
            f"{progress.done} of {total} merged   {progress.calls} calls   "
            f"{tokens(progress.tokens)} tokens   {usd(progress.cost_microusd)}{limit}   "
            f"{minutes}:{seconds:02d}"
        )
        bar = ProgressBar(total=max(total, 1), completed=progress.done, width=24)
        grid.add_row(bar, shown(figures + (f"   {progress.doing}" if progress.doing else "")))
        return grid

    def _turn(self) -> str:
        return TURNING[int((time.monotonic() - self.started) * 3) % len(TURNING)]

    def _table(self, rows: list[Row]) -> Table:
        table = Table(box=None, padding=(0, 1), expand=True, header_style="dim")
        table.add_column("", width=1)
        table.add_column("bead", no_wrap=True)
        table.add_column("title", ratio=5, no_wrap=True, overflow="ellipsis")
        table.add_column("state", ratio=2, no_wrap=True, overflow="ellipsis")
        table.add_column("agent", ratio=3, no_wrap=True, overflow="ellipsis")
        table.add_column("doing", ratio=5, no_wrap=True, overflow="ellipsis")
        figures = ("cost",) if self.console.width < NARROW else ("turns", "tokens", "cost")
        for name in figures:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            shape = self._turn() if row.state == "working" else SHAPES[row.state]
            used = {
                "turns": str(row.turns or ""),
                "tokens": tokens(row.tokens) if row.tokens else "",
                "cost": usd(row.cost_microusd) if row.cost_microusd else "",
            }
            table.add_row(
                Text(shape, style=COLORS[row.state]),
                row.key,
                shown(row.title),
                shown(row.words, COLORS[row.state]),
                shown(row.agent),
                shown(row.doing, "dim"),
                *(used[name] for name in figures),
            )
        return table


class LineView:
    """One line for each thing that happened."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.news = News()
        self.started = time.monotonic()

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, progress: Progress, events: Iterable[Event]) -> None:
        for line in self.news.lines(progress, events):
            self.say(f"{time.monotonic() - self.started:6.1f}s  {line}")

    def say(self, text: str) -> None:
        self.console.print(plain(text), soft_wrap=True)


View = LiveView | LineView


def say(event: Event) -> str:
    """An event in a line; empty for those too small to tell."""
    teller = TELLERS.get(event.kind)
    return teller(event, event.subject.removeprefix("bead:")) if teller else ""


def say_again(again: Again) -> str:
    """Why nothing seems to happen, and until when."""
    seconds = max(0, round((again.wake_at - timezone.now()).total_seconds()))
    who = f"{again.bead}: " if again.bead else ""
    return f"◌ {who}try {again.tries} of {again.most} failed, next in {seconds} s: {again.message}"


def _closed(event: Event, key: str) -> str:
    if event.data.get("commit"):
        return f"✔ {key} merged: {event.data['title']}"
    return f"✔ {key} {event.data['title']}: {event.data['reason']}"


TELLERS: dict[str, Callable[[Event, str], str]] = {
    "weave.phase": lambda event, _: f"── {event.data['phase']}",
    "requirements.synced": lambda event, _: (
        f"○ {_counted(event.data['count'], 'requirement')} found in the PRD"
    ),
    "bead.created": lambda event, key: f"○ {key} planned: {event.data['title']}",
    "plan.refused": lambda event, _: f"✕ plan sent back: {'; '.join(event.data['problems'][:3])}",
    "plan.held": lambda event, _: f"✔ plan holds: {event.data['stories']} stories",
    "bead.assigned": lambda event, key: (
        f"◔ {key} {event.data['title']} → {event.data['agent'] or 'its workflow'}"
    ),
    "turn.replied": lambda event, _: (
        f"✕ {event.actor}: reply not understood, asked again" if event.data.get("error") else ""
    ),
    "claim.made": lambda event, key: f"◔ {key} claimed done by {event.actor}",
    "evidence.passed": lambda event, key: _evidence(key, True, event.data),
    "evidence.failed": lambda event, key: _evidence(key, False, event.data),
    "review.approved": lambda event, key: f"✔ {key} approved by {event.actor}",
    "review.rejected": lambda event, key: (
        f"✕ {key} sent back by {event.actor}: {_first_line(event.data.get('comments', ''))}"
    ),
    "merge.conflict": lambda event, key: f"✕ {key} conflicts with main in {event.data.get('detail', '')}",
    "merge.red": lambda event, key: f"✕ {key} fails on top of main",
    "bead.closed": _closed,
    "bead.blocked": lambda event, key: f"◆ {key} waits for a person: {event.data['reason']}",
    "decision.created": lambda event, _: f"◆ decision wanted: {_first_line(event.data['question'])}",
    "decision.resolved": lambda event, _: (
        f"✔ decided by {event.actor}: {_first_line(event.data['question'])} → {event.data['choice']}"
    ),
}


def _evidence(subject: str, passed: bool, data: dict[str, Any]) -> str:
    where = "on top of main" if data.get("of") == "merge" else "on a clean checkout"
    failing = ", ".join(check["name"] for check in data.get("checks", []) if not check["passed"])
    flags = "".join(f"  (! {flag['path']}: {flag['what']})" for flag in data.get("flags", []))
    return f"✔ {subject} proven {where}{flags}" if passed else f"✕ {subject} failed {failing} {where}{flags}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:140] if text.strip() else ""


def tell_summary(console: Console, summary: dict[str, Any]) -> None:
    """The end of a weave for people."""
    console.print()
    mark, style = {"done": ("✔", "green"), "waiting": ("◆", "yellow")}.get(summary["status"], ("✕", "red"))
    console.print(shown(f"{mark} {summary['project']}: {_verdict(summary)}", f"bold {style}"))
    if summary["stories"]:
        console.print(_stories(summary["stories"], console.width))
    _tell_figures(console, summary)


def _stories(stories: list[dict[str, Any]], width: int) -> Table:
    """Where there is little room the words are shortened, never the key of a bead, its commit or a figure."""
    words = {"title": 5, "agent": 3, "evidence": 5}
    figures = ["commit", "turns", "cost"]
    if width < NARROW:
        del words["agent"]
        figures.remove("turns")
    table = Table(box=None, padding=(0, 1), header_style="dim", expand=width < WIDE)
    for name in ("", "bead"):
        table.add_column(name, no_wrap=True)
    for name, share in words.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=share if width < WIDE else None)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for story in stories:
        state = "done" if story["proven"] else "person" if story["status"] == "blocked" else "open"
        cells = {
            "title": story["title"],
            "agent": story["agent"],
            "evidence": _proof(story),
            "commit": story["commit"][:10],
            "turns": str(story["turns"]),
            "cost": f"${story['cost_usd']:.4f}",
        }
        table.add_row(
            Text(SHAPES[state], style=COLORS[state]),
            story["key"],
            *(shown(cells[name]) for name in (*words, *figures)),
        )
    return table


def _verdict(summary: dict[str, Any]) -> str:
    merged = f"{summary['merged']} of {len(summary['stories'])} stories merged with evidence"
    return {
        "done": merged,
        "dropped": f"given up: {summary['error']}",
        "waiting": f"waits for a person; {merged}",
        "canceled": f"canceled; {merged}",
        "interrupted": f"not finished; {merged}",
    }.get(summary["status"], f"{summary['error'] or 'not everything was proven'}; {merged}")


def _proof(story: dict[str, Any]) -> str:
    if not story["evidence"]:
        return "waits for a person, see below" if story["status"] == "blocked" else str(story["reason"])[:60]
    return ", ".join(_check_words(row) for row in story["evidence"])


def _check_words(row: dict[str, Any]) -> str:
    if not row["passed"]:
        return f"{row['check']} failed"
    return f"{row['tests']} tests passed" if row["tests"] else f"{row['check']} ok"


INCIDENTS = {
    "failed_verifications": "failed verification",
    "rejected_reviews": "rejected review",
    "merge_conflicts": "merge conflict",
    "decisions": "decision",
    "invalid_replies": "invalid reply",
}


def _counted(count: int, word: str) -> str:
    if count == 1:
        return f"1 {word}"
    return f"{count} {word[:-1]}ies" if word.endswith("y") else f"{count} {word}s"


def _tell_figures(console: Console, summary: dict[str, Any]) -> None:
    incidents = {key: count for key, count in summary["incidents"].items() if count}
    if incidents:
        told = ", ".join(_counted(count, INCIDENTS[key]) for key, count in incidents.items())
        console.print(f"On the way: {told}.")
    console.print(plain(_figures(summary)))
    for waiting in summary["waiting"]:
        console.print(shown(f"◆ {waiting['question']}", "yellow"), soft_wrap=True)
    if summary["out"]:
        console.print(plain(f"Built in {summary['out']}"), soft_wrap=True)
        rows = [row for story in summary["stories"] for row in story["evidence"] if row["tests"]]
        if rows:
            # To be copied: a directory may have spaces in its name.
            command = f"  cd {shlex.quote(summary['out'])} && {rows[-1]['command']}"
            console.print(plain(command), soft_wrap=True)


def _figures(summary: dict[str, Any]) -> str:
    limit = f" of {usd(round(summary['budget_usd'] * 1e6))}" if summary["budget_usd"] is not None else ""
    note = " (demo provider: nothing is charged)" if summary["demo"] else ""
    calls = _counted(summary["calls"], "call")
    counted = (calls, f"{summary['tokens']:,} tokens", f"{summary['seconds']:.0f} s")
    return f"Cost ${summary['cost_usd']:.4f}{limit}{note}, {', '.join([*counted, *summary['models']])}."
