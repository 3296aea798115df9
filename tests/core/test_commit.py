"""What happens after a commit: in order, each whatever became of the others, and only if there was one."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction

from apps.core.commit import after_commit

pytestmark = pytest.mark.django_db(transaction=True)


def fail(reason: str) -> None:
    raise OSError(reason)


def test_it_waits_for_the_outermost_commit() -> None:
    done: list[str] = []
    with transaction.atomic():
        with transaction.atomic():
            after_commit(done.append, "inner")
        after_commit(done.append, "outer")
        assert done == []
    assert done == ["inner", "outer"]


def test_it_happens_at_once_without_a_transaction() -> None:
    done: list[str] = []
    after_commit(done.append, "now")
    assert done == ["now"]


def test_it_never_happens_after_a_rollback() -> None:
    done: list[str] = []
    with transaction.atomic():
        after_commit(done.append, "never")
        transaction.set_rollback(True)
    assert done == []


def test_a_failure_is_logged_and_disturbs_neither_the_caller_nor_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    with caplog.at_level(logging.ERROR), transaction.atomic():
        after_commit(fail, "no broker")
        after_commit(done.append, "next")
    assert done == ["next"]
    assert "no broker" in caplog.text


def test_what_somebody_waits_for_happens_first() -> None:
    done: list[str] = []
    with transaction.atomic():
        after_commit(done.append, "told")
        after_commit(done.append, "rung", first=True)
        after_commit(done.append, "told too")
        after_commit(done.append, "rung too", first=True)
    after_commit(done.append, "now", first=True)
    assert done == ["rung", "rung too", "told", "told too", "now"]
