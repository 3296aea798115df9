"""Waiting for SQLite's write lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, transaction

from apps.accounts.models import Organization
from apps.core.sqlite3 import base

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one lock for all writers"),
]


@contextmanager
def somebody_writes(seconds: float) -> Iterator[None]:
    """Another thread holds the write lock for so long."""
    has_lock = threading.Event()

    def write() -> None:
        with transaction.atomic():
            has_lock.set()
            time.sleep(seconds)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    has_lock.wait()
    yield
    writer.join()


def test_a_transaction_waits_for_the_one_before_it() -> None:
    with somebody_writes(0.1), transaction.atomic():
        Organization.objects.create(name="Acme", slug="acme")

    assert Organization.objects.count() == 1


def test_so_does_a_statement_without_a_transaction_and_it_is_done_once() -> None:
    Organization.objects.create(name="Acme", slug="acme")

    with somebody_writes(0.1):
        assert Organization.objects.filter(slug="acme").update(name="Acme Inc.") == 1

    assert Organization.objects.values_list("name", flat=True).get() == "Acme Inc."


def test_who_waits_for_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PATIENCE_S", 0.02)

    with (
        somebody_writes(0.2),
        pytest.raises(OperationalError, match="locked"),
        transaction.atomic(),
    ):
        raise AssertionError("the lock is somebody else's")
