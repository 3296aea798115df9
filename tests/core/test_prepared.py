"""A prepared query gives what the ORM would give, and is built once for each shape of its values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.agents.models import Session
from apps.core.prepared import Prepared
from apps.core.together import together
from tests.core.messages import messages
from tests.world import World, world_build

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return world_build()


def fields(row: Session) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def sessions(keys: tuple[int, ...], kind: str, since: Any) -> QuerySet[Session]:
    rows = Session.objects.select_related("project", "bead", "agent__persona").defer("project__prd")
    return rows.filter(Q(pk__in=keys) | Q(kind=kind), created_at__gt=since).order_by("pk")


@pytest.mark.usefixtures("world")
def test_rows_and_relations_are_those_of_the_orm() -> None:
    keys, since = tuple(Session.objects.values_list("pk", flat=True)), timezone.now() - timedelta(hours=1)
    prepared = Prepared(sessions)
    for values in [
        (keys, "", since),
        (keys[:1], "work", since),
        ((), "work", since),
        (keys, "", timezone.now()),
    ]:
        found, wanted = prepared(*values), list(sessions(*values))
        assert [fields(row) for row in found] == [fields(row) for row in wanted]
        assert [row.agent.persona.name for row in found] == [row.agent.persona.name for row in wanted]
        assert [row.project.name for row in found] == [row.project.name for row in wanted]
    assert len(prepared(keys, "", since, limit=1)) == 1


@pytest.mark.usefixtures("world")
def test_it_is_built_once_for_each_shape() -> None:
    built: list[int] = []

    def build(keys: tuple[int, ...]) -> Any:
        built.append(len(keys))
        return Session.objects.filter(pk__in=keys).order_by("pk").values_list("pk", "kind")

    prepared, rows = Prepared(build), list(Session.objects.order_by("pk").values_list("pk", "kind"))
    first, *_ = rows
    assert prepared((first[0],)) == [first]
    assert prepared((4711,)) == []
    assert prepared(tuple(pk for pk, _ in rows)) == rows
    assert prepared(()) == []
    assert prepared(()) == []
    assert built == [1, len(rows), 0]


def test_one_column_comes_without_its_row(world: World) -> None:
    kinds = Prepared(lambda pk: Session.objects.filter(pk=pk).values_list("kind", flat=True))
    session = Session.objects.first()
    assert session is not None
    assert kinds(session.pk) == [session.kind]


def test_a_value_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="Not every value"):
        Prepared(
            lambda limit: Session.objects.filter(turn_count=1).values_list("pk").order_by(str(limit and "pk"))
        )(7)


def test_no_value_is_nothing() -> None:
    prepared: Prepared[Any] = Prepared(lambda key: Session.objects.filter(bead=key))
    with pytest.raises(TypeError, match="isnull"):
        prepared(None)


@pytest.mark.usefixtures("world")
def test_what_is_asked_ahead_is_found_once_and_only_in_its_block() -> None:
    kinds = Prepared(lambda kind: Session.objects.filter(kind=kind).order_by("pk").values_list("pk", "kind"))
    wanted = kinds("work")
    assert wanted
    with transaction.atomic(), together():
        kinds.ahead("work")
        assert kinds("plan") == []  # another question
        assert kinds("work") == wanted
        Session.objects.update(kind="plan")
        assert kinds("work") == []  # asked anew
        kinds.ahead("plan")
    Session.objects.update(kind="work")
    with transaction.atomic(), together():
        assert kinds("plan") == []


@pytest.mark.usefixtures("world")
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL is far away")
def test_questions_asked_ahead_travel_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = Prepared(lambda kind: Session.objects.filter(kind=kind).order_by("pk").values_list("pk", "kind"))
    limited = Prepared(lambda pk: Session.objects.filter(pk__gt=pk).order_by("pk").values_list("pk", "kind"))
    with messages(monkeypatch) as sizes, transaction.atomic(), together():
        kinds.ahead("work")
        limited.ahead(0, limit=1)
        assert limited(0, limit=1) == kinds("work")[:1]
    assert sizes == [2]
