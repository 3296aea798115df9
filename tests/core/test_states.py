"""Compare-and-swap: of two who change a status, one succeeds."""

from __future__ import annotations

from functools import partial

import pytest

from apps.core.states import move
from apps.engine.models import Run
from tests.engine.flows import at_once


def runs() -> Run:
    return Run.objects.create(key="k", flow="f", status=Run.Status.READY)


@pytest.mark.django_db
def test_a_legal_move_is_made_and_stamped() -> None:
    run = runs()
    assert move(Run.objects.filter(pk=run.pk), to="done", allowed={"ready", "running"}, error="because")
    before = run.updated_at
    run.refresh_from_db()
    assert (run.status, run.error) == ("done", "because")
    assert run.updated_at > before


@pytest.mark.django_db
def test_an_illegal_move_changes_nothing() -> None:
    run = runs()
    assert not move(Run.objects.filter(pk=run.pk), to="done", allowed={"running"}, error="because")
    run.refresh_from_db()
    assert (run.status, run.error) == ("ready", "")


@pytest.mark.django_db
def test_nothing_moves_where_there_is_no_row() -> None:
    assert not move(Run.objects.filter(pk=4711), to="done", allowed={"ready"})


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_moves_it() -> None:
    rows = Run.objects.filter(pk=runs().pk)
    given = at_once(*[partial(move, rows.all(), to="running", allowed={"ready"})] * 5)
    assert sorted(given) == [False] * 4 + [True]
