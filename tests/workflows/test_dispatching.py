"""Which beads are given out, in what order, and what is read and told together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from apps.agents.lifecycle import agent_stop
from apps.agents.seat import SESSIONS, seat_of
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.engine import doorbell, leases, runner
from apps.engine.execution import executing
from apps.engine.models import Run
from apps.events import bus
from apps.projects.services import project_create
from apps.providers.models import Budget, Call
from apps.workflows import dispatch as dispatching
from apps.workflows.dispatch import dispatch
from tests.core.messages import messages
from tests.core.processes import wait_until
from tests.engine.flows import at_once
from tests.providers.test_budgets_at_once import somebody_waits
from tests.workflows.studio import Studio
from tests.workflows.test_bead_flow import subtracting

Open = Callable[..., Studio]


def test_of_many_beads_the_first_are_rung_for_before_the_last_are_assigned(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "AT_ONCE", (1, 2))
    studio, rings, told = open_studio(subtracting, max_sessions=6), list[tuple[int, int, int]](), list[int]()
    for number in range(6):
        studio.bead(f"Bead {number}", status=Bead.Status.DEFERRED)
    Bead.objects.update(status=Bead.Status.OPEN)
    monkeypatch.setitem(bus._group_handlers, "bead.assigned", [lambda events: told.append(len(events))])

    def ring(run_ids: Sequence[int]) -> None:
        busy = Bead.objects.filter(status=Bead.Status.IN_PROGRESS).count()
        rings.append((len(run_ids), busy, len(told)))

    doorbell.use(ring)

    assert dispatch(studio.project.pk) == 6

    assert rings == [(1, 1, 0), (2, 3, 0), (2, 5, 0), (1, 6, 0)]
    assert sum(told) == 6  # those who only hear of it wait for the end


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL is far away")
def test_beads_are_started_in_few_messages_however_many_they_are(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read goes ahead, then new agents, then all that is written up to the runs, then the commit."""
    monkeypatch.setattr(dispatching, "AT_ONCE", (1, 5))
    studio = open_studio(subtracting, max_sessions=6)
    start, sizes = dispatching._start, list[int]()

    def started(*arguments: Any) -> int:
        with messages(monkeypatch) as sent:
            count = start(*arguments)
        sizes.append(len(sent))
        return count

    for number in range(6):
        studio.bead(f"Bead {number}", status=Bead.Status.DEFERRED)
    Bead.objects.update(status=Bead.Status.OPEN)
    monkeypatch.setattr(dispatching, "_start", started)
    doorbell.use(lambda run_ids: None)

    assert dispatch(studio.project.pk) == 6
    assert sizes[1:] == [4]  # the first also learns the workflow and the providers


def test_runs_that_begin_together_read_their_sessions_together(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(subtracting, max_sessions=3)
    monkeypatch.setattr(SESSIONS, "get", lambda pk: pytest.fail(f"session {pk} is read by itself"))
    beads = [studio.bead(f"Bead {number}", status=Bead.Status.DEFERRED) for number in range(3)]
    Bead.objects.update(status=Bead.Status.OPEN)
    dispatch(studio.project.pk)
    runs = list(Run.objects.filter(bead_id__in=[bead.pk for bead in beads]).order_by("pk"))

    (first, *_) = runner.claim_all([run.pk for run in runs])
    with executing(first):
        seat = seat_of(first.run.input["session_id"])
        assert seat.is_untouched()
        assert not seat.is_handed_over()

    assert seat.session.bead_id == first.run.bead_id
    leases._held.clear()


def test_who_is_stopped_after_its_session_was_read_hands_over_and_asks_no_model(open_studio: Open) -> None:
    studio = open_studio(subtracting)
    bead = studio.bead()
    dispatch(studio.project.pk)
    (claimed,) = runner.claim_all(list(Run.objects.filter(bead_id=bead.pk).values_list("pk", flat=True)))
    (session,) = studio.sessions("work")
    agent_stop(agent_id=session.agent_id, hand_over=True, actor="ann")

    runner.go_on(claimed)

    first, second, *_ = studio.sessions("work")
    assert (first.pk, first.reason, first.turn_count) == (session.pk, "handed_over", 0)
    assert second.agent_id != first.agent_id
    assert second.turn_count
    assert not Call.objects.filter(session_id=first.pk).exists()
    assert not Budget.objects.filter(reserved_microusd__gt=0).exists()


def test_dispatch_takes_the_most_urgent_first_and_only_as_many_as_there_is_room_for(
    open_studio: Open,
) -> None:
    studio = open_studio(subtracting, max_sessions=2)
    beads = [
        bead_create(
            project=studio.project,
            title=f"Bead {number}",
            role="qa-engineer",
            priority=priority,
            status=Bead.Status.DEFERRED,
        )
        for number, priority in enumerate([3, 0, 2, 1])
    ]
    Bead.objects.filter(pk__in=[bead.pk for bead in beads]).update(status=Bead.Status.OPEN)

    assert dispatch(studio.project.pk) == 2
    assert dispatch(studio.project.pk) == 0

    started = Bead.objects.filter(status=Bead.Status.IN_PROGRESS).order_by("priority")
    assert [bead.title for bead in started] == ["Bead 1", "Bead 3"]
    assert [bead.assigned_to for bead in started] == ["QA engineer", "QA engineer 2"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_two_projects_that_dispatch_at_once_do_not_both_take_the_last_place(
    open_studio: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOOM_MAX_SESSIONS = 1
    studio = open_studio(subtracting)
    projects = [studio.project, project_create(organization=studio.organization, name="Other")]
    for project in projects:
        bead_create(project=project, title="Work", role="qa-engineer", status=Bead.Status.DEFERRED)
    Bead.objects.update(status=Bead.Status.OPEN)
    numbers, is_over, seat = count(), threading.Event(), dispatching._seat

    def seat_late(*given: Any) -> dict[int, int]:
        """The first has counted; until it commits nobody else can know what it takes."""
        if next(numbers) == 0:
            wait_until(lambda: is_over.is_set() or somebody_waits())
        return seat(*given)

    def start(project_id: int) -> int:
        try:
            return dispatch(project_id)
        finally:
            is_over.set()

    monkeypatch.setattr(dispatching, "_seat", seat_late)

    assert sorted(at_once(*(lambda pk=one.pk: start(pk) for one in projects))) == [0, 1]
    assert Bead.objects.filter(status=Bead.Status.IN_PROGRESS).count() == 1
