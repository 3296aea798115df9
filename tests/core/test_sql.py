"""Rows written by prepared statements are the rows that the ORM would have written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from apps.accounts.models import Organization
from apps.core import sql
from apps.core.together import together
from apps.engine.models import Run, Step
from apps.events.models import Event
from tests.core.messages import messages

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def columns(row: Event | Run) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def event(kind: str = "test", **fields: object) -> Event:
    return Event(kind=kind, created_at=MOMENT, data={"a": [1, None, "ü"]}, **fields)


def test_an_inserted_row_reads_like_a_saved_one() -> None:
    ours, theirs = event(actor="x", organization_id=7), event(actor="x", organization_id=7)
    sql.insert_all([ours])
    theirs.save()

    kept = [columns(Event.objects.get(pk=row.pk)) for row in (ours, theirs)]

    assert kept[0] | {"id": 0} == kept[1] | {"id": 0}
    assert columns(ours) == columns(Event.objects.get(pk=ours.pk))


def test_rows_get_their_own_keys_in_order() -> None:
    rows = [event(kind=f"kind {number}") for number in range(30)]

    sql.insert_all(rows)

    kinds = dict(Event.objects.values_list("pk", "kind"))
    assert [kinds[row.pk] for row in rows] == [f"kind {number}" for number in range(30)]
    assert sorted(row.pk for row in rows) == [row.pk for row in rows]


def test_more_rows_than_one_statement_takes_are_inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "MAX_VALUES", 25)

    sql.insert_all([event() for _ in range(7)])

    assert Event.objects.count() == 7


def test_nothing_is_inserted_for_no_rows() -> None:
    sql.insert_all([])

    assert not Event.objects.exists()


def test_an_inserted_row_can_be_saved_and_has_its_times() -> None:
    run = Run(key="k", flow="f", input={"x": 1})
    sql.insert_all([run])
    run.error = "changed"
    run.save()

    kept = Run.objects.get()

    assert (kept.error, kept.input, kept.status) == ("changed", {"x": 1}, "ready")
    assert kept.created_at == run.created_at
    assert kept.output is None


def test_constraints_hold() -> None:
    run = Run.objects.create(key="k", flow="f")
    Step.objects.create(run=run, seq=1, name="s", status="done", started_at=MOMENT)

    with pytest.raises(IntegrityError), transaction.atomic():
        sql.insert_all([Step(run=run, seq=1, name="s", status="done", started_at=MOMENT)])

    assert Step.objects.count() == 1


def test_statements_say_how_many_rows_they_touched() -> None:
    for name in ("a", "b", "c"):
        Organization.objects.create(name=name, slug=name)
    change = "UPDATE accounts_organization SET name = %s WHERE slug = %s"

    assert sql.execute(change, ["A", "a"]).count == 1
    assert sql.execute(change, ["A", "nobody"]).count == 0
    each = (
        "UPDATE accounts_organization SET name = given.column2 FROM {rows} AS given"
        " WHERE slug = given.column1"
    )
    assert sql.execute_rows(each, [], [["b", "B"], ["c", "C"], ["d", "D"]]).count == 2
    assert sorted(Organization.objects.values_list("name", flat=True)) == ["A", "B", "C"]


def test_moments_are_written_as_the_orm_reads_them() -> None:
    row = event()
    sql.insert_all([row])

    sql.execute("UPDATE events_event SET delivered_at = %s WHERE id = %s", [MOMENT, row.pk])

    assert Event.objects.get(delivered_at=MOMENT).delivered_at == MOMENT


def test_keys_asked_ahead_are_those_of_the_rows() -> None:
    rows = [event(kind=f"kind {number}") for number in range(3)]

    with transaction.atomic(), together():
        sql.keys_ahead(Event, 4)
        sql.insert_all(rows)
        keys = [row.pk for row in rows]
        more = event(kind="more")  # those asked for are used
        sql.insert_all([more])

    kinds = dict(Event.objects.order_by("pk").values_list("pk", "kind"))
    assert [kinds[key] for key in keys] == ["kind 0", "kind 1", "kind 2"]
    assert kinds[more.pk] == "more"
    assert len(kinds) == 4


def test_with_too_few_keys_asked_ahead_rows_are_inserted_as_ever() -> None:
    rows = [event(kind=f"kind {number}") for number in range(3)]

    with transaction.atomic(), together():
        sql.keys_ahead(Event, 2)
        sql.insert_all(rows)

    kinds = dict(Event.objects.values_list("pk", "kind"))
    assert [kinds[row.pk] for row in rows] == ["kind 0", "kind 1", "kind 2"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL is far away")
def test_with_keys_asked_ahead_nobody_waits_for_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    with messages(monkeypatch) as sizes, transaction.atomic(), together():
        sql.keys_ahead(Event, 1)
        rows = [event()]
        sql.insert_all(rows)
        assert sizes == [1]
        sql.insert_soon([event(kind=str(rows[0].pk))])
    assert sizes == [1, 2]
