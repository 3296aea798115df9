"""Threads lend each other their connections to PostgreSQL and keep apart what they do with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from apps.engine import lending
from apps.engine.models import Run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL's are lent"),
]


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    lending.close_idle()
    yield
    lending.close_idle()
    assert lending._lent == 0


def elsewhere(work: Callable[[], Any]) -> Any:
    """What the work gives in a thread that borrows."""
    given: list[Any] = []

    def play() -> None:
        lending.borrow_here()
        try:
            given.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=play)
    thread.start()
    thread.join(30)
    return given[0]


def server() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_the_next_thread_goes_on_with_the_connection_of_the_last() -> None:
    assert elsewhere(server) == elsewhere(server) != server()


def test_a_thread_that_lends_finds_a_connection_again() -> None:
    def work() -> tuple[int, bool, int]:
        first = server()
        lending.lend()
        return first, connection.connection is None, elsewhere(server)

    first, gone, other = elsewhere(work)
    assert (gone, other) == (True, first)


def test_nothing_is_lent_inside_a_transaction() -> None:
    def work() -> bool:
        with transaction.atomic():
            Run.objects.count()
            lending.lend()
            return bool(connection.connection)

    assert elsewhere(work)


def test_a_connection_that_the_server_ended_is_lent_to_nobody() -> None:
    ended = elsewhere(server)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
    assert elsewhere(server) != ended


def test_an_open_transaction_is_not_handed_on() -> None:
    def work() -> int:
        pid = server()
        connection.connection.execute("SELECT 1 FROM engine_run")
        connection.connection.autocommit = False
        connection.connection.execute("SELECT 1")
        return pid

    assert elsewhere(work) != elsewhere(server)


def test_who_waits_too_long_gets_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "AT_ONCE", 1)
    monkeypatch.setattr(lending, "PATIENCE_S", 0.05)

    def work() -> bool:
        return bool(server() != elsewhere(server))

    assert elsewhere(work)
