from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Organization
from apps.core import together
from apps.core.commit import after_commit
from apps.core.together import NONE, ONE, Sent, at_once, send

RENAME = "UPDATE accounts_organization SET name = %s WHERE slug = %s"
NAMED = "SELECT 1 FROM accounts_organization WHERE name = %s FOR UPDATE"

pytestmark = pytest.mark.django_db(transaction=True)
far_away = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL is far away")


@pytest.fixture(autouse=True)
def one() -> None:
    Organization.objects.create(name="one", slug="one")


def names() -> list[str]:
    return sorted(Organization.objects.values_list("name", flat=True))


def seen_by_others() -> list[str]:
    found = names()
    connection.close()
    return found


def renamed(name: str, slug: str = "one", **more: Any) -> Callable[[], Sent]:
    return lambda: send(RENAME, [name, slug], **more)


@far_away
def test_work_and_commit_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.ensure_connection()
    sizes: list[tuple[int, bool]] = []
    exchange = together._pgwire().exchange

    def counted(wire: Any, statements: Any, *, commits: bool = False) -> Any:
        came = exchange(wire, statements, commits=commits)
        sizes.append((len(statements), commits))
        with ThreadPoolExecutor(1) as other:  # which has a connection of its own
            assert other.submit(seen_by_others).result() == ["two"]
        return came

    monkeypatch.setattr(together._pgwire(), "exchange", counted)

    def work() -> None:
        send(NAMED, ["one"], sure=ONE)
        send(RENAME, ["two", "one"], sure=ONE)

    assert at_once(work)
    assert sizes == [(2, True)]


@far_away
def test_hooks_wait_for_the_commit_and_notes_are_told() -> None:
    told: list[object] = []

    def work() -> None:
        send(f"{RENAME} RETURNING slug", ["two", "one"], note=lambda sent: told.append(sent.rows))
        after_commit(lambda: told.append(names()))

    assert at_once(work)
    assert told == [[("one",)], ["two"]]


@far_away
@pytest.mark.parametrize("work", [renamed("two", "nobody", sure=ONE), renamed("two", sure=NONE)])
def test_what_is_not_sure_undoes_all_and_is_said(work: Callable[[], Sent]) -> None:
    told: list[str] = []

    def change() -> None:
        send(RENAME, ["three", "one"])
        work()
        after_commit(told.append, "committed")

    assert not at_once(change)
    assert names() == ["one"]
    assert told == []


@far_away
def test_what_is_sure_is_judged_also_where_a_query_comes_in_between() -> None:
    def change() -> None:
        send(RENAME, ["two", "nobody"], sure=ONE)
        names()
        send(RENAME, ["three", "one"])

    assert not at_once(change)
    assert names() == ["one"]


@far_away
def test_who_has_to_look_looks_before_the_commit() -> None:
    def refuse(sent: Sent) -> None:
        assert (sent.count, names()) == (1, ["two"])
        raise LookupError

    with pytest.raises(LookupError):
        at_once(renamed("two", then=refuse))
    assert names() == ["one"]


@far_away
def test_other_errors_are_told() -> None:
    Organization.objects.create(name="other", slug="other")
    take = "UPDATE accounts_organization SET slug = %s WHERE slug = %s"
    with pytest.raises(IntegrityError):
        at_once(lambda: send(take, ["other", "one"]))
    with pytest.raises(DataError):
        at_once(lambda: send("SELECT %s::int", ["x"]))
    assert names() == ["one", "other"]


@far_away
def test_what_only_the_commit_finds_undoes_all() -> None:
    insert = "INSERT INTO accounts_membership (user_id, organization_id, role) VALUES (%s, %s, %s)"
    organization_id = Organization.objects.get().pk

    def work() -> None:
        send(RENAME, ["two", "one"], sure=ONE)
        send(insert, [123_456, organization_id, "user"])

    with pytest.raises(IntegrityError):
        at_once(work)
    assert names() == ["one"]


def test_inside_a_transaction_nothing_is_done() -> None:
    with transaction.atomic():
        assert not at_once(renamed("two"))
    assert names() == ["one"]


def test_where_somebody_listens_nothing_is_done() -> None:
    with CaptureQueriesContext(connection) as heard:
        assert not at_once(renamed("two"))
    assert len(heard) == 0


@pytest.mark.skipif(connection.vendor == "postgresql", reason="there they do")
def test_where_statements_do_not_travel_nothing_is_done() -> None:
    assert not at_once(renamed("two"))
    assert names() == ["one"]
