"""A flow of the campaign's own, for what beads do not need: children, sleeps, timeouts, beginning anew.

Each of its steps leaves a mark in the database; every mark must be there once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from apps.engine.children import join, start_child
from apps.engine.flow import flow, sleep, step, wait_for
from apps.engine.generations import continue_as_new
from apps.engine.models import Run
from apps.engine.services import run_signal, run_start
from apps.events.bus import emit
from apps.events.models import Event

ROUNDS = 3
AT_ONCE = 2  # runs while the attacks last
FLOW, BRANCH, MARK = "campaign.rounds", "campaign.branch", "campaign.mark"


@flow(FLOW)
def rounds(name: str, number: int = 1) -> str:
    if number == 1:
        heard = wait_for("go", timeout=120.0)
        step(mark, text=f"{name}: {'heard' if heard is not None else 'heard nothing'}")
    child = start_child(BRANCH, key=f"branch-{number}", input={"name": f"{name}, round {number}"})
    sleep(0.3)
    step(mark, text=f"{name}, round {number}: slept")
    step(mark, text=f"{name}, round {number}: {join(child)}")
    if number < ROUNDS:
        continue_as_new(name=name, number=number + 1)
    return "done"


@flow(BRANCH)
def branch(name: str) -> str:
    step(mark, text=f"{name}: branch")
    wait_for("nobody says this", timeout=0.2)
    return "joined"


def mark(*, text: str) -> None:
    emit(MARK, organization_id=None, text=text)


def marks_wanted(name: str) -> Iterator[str]:
    yield f"{name}: heard"
    for number in range(1, ROUNDS + 1):
        yield from (f"{name}, round {number}: {what}" for what in ("branch", "slept", "joined"))


def rounds_feed() -> None:
    """Start another run if there is room, twice for good measure, and tell it to go."""
    runs = Run.objects.filter(flow=FLOW)
    if runs.unfinished().count() < AT_ONCE:
        name = f"rounds:{runs.count() + 1}"
        started = [run_start(flow=FLOW, key=name, input={"name": name}) for _ in range(2)]
        if not started[0].signals.exists():
            run_signal(run_id=started[0].pk, name="go")


def marks() -> tuple[Counter[str], Counter[str]]:
    """Found and wanted."""
    texts = Event.objects.filter(kind=MARK).values_list("data", flat=True)
    names = Run.objects.filter(flow=FLOW).values_list("key", flat=True)
    return Counter(data["text"] for data in texts), Counter(
        text for name in names for text in marks_wanted(name)
    )
