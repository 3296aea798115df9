"""A prepared lookup gives the row that the ORM would give."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from pytest_django import DjangoAssertNumQueries

from apps.agents.models import Session
from apps.core.lookup import Lookup
from tests.world import World, world_build

pytestmark = pytest.mark.django_db

ROWS = Session.objects.select_related("project", "agent__persona", "bead").defer("project__prd")


@pytest.fixture
def world() -> World:
    return world_build()


def fields(row: Session) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_it_reads_the_same_values_and_relations(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    lookup: Lookup[Session] = Lookup(ROWS)
    for wanted in world.sessions:
        with django_assert_num_queries(1):
            found = lookup.get(wanted.pk)
            about = (found.project.name, found.agent.persona.role, found.bead and found.bead.title)

        expected = ROWS.get(pk=wanted.pk)
        assert fields(found) == fields(expected)
        assert about == (expected.project.name, expected.agent.persona.role, expected.bead.title)


def test_a_deferred_column_is_read_when_it_is_asked_for(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    found = Lookup(ROWS).get(world.sessions[0].pk)

    with django_assert_num_queries(1):
        assert found.project.prd == world.project.prd


def test_a_missing_relation_is_none(world: World) -> None:
    session = world.sessions[0]
    Session.objects.filter(pk=session.pk).update(bead=None)

    assert Lookup(ROWS).get(session.pk).bead is None


def test_a_missing_row_is_said_by_name(world: World) -> None:
    with pytest.raises(Session.DoesNotExist, match="Session 4711"):
        Lookup(ROWS).get(4711)


def test_conditions_of_the_rows_hold(world: World) -> None:
    ended = Lookup(Session.objects.filter(status=Session.Status.ENDED))

    with pytest.raises(Session.DoesNotExist):
        ended.get(world.sessions[0].pk)


def test_a_row_read_this_way_can_be_saved(world: World) -> None:
    found = Lookup(ROWS).get(world.sessions[0].pk)
    found.reason = "tested"
    found.save()

    assert Session.objects.get(pk=found.pk).reason == "tested"


@pytest.mark.django_db(transaction=True)
def test_threads_share_the_statement_but_not_the_connection(world: World) -> None:
    lookup: Lookup[Session] = Lookup(ROWS)
    keys = [session.pk for session in world.sessions] * 8

    def read(key: int) -> tuple[int, str]:
        try:
            found = lookup.get(key)
            return found.pk, found.project.name
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, keys)) == [(key, world.project.name) for key in keys]


def test_many_rows_are_read_by_one_statement(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    lookup, sessions = Lookup(ROWS), list(ROWS)
    keys = [session.pk for session in sessions]
    with django_assert_num_queries(1):
        found = {row.pk: row for row in lookup.all([*keys, 4711])}
    assert {pk: fields(row) for pk, row in found.items()} == {one.pk: fields(one) for one in sessions}
    assert lookup.all([]) == []
