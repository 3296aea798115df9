"""The admin's page of queues and workers, beat's clocks, and who may see the queue of jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_rq
import pytest
import redis
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from apps.accounts.models import User
from apps.engine import doorbell, leases
from apps.engine.machinery import machinery
from apps.engine.models import Run
from tests.admin_pages import get_counted, superuser, world
from tests.world import World, run_add

__all__ = ["superuser", "world"]

PAGE = "/admin/engine/run/machinery/"
CLOCKS = "/admin/django_celery_beat/periodictask/"
pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client: Client, superuser: User) -> Client:
    client.force_login(superuser)
    return client


def held(world: World, owner: str, seconds: float) -> Run:
    run = run_add(world, status=Run.Status.RUNNING)
    until = timezone.now() + timedelta(seconds=seconds)
    Run.objects.filter(pk=run.pk).update(lease_owner=owner, lease_until=until)
    return run


def clock(name: str, **fields: Any) -> PeriodicTask:
    every, _ = IntervalSchedule.objects.get_or_create(every=60, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(name=name, task=name, interval=every, **fields)


def test_depth_of_the_queues_is_the_brokers_own(
    root: Client, django_capture_on_commit_callbacks: Any
) -> None:
    def depths() -> tuple[int, int]:
        found = machinery()
        rings = next(queue for queue in found["queues"] if queue["name"] == "rings")
        return rings["waiting"], found["jobs"][0]["waiting"]

    before, jobs = depths(), django_rq.get_queue("default")
    doorbell.ring_celery([1])
    with django_capture_on_commit_callbacks(execute=True):
        jobs.enqueue(len, "links", job_id="zqjob")
    assert depths() == (before[0] + 1, before[1] + 1)
    html = root.get("/queues/queues/0/").content.decode()
    assert "zqjob" in html, "its own pages work on the embedded broker"
    jobs.remove("zqjob")


def test_leases_timers_and_workers_are_told_from_the_runs(root: Client, world: World) -> None:
    held(world, leases.owner(), 30)
    held(world, "elsewhere/1234/567:99:1", -30)
    late = run_add(world, status=Run.Status.WAITING)
    Run.objects.filter(pk=late.pk).update(wake_at=timezone.now() - timedelta(minutes=5))
    found = machinery()
    assert (found["timers"]["running"], found["timers"]["lost"], found["timers"]["due"]) == (2, 1, 1)
    by_pid = {row["pid"]: row for row in found["workers"]}
    assert by_pid["99"]["is_dead"]
    assert not by_pid[leases.owner().split(":")[-2]]["is_dead"]
    html = root.get(PAGE).content.decode()
    assert "lease ran out" in html
    assert "minutes overdue" in html


def test_a_worker_that_answers_is_shown_with_its_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held(world, "here/1/2:4711:3", 30)
    stats = {"pid": 4711, "uptime": 60, "total": {"engine.sweep": 7}}
    monkeypatch.setattr(
        "apps.engine.machinery.stats_asked", lambda: [{"name": "celery@here", "took_ms": 3, **stats}]
    )
    (row,) = machinery()["workers"]
    assert (row["answered"], row["runs"], row["done"]) == (True, 1, 7)


def test_clocks_tell_when_they_rang_and_ring_again(root: Client) -> None:
    now = timezone.now()
    clock("engine-sweep", last_run_at=now - timedelta(seconds=20))
    clock("old", last_run_at=now - timedelta(hours=2))
    clock("off", enabled=False)
    rows = {row["row"].name: row for row in machinery()["clocks"]}
    assert timedelta(seconds=30) < rows["engine-sweep"]["next"] - now < timedelta(seconds=41)
    assert rows["off"]["next"] is None
    assert "switched off" in root.get(PAGE).content.decode()


def test_it_costs_the_same_with_many_rows(root: Client, world: World) -> None:
    before = get_counted(root, PAGE)[1]
    for number in range(30):
        held(world, f"host{number}/1/2:{number}:3", -5)
        clock(f"clock {number}")
    response, count = get_counted(root, PAGE)
    assert count == before
    assert len(response.content) < 60_000
    part = root.get(PAGE, headers={"x-part": "machinery"}).content.decode()
    assert "<html" not in part
    assert "Beat" in part


def test_without_a_broker_it_says_so(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://user:zqsecret@127.0.0.1:1/0")  # nobody listens there
    html = root.get(PAGE).content.decode()
    assert "at 127.0.0.1:1 does not answer" in html
    assert "zqsecret" not in html


def test_without_a_broker_the_pages_of_jobs_lead_there(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise redis.ConnectionError("Nobody listens there.")

    monkeypatch.setattr(redis.ConnectionPool, "get_connection", refuse)
    for address in ("/queues/", "/queues/queues/0/failed/"):
        told = root.get(address, follow=True)
        assert [where for where, _ in told.redirect_chain] == [PAGE], address
        assert "The broker does not answer" in told.content.decode()


def test_machines_and_jobs_of_all_tenants_are_not_for_all_staff(client: Client, world: World) -> None:
    staff = world.staff
    staff.user_permissions.remove(
        Permission.objects.get(codename="admin", content_type__app_label="django_rq")
    )
    client.force_login(staff)
    for address in (PAGE, "/queues/", "/queues/queues/0/failed/", "/queues/stats.json/"):
        assert client.get(address).status_code == 403, address
    assert client.get(CLOCKS).status_code == 403
    client.logout()
    assert client.get("/queues/").headers["Location"].startswith("/login/")


def test_the_platforms_own_clocks_and_those_in_use_stay(root: Client) -> None:
    own, other = clock("engine-sweep"), clock("mine")
    assert root.post(f"{CLOCKS}{own.pk}/delete/", {"post": "yes"}).status_code == 403
    asked = root.post(CLOCKS, {"action": "disable_tasks", "_selected_action": own.pk})
    assert "timers do not wake" in asked.content.decode()
    assert PeriodicTask.objects.get(pk=own.pk).enabled
    root.post(CLOCKS, {"action": "disable_tasks", "_selected_action": own.pk, "sure": "yes"})
    assert not PeriodicTask.objects.get(pk=own.pk).enabled
    every = f"/admin/django_celery_beat/intervalschedule/{own.interval_id}/delete/"
    assert root.post(every, {"post": "yes"}).status_code == 403, "its clocks would go with it"
    assert root.post(f"{CLOCKS}{other.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not PeriodicTask.objects.filter(pk=other.pk).exists()
