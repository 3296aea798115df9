"""What every test shares: a real broker for the whole run, in the run's own data directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from apps.core.broker import BrokerKeeper


@pytest.fixture(scope="session", autouse=True)
def broker() -> Iterator[BrokerKeeper]:
    keeper = BrokerKeeper(Path(settings.LOOM_DATA_DIR))
    keeper.ensure()
    yield keeper
    keeper.stop()


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """Empty tables by DELETE: PostgreSQL takes more than a second to truncate all of ours."""
    if connection.vendor == "postgresql":
        quote = connection.ops.quote_name
        connection.ops.sql_flush = lambda style, tables, **_: [  # type: ignore[method-assign]
            f"DELETE FROM {quote(table)}" for table in tables
        ]
