from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DataError, NotSupportedError, OperationalError, connection, connections, transaction

from apps.accounts.models import Organization
from apps.core.together import send, together

NAMES = "SELECT name FROM accounts_organization WHERE slug = %s"
PLANS = "SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE %s"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="this is how PostgreSQL is spoken to"),
]


@pytest.fixture(autouse=True)
def fresh() -> None:
    Organization.objects.create(name="one", slug="one")
    connection.close()


def plans(like: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(PLANS, [like])
        return int(cursor.fetchone()[0])


def test_a_statement_is_planned_once_however_often_it_is_sent() -> None:
    for _ in range(3):
        assert send(NAMES, ["one"]).rows == [("one",)]
    with transaction.atomic(), together():
        first, second = send(NAMES, ["one"]), send(NAMES, ["nobody"])
    assert (first.rows, second.rows) == ([("one",)], [])
    assert plans("SELECT name FROM accounts_organization%") == 1


def test_plans_are_not_kept_where_a_pooler_would_lose_them(settings: Any) -> None:
    settings.LOOM_DB_PREPARED = False
    assert send(NAMES, ["one"]).rows == [("one",)]
    assert plans("SELECT name FROM accounts_organization%") == 0


def test_the_server_keeps_a_limited_number_of_plans() -> None:
    for number in range(130):
        assert send(f"SELECT {number}, %s::int", [number]).rows == [(number, number)]
    assert 50 <= plans("SELECT%") <= 101
    assert send("SELECT 0, %s::int", [5]).rows == [(0, 5)]  # its plan had to go, and is made anew


def test_percent_signs_are_doubled() -> None:
    assert send("SELECT '100%%' LIKE '%%0%%', %s::text", ["%s"]).rows == [(True, "%s")]


def test_what_is_refused_before_it_has_a_plan_can_be_sent_again() -> None:
    rename = "UPDATE accounts_organization SET slug = %s WHERE slug = %s"

    def wrong() -> None:
        with transaction.atomic(), together():
            send("SELECT 1 / %s::int", [0])
            send(rename, ["two", "one"])

    for _ in range(2):
        with pytest.raises(Exception, match="division by zero"):
            wrong()
    assert send(rename, ["two", "one"]).count == 1


def test_a_plan_that_does_not_fit_any_more_is_forgotten() -> None:
    everything = "SELECT * FROM shelf WHERE id = %s"
    send("CREATE TABLE shelf (id int)", [])
    try:
        assert send(everything, [1]).rows == []
        send("ALTER TABLE shelf ADD COLUMN word text", [])
        with pytest.raises(NotSupportedError):
            send(everything, [1])
        assert send(everything, [1]).rows == []
    finally:
        send("DROP TABLE shelf", [])


def test_messages_of_any_size_go_both_ways() -> None:
    word = "x" * 3_000_000

    def ask(statements: Sequence[str]) -> list[Any]:
        with transaction.atomic(), together():
            return [send(statement, [word]) for statement in statements]

    asked = ask([f"SELECT {number}, %s::text" for number in range(6)])
    assert [sent.rows for sent in asked] == [[(number, word)] for number in range(6)]


def test_a_lost_connection_is_told_as_such_and_replaced() -> None:
    def die() -> None:
        send("SELECT pg_terminate_backend(pg_backend_pid())", [])

    with pytest.raises(OperationalError):
        die()
    connection.close()
    assert send(NAMES, ["one"]).rows == [("one",)]


def test_a_connection_that_was_cut_is_told_to_a_planned_statement() -> None:
    """In a thread that is not the first one, which waits for the answer in another way."""

    def ask() -> list[Any]:
        try:
            assert send(NAMES, ["one"]).rows == [("one",)]
            (pid,) = send("SELECT pg_backend_pid()", []).rows[0]
            killer.submit(send, "SELECT pg_terminate_backend(%s, 5000)", [pid]).result()
            with pytest.raises(OperationalError):
                send(NAMES, ["one"])
            connection.close()
            return send(NAMES, ["one"]).rows
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as asker, ThreadPoolExecutor(1) as killer:
        assert asker.submit(ask).result() == [("one",)]
        killer.submit(connections.close_all).result()


def test_a_planned_statement_that_is_refused_can_be_sent_again() -> None:
    def ask() -> list[Any]:
        try:
            assert send("SELECT 6 / %s::int", [2]).rows == [(3,)]
            with pytest.raises(DataError, match="division by zero"):
                send("SELECT 6 / %s::int", [0])
            return send("SELECT 6 / %s::int", [3]).rows
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as asker:
        assert asker.submit(ask).result() == [(2,)]


def test_a_planned_statement_carries_values_of_any_size_and_none() -> None:
    echo, words = "SELECT %s::text", ["x", "y" * 3_000_000, None]

    def ask() -> list[Any]:
        try:
            return [send(echo, [word]).rows[0][0] for word in words for _ in range(2)]
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as asker:
        assert asker.submit(ask).result() == [word for word in words for _ in range(2)]
