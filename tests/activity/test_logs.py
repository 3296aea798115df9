"""The log that people may read, and the activity feed."""

from __future__ import annotations

import csv
import io
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role
from apps.activity import logs
from apps.activity.models import LogEntry
from apps.core.logs import Subject, logs_about
from apps.events.models import Event
from tests.world import World, client_of, world_build

pytestmark = pytest.mark.django_db
KEY = "sk-proj-1abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def world() -> World:
    return world_build(rows=1)


def keep(level: int, message: str, *args: object, **extra: Any) -> None:
    """What a process's handler would write."""
    record = logging.getLogger("apps.agents.loop").makeRecord(
        "apps.agents.loop", level, __file__, 1, message, args, None, extra=extra
    )
    LogEntry.objects.create(**logs.entry_of(record))


def test_lines_are_told_to_those_whose_work_they_are_about(world: World) -> None:
    bead = world.beads[0]
    with logs_about(Subject(world.organization.pk, world.project.pk, bead.pk)):
        keep(logging.WARNING, "the key %s is bad", KEY, attempt=2)
    keep(logging.ERROR, "the disk is full")
    ann = client_of(world, Role.VIEWER)
    answer = ann.get("/api/v1/logs/recent").json()
    assert answer["count"] == 1
    line = answer["logs"][0]
    assert (line["level"], line["source"]) == ("warn", "agents.loop")
    assert KEY not in line["message"]
    assert line["metadata"] == {"attempt": 2, "project_id": world.project.pk, "bead_id": bead.pk}
    for query, count in (
        (f"bead_id={bead.key}", 1), ("bead_id=other", 0), ("level=error", 0), ("level=warn,error", 1),
        ("source=agents.loop", 1), ("source=x", 0), (f"project_id={world.project.pk}", 1), ("search=bad", 1),
        ("since=2099-01-01T00:00:00Z", 0),
    ):  # fmt: skip
        assert ann.get(f"/api/v1/logs/recent?{query}").json()["count"] == count, query
    assert ann.get("/api/v1/logs/recent?since=yesterday").status_code == 400


def test_the_log_is_exported_as_a_file(world: World) -> None:
    with logs_about(Subject(world.organization.pk)):
        keep(logging.INFO, "=HYPERLINK(1)")
    ann = client_of(world)
    answer = ann.get("/api/v1/logs/export?format=csv")
    assert answer["Content-Disposition"].startswith('attachment; filename="logs-20')
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert rows[0] == ["Timestamp", "Level", "Source", "Message", "Metadata"]
    assert rows[1][3] == "'=HYPERLINK(1)"
    assert ann.get("/api/v1/logs/export").json()["count"] == 1
    assert ann.get("/api/v1/logs/export?format=xml").status_code == 400


def test_old_lines_go(settings: Any) -> None:
    settings.LOOM_LOG_ROWS = 3
    for _ in range(5):
        keep(logging.INFO, "again")
    assert logs.log_trim() == 2
    LogEntry.objects.update(timestamp=timezone.now() - timedelta(days=settings.LOOM_LOG_DAYS + 1))
    assert logs.log_trim() == 3


@pytest.mark.django_db(transaction=True)
def test_a_process_keeps_its_own_lines_and_everybody_s_errors(settings: Any) -> None:
    settings.LOOM_LOG_KEPT = True
    keeper = next(one for one in logging.getLogger().handlers if isinstance(one, logs.LogKeeper))
    log, other = logging.getLogger("apps.test"), logging.getLogger("other")
    log.info("one")
    log.debug("too small")
    other.info("not ours")
    try:
        raise ValueError("broken")
    except ValueError:
        other.exception("two")
    keeper.flush()
    assert [(row.level, row.message.partition("\n")[0]) for row in LogEntry.objects.order_by("id")] == [
        ("info", "one"),
        ("error", "two"),
    ]
    assert "ValueError: broken" in LogEntry.objects.latest("id").message


@pytest.mark.django_db(transaction=True)
def test_a_line_that_cannot_be_kept_does_not_end_the_keeping(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.LOOM_LOG_KEPT = True
    keeper = next(one for one in logging.getLogger().handlers if isinstance(one, logs.LogKeeper))
    logging.getLogger("apps.test").info("odd", extra={"project_id": "seven"})
    keeper.flush()
    assert "1 lines of the log could not be kept" in capsys.readouterr().err
    logging.getLogger("apps.test").info("as ever")
    keeper.flush()
    assert list(LogEntry.objects.values_list("message", flat=True)) == ["as ever"]


def test_the_feed_tells_as_one_what_happened_together(world: World) -> None:
    Event.objects.all().delete()
    now = timezone.now().replace(minute=2, second=0)
    about = {"organization_id": world.organization.pk, "project_id": world.project.pk}
    for number, (kind, minutes) in enumerate([("bead.created", 0)] * 3 + [("bead.created", 4), ("run.x", 4)]):
        Event.objects.create(
            kind=kind, subject=f"bead:x-{number}", actor="ann", created_at=now + timedelta(minutes=minutes),
            data={"title": f"Links {number}", "bead_id": f"x-{number}"}, **about,
        )  # fmt: skip
    ann: Client = client_of(world, name="zoe")
    plain = ann.get("/api/v1/activity-feed?resource_type=bead").json()
    assert (plain["count"], plain["limit"], plain["offset"]) == (4, 100, 0)
    first = plain["activities"][0]
    assert (first["action"], first["resource_type"], first["resource_id"], first["resource_title"]) == (
        "created",
        "bead",
        "x-3",
        "Links 3",
    )
    together = ann.get("/api/v1/activity-feed?resource_type=bead&aggregated=true").json()["activities"]
    assert [(one["aggregation_count"], one["is_aggregated"]) for one in together] == [(1, False), (3, True)]
    assert together[1]["metadata"]["resources"] == ["x-2", "x-1", "x-0"]
    page = ann.get("/api/v1/activity-feed?resource_type=bead&aggregated=true&limit=1&offset=1").json()
    assert page["activities"] == together[1:]
    assert ann.get("/api/v1/activity-feed?event_type=run.*").json()["count"] == 0, "bookkeeping is not shown"
