"""The weave in a terminal: threads, waits, knots, reviews and merges, from events alone."""

from __future__ import annotations

import io
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from apps.events.models import Event
from apps.workflows.progress import Progress, Row
from apps.workflows.terminal import LiveView, console_make, fitting, tell_summary
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


def test_on_80_columns_states_keys_commits_and_costs_can_be_read_whole() -> None:
    told = shown("Write the documentation " * 3)
    assert all(word in told for word in ("split-12", "merged", "$0.0118"))

    line = next(line for line in summed_up(title="Write the documentation " * 3) if "split-12" in line)
    assert line.startswith(" ✔")
    assert all(word in line for word in ("106 tests passed", "c8ef1d9374", "$0.0118"))


def test_where_not_all_beads_fit_those_at_work_are_in_sight() -> None:
    states = ["done"] * 14 + ["working", "person"] + ["waiting"] * 20
    rows = [Row(f"x-{number}", "", state, "", "", "", 0, 0, 0) for number, state in enumerate(states)]
    assert fitting(rows, 36) == (rows, "")
    some, left = fitting(rows, 8)
    assert [row.key for row in some] == ["x-14", "x-15", *(f"x-{number}" for number in range(16, 21))]
    assert left == "    … and 15 waiting, 14 merged"
    assert len(fitting(rows, -3)[0]) == 4

    progress, told = Progress("building", rows, "", 0, 0, 0, None, [], "", ""), io.StringIO()
    with LiveView(console_make(file=told, width=80, height=24, force_terminal=True), "Splitfair") as live:
        live.tail = [f"event {number}" for number in range(6)]
        live.show(progress, [])
        frame = told.getvalue()
    assert all(words in frame for words in ("x-15", "14 merged", "event 5"))
    assert frame.count("\n") < 24


def test_titles_are_shown_as_they_are() -> None:
    """Neither markup nor emoji, and nothing that steers the terminal."""
    for title in ("GET /items/[id]", "See [/etc] :bug:", "[red]Stop"):
        assert title in shown(title)
        assert any(title in line for line in summed_up(title=title))
    assert "\x1b[2J" not in shown("\x1b[2Jgone") + "".join(summed_up(title="\x1b[2Jgone"))


def test_figures_of_a_weave_that_could_not_pay_a_call() -> None:
    lines = summed_up(budget_usd=0.001, cost_usd=0.0, calls=0, tokens=0, models=[])
    assert "Cost $0.0000 of $0.0010, 0 calls, 0 tokens, 9 s." in lines


def test_the_command_to_try_the_product_can_be_copied() -> None:
    lines = summed_up(out="/srv/Ann's product")
    assert lines[-1].split(" && ")[0].split(maxsplit=1)[1] == shlex.quote("/srv/Ann's product")


def shown(title: str) -> str:
    """The live table on 80 columns."""
    row = Row("split-12", title, "done", "merged", "Writer", "", 5, 9000, 11_800)
    progress = Progress("building", [row], "", 5, 9000, 11_800, None, [], "", "")
    drawn = io.StringIO()
    with LiveView(console_make(file=drawn, width=80, height=40, force_terminal=True), "Splitfair") as live:
        live.show(progress, [])
    return drawn.getvalue()


def summed_up(*, title: str = "Write", **more: Any) -> list[str]:
    """The summary on 80 columns."""
    story = {"key": "split-12", "title": title, "agent": "Documentation manager", "proven": True}
    story |= {"status": "closed", "commit": "c8ef1d93740011", "turns": 5, "cost_usd": 0.0118}
    story |= {"evidence": [{"check": "tests", "passed": True, "tests": 106, "command": "true"}]}
    nothing: dict[str, Any] = {"incidents": {}, "demo": False, "budget_usd": None, "waiting": [], "out": ""}
    figures = {"cost_usd": 0.0118, "calls": 5, "tokens": 9000, "seconds": 9.0, "models": ["script"]}
    summary = {"project": "Splitfair", "status": "done", "error": "", "merged": 1, "stories": [story]}
    told = io.StringIO()
    tell_summary(console_make(file=told, width=80), summary | nothing | figures | more)
    return told.getvalue().splitlines()
