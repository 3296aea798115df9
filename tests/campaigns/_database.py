"""Tables and a broker for a campaign that is not run by pytest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from apps.core.broker import BrokerKeeper


@contextmanager
def installation() -> Iterator[None]:
    """Those of the tests, or new ones in this run's own data directory."""
    if "agents_session" in connection.introspection.table_names():
        yield
        return
    place = Path(settings.LOOM_DATA_DIR)
    if not place.name.startswith("loom-tests-"):
        raise RuntimeError("A campaign writes only into a data directory of its own.")
    keeper = BrokerKeeper(place)
    keeper.ensure()
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        keeper.stop()
