from __future__ import annotations

import os
import signal

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Organization
from apps.core.together import Sent, flush, send, together

RENAME = "UPDATE accounts_organization SET name = %s WHERE slug = %s"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def one() -> None:
    Organization.objects.create(name="one", slug="one")


def names() -> list[str]:
    return sorted(Organization.objects.values_list("name", flat=True))


def test_what_is_read_has_run_and_what_came_before_it_too() -> None:
    with transaction.atomic(), together():
        first = send(RENAME, ["two", "one"])
        second = send("SELECT name FROM accounts_organization WHERE slug = %s", ["one"])

        assert second.rows == [("two",)]
        assert first.count == 1
    assert names() == ["two"]


def test_rows_that_are_changed_and_returned_are_counted() -> None:
    sent = send(f"{RENAME} RETURNING name", ["two", "one"])
    assert (sent.count, sent.rows) == (1, [("two",)])


def test_queries_of_the_orm_come_after_those_that_wait() -> None:
    with transaction.atomic(), together():
        send(RENAME, ["two", "one"])
        assert names() == ["two"]
        send(RENAME, ["three", "one"])
    assert names() == ["three"]


def test_who_wants_to_know_is_told_in_order_before_the_commit() -> None:
    told: list[int] = []

    def note(sent: Sent) -> None:
        told.append(sent.count)
        assert connection.in_atomic_block

    with transaction.atomic(), together():
        send(RENAME, ["two", "one"], then=note)
        send(RENAME, ["two", "nobody"], then=note)
    assert told == [1, 0]


def test_what_is_sent_by_who_is_told_runs_too_also_at_the_end() -> None:
    def go_on(sent: Sent) -> None:
        send(RENAME, ["three", "one"], then=go_further)

    def go_further(sent: Sent) -> None:
        send(RENAME, ["four", "one"])

    with transaction.atomic(), together():
        send(RENAME, ["two", "one"], then=go_on)
    assert names() == ["four"]


def test_a_refusal_of_one_undoes_them_all() -> None:
    def refuse(sent: Sent) -> None:
        raise LookupError

    def change() -> None:
        with transaction.atomic(), together():
            send(RENAME, ["two", "one"])
            send(RENAME, ["three", "one"], then=refuse)
            send(RENAME, ["four", "one"])

    with pytest.raises(LookupError):
        change()
    assert names() == ["one"]


def test_errors_are_those_of_django_and_the_connection_goes_on() -> None:
    Organization.objects.create(name="other", slug="other")
    take = "UPDATE accounts_organization SET slug = %s WHERE slug = %s"

    def change() -> None:
        with transaction.atomic(), together():
            send(RENAME, ["two", "one"])
            send(take, ["other", "one"])
            send(RENAME, ["three", "one"])

    with pytest.raises(IntegrityError):
        change()
    assert names() == ["one", "other"]


def test_what_waits_is_dropped_with_an_error_of_the_block() -> None:
    def change() -> None:
        with transaction.atomic(), together():
            send(RENAME, ["two", "one"])
            raise LookupError

    with pytest.raises(LookupError):
        change()
    flush()
    assert names() == ["one"]


def test_who_listens_hears_each_statement_when_it_is_sent() -> None:
    with CaptureQueriesContext(connection) as heard, transaction.atomic(), together():
        before = len(heard)
        send(RENAME, ["two", "one"])
        assert len(heard) == before + 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL is far away")
def test_they_travel_in_one_message() -> None:
    with transaction.atomic(), together():
        sent = send(RENAME, ["two", "one"])
        assert sent._count is None
    assert sent.count == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server that goes away")
def test_a_server_that_goes_away_in_between_is_told_as_such() -> None:
    def change() -> None:
        with transaction.atomic(), together():
            (row,) = send("SELECT pg_backend_pid()", []).rows
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", row)
            send(RENAME, ["two", "one"])

    with pytest.raises(OperationalError):
        change()
    connection.close()

    assert names() == ["one"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server to wait for")
def test_the_connection_is_of_use_after_a_statement_that_was_interrupted() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def change() -> None:
        with transaction.atomic(), together():
            send(RENAME, ["two", "one"])
            send("SELECT pg_sleep(5)", [])
            signal.setitimer(signal.ITIMER_REAL, 0.2)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            change()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert names() == ["one"]


def test_what_waits_at_the_end_travels_with_the_commit() -> None:
    with transaction.atomic():
        with together(commits=True):
            send(RENAME, ["two", "one"])
        if connection.vendor == "postgresql":
            assert connection.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert names() == ["two"]


def test_the_block_commits_nothing_that_is_not_all_of_its_transaction() -> None:
    def change() -> None:
        with transaction.atomic():
            with transaction.atomic(), together(commits=True):
                send(RENAME, ["two", "one"])
            raise LookupError

    with pytest.raises(LookupError):
        change()
    assert names() == ["one"]


@pytest.mark.parametrize("error", [LookupError, IntegrityError])
def test_a_block_that_fails_commits_nothing(error: type[Exception]) -> None:
    def refuse(sent: Sent) -> None:
        raise error

    def change() -> None:
        with transaction.atomic(), together(commits=True):
            send(RENAME, ["two", "one"], then=refuse)

    with pytest.raises(error):
        change()
    assert names() == ["one"]
