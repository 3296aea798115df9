"""The weave in a terminal: threads, waits, knots, reviews and merges, from events alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from apps.events.models import Event
from apps.workflows.progress import Progress
from apps.workflows.terminal import LiveView
from apps.workflows.terminal_weave import NAME, Threads

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
STORY: list[tuple[int, str, str, int | None, dict[str, Any]]] = [
    (0, "session.opened", "Planner", None, {"session_kind": "plan"}),
    (9, "session.ended", "Planner", None, {}),
    (10, "session.opened", "Engineer", 1, {"session_kind": "work"}),
    (30, "claim.made", "Engineer", 1, {}),
    (40, "evidence.failed", "", 1, {"checks": []}),
    (60, "claim.made", "Engineer", 1, {}),
    (70, "session.opened", "Reviewer", 1, {"session_kind": "review"}),
    (80, "review.approved", "Reviewer", 1, {}),
    (80, "session.ended", "Reviewer", 1, {}),
    (90, "merge.merged", "merge queue", 1, {}),
    (90, "session.ended", "Engineer", 1, {}),
    (95, "session.opened", "Planner", None, {"session_kind": "plan"}),
    (99, "merge.queued", "", None, {}),
]


def events() -> list[Event]:
    return [
        Event(
            kind=kind,
            actor=actor,
            bead_id=bead_id,
            data=data,
            created_at=BEGUN + timedelta(seconds=at),
            subject="",
        )
        for at, kind, actor, bead_id, data in STORY
    ]


def drawn(threads: Threads, **how: Any) -> dict[str, str]:
    return {line.plain[:NAME].strip(): line.plain[NAME + 1 :] for line in threads.picture(NAME + 101, **how)}


def test_each_agent_is_a_thread_that_joins_main() -> None:
    threads = Threads()
    threads.take(events())
    rows = drawn(threads, now=BEGUN + timedelta(seconds=100))
    assert list(rows) == ["Planner", "Engineer", "Reviewer", "main", ""]
    engineer, reviewer, main = rows["Engineer"], rows["Reviewer"], rows["main"]
    assert engineer[:10].isspace()
    assert (engineer[20], engineer[35], engineer[40], engineer[50]) == ("━", "┄", "✕", "━")
    assert (engineer[65], engineer[90]) == ("┄", "┓")
    assert (reviewer[75], reviewer[80], reviewer[90]) == ("─", "✔", "┃")
    assert (main[50], main[90]) == ("═", "✔")
    assert rows["Planner"][99] == "━"  # still at it
    assert rows[""].split() == ["0:00", "0:50", "1:40"]


def test_it_is_bounded_and_nothing_is_drawn_where_there_is_no_room() -> None:
    threads = Threads()
    assert threads.picture(120) == []
    threads.take(events())
    assert list(drawn(threads, most=2)) == ["Planner", "Engineer", "main", ""]
    assert threads.picture(30) == []
    assert all(line.cell_len <= 60 for line in threads.picture(60))


def test_a_terminal_shows_it_while_it_grows_and_at_the_end() -> None:
    progress = Progress("building", [], "", 0, 0, 0, None, [], "", "")
    for height, is_live in ((40, True), (10, False)):
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, no_color=True, width=100, height=height)
        with LiveView(console, "Links") as view:
            view.show(progress, events())
        told = file.getvalue()
        assert (told.count("Reviewer  ") > 1) is is_live
        assert "\x1b[32m" not in told  # no color
