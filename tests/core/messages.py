"""Counting the messages that go to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.core import together


@contextmanager
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The list gets the number of statements in each message that is sent in the block."""
    sizes: list[int] = []
    exchange = together._pgwire().exchange

    def counted(wire: Any, statements: Any, *, commits: bool = False) -> Any:
        sizes.append(len(statements))
        return exchange(wire, statements, commits=commits)

    with monkeypatch.context() as patch:
        patch.setattr(together._pgwire(), "exchange", counted)
        yield sizes
