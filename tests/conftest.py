"""What every test shares: a real broker for the whole run, in the run's own data directory."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management.commands import flush
from django.db import connection

from apps.core import watching
from apps.core.broker import BrokerKeeper
from tests.templates import disconnect, sqlite_copy, template_drop, template_name

MAX_PROCESSES = 6  # Redis has 16 databases, and each process takes two


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: many tests wait for processes that they started."""
    return min(2 * len(os.sched_getaffinity(0)), MAX_PROCESSES)


def pytest_configure() -> None:
    # A run in the background or under nohup ignores them: what tests start hears them all the same.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    watching._marks.pages_at = float("inf")  # that a test opened a page has nothing to do with the next test


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage neither while all is imported, nor ever again in what was."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    url = os.environ.get("DATABASE_URL", "")
    if url.startswith("postgres") and not hasattr(config, "workerinput"):
        template_drop(url)


# Folders where what asks for no database uses none, or always has one of its own.
WITHOUT_DATABASE = {"agents", "browser", "docs", "scripts"}


def depends_on_database(item: pytest.Item) -> bool:
    asks = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    is_asked = bool(asks) or item.get_closest_marker("django_db") is not None
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    is_same = not is_asked and folder in WITHOUT_DATABASE
    return not is_same and item.get_closest_marker("once") is None


def uses_wall_clock(item: pytest.Item) -> bool:
    """Whether a browser or processes of its own take part, each of which a busy machine may keep waiting."""
    return item.path.parent.name == "browser" or item.get_closest_marker("slow") is not None


def slow_parts(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    """What goes to one process each: a slow test, or those of a module that share what takes long to make."""
    parts: dict[object, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            parts.setdefault(item.path if item.get_closest_marker("together") else item, []).append(item)
    return list(parts.values())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal the slow tests out to half of the processes, which begin with them.

    They mostly wait, for processes that they started: meanwhile the other half keeps the processors at work,
    and none ends long after the others.

    LOOM_TEST_AGAIN says that all tests ran on another database just before: those to which it makes no
    difference are left out. On a CI machine one that uses the wall clock has a second try, which the summary
    shows as a rerun.
    """
    if os.environ.get("LOOM_TEST_AGAIN"):
        same = [item for item in items if not depends_on_database(item)]
        config.hook.pytest_deselected(items=same)
        items[:] = [item for item in items if depends_on_database(item)]
    if os.environ.get("CI"):
        for item in filter(uses_wall_clock, items):
            item.add_marker(pytest.mark.flaky(reruns=1))
    if not hasattr(config, "workerinput"):
        return
    count = config.workerinput["workercount"]
    half = (count + 1) // 2
    slow = slow_parts(items)
    quick = [item for item in items if not item.get_closest_marker("slow")]
    left = len(items)
    items.clear()
    for number in range(count):
        share = left // (count - number)  # as --dist worksteal cuts them
        own = [item for part in slow[number::half] for item in part] if number < half else []
        rest = max(0, share - len(own))
        items += own + quick[:rest]
        del quick[:rest]
        left -= len(own) + rest


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """A file of SQLite goes with the data directory."""
    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Copy the tables instead of migrating anew; the suffix gives each process a database of its own."""
    test = connection.settings_dict["TEST"]
    if connection.vendor == "sqlite":
        sqlite_copy(Path(test["NAME"]))
    else:
        test["TEMPLATE"] = template_name(os.environ["DATABASE_URL"])


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """A database of PostgreSQL cannot be dropped while a thread of a pool has a connection to it."""
    yield
    if connection.vendor == "postgresql":
        disconnect(os.environ["DATABASE_URL"], str(connection.settings_dict["NAME"]))


@pytest.fixture(scope="session", autouse=True)
def broker() -> Iterator[BrokerKeeper]:
    keeper = BrokerKeeper(Path(settings.LOOM_DATA_DIR))
    keeper.ensure()
    yield keeper
    keeper.stop()


KEPT = {"django_content_type", "auth_permission"}  # the same for ever, and slow to make


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empty tables by DELETE, and leave what Django writes after a migration where it is.

    PostgreSQL takes more than a second to truncate all of our tables, and Django longer than most tests to
    write its permissions anew.
    """

    def deletions(ops: Any, style: object, tables: Iterable[str], **_: object) -> list[str]:
        quote = ops.quote_name
        return [f"DELETE FROM {quote(table)}" for table in tables if table not in KEPT]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(connection.ops), "sql_flush", deletions)  # of every connection, also of later ones
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: None)
        yield
