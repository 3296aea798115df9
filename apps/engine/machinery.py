"""What the machines are doing: queues, workers, leases, timers and clocks, read in a constant time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import django_rq
import redis
from celery import current_app
from django.conf import settings
from django.db.models import Count, Max, Min, Q
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from apps.core.broker import broker_url, is_external
from apps.engine.models import Run
from apps.events.models import Event

ANSWER_S = 0.6  # a worker that is at work answers in some milliseconds
SHOWN = 15  # rows of each table
PIDBOX = "celery.pidbox"
GONE = (redis.RedisError, OperationalError, OSError)
QUIET = timedelta(minutes=10)  # beat writes its times every three minutes


def machinery() -> dict[str, Any]:
    now = timezone.now()
    broker = broker_read()
    return {
        "now": now,
        "broker": broker,
        "queues": _or_empty(celery_queues) if broker["is_there"] else [],
        "jobs": _or_empty(rq_queues) if broker["is_there"] else [],
        "workers": workers(now, _or_empty(stats_asked) if broker["is_there"] else []),
        "leases": list(_running().order_by("lease_until")[:SHOWN]),
        "timers": timers(now),
        "clocks": clocks(now),
        "beat_at": (beat_at := PeriodicTask.objects.aggregate(at=Max("last_run_at"))["at"]),
        "beat_is_quiet": beat_at is None or now - beat_at > QUIET,
    }


def _or_empty(read: Callable[[], list[Any]]) -> list[Any]:
    try:
        return read()
    except GONE:  # the broker went between two questions
        return []


def broker_read() -> dict[str, Any]:
    """The broker without what its address may hold of secrets."""
    url = urlsplit(broker_url(Path(settings.LOOM_DATA_DIR)))
    place = f"{url.hostname}:{url.port or 6379}" if url.hostname else "a socket of this data directory"
    found: dict[str, Any] = {"is_there": False, "place": place, "is_embedded": not is_external()}
    try:
        with redis.Redis.from_url(
            broker_url(Path(settings.LOOM_DATA_DIR)), socket_timeout=1.0, socket_connect_timeout=1.0
        ) as client:
            info: Any = client.info()
    except GONE as error:
        return {**found, "error": type(error).__name__}
    return {
        **found,
        "is_there": True,
        "version": info.get("valkey_version") or info.get("redis_version"),
        "memory": info.get("used_memory_human"),
        "clients": info.get("connected_clients"),
    }


def celery_queues() -> list[dict[str, Any]]:
    """Depth of each queue: messages that wait, and those that a worker has taken and not finished."""
    with current_app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        taken = channel.client.hlen(channel.unacked_key)
        return [
            {"name": name, "waiting": channel._size(name), "taken": 0 if queue.no_ack else taken}
            for name, queue in current_app.amqp.queues.items()
        ]


def rq_queues() -> list[dict[str, Any]]:
    found = []
    for index, name in enumerate(sorted(settings.RQ_QUEUES)):
        queue = django_rq.get_queue(name)
        found.append(
            {
                "index": index,
                "name": name,
                "waiting": queue.count,
                "started": queue.started_job_registry.count,
                "failed": queue.failed_job_registry.count,
                "scheduled": queue.scheduled_job_registry.count,
                "finished": queue.finished_job_registry.count,
                "workers": queue.connection.scard(f"rq:workers:{name}"),
            }
        )
    return found


def stats_asked() -> list[dict[str, Any]]:
    """What every worker says of itself; waits only for as many as listen."""
    with current_app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        listening = len(channel.client.smembers(channel.keyprefix_queue % PIDBOX))
    if not listening:
        return []
    start = monotonic()
    told: Any = current_app.control.broadcast("stats", reply=True, timeout=ANSWER_S, limit=listening)
    took = round((monotonic() - start) * 1000)
    return [{"name": name, "took_ms": took, **stats} for one in told for name, stats in one.items()]


def _running() -> Any:
    return Run.objects.filter(status=Run.Status.RUNNING)


def workers(now: datetime, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that answered, and those that hold leases: a worker in the second list only is busy or dead."""
    held = {
        (row["lease_owner"].partition("/")[0].partition(":")[0], _pid(row["lease_owner"])): row
        for row in _running()
        .values("lease_owner")
        .annotate(runs=Count("pk"), until=Max("lease_until"))
        .order_by("lease_owner")[:SHOWN]
    }
    rows = []
    for one in told[:SHOWN]:
        host = one["name"].partition("@")[2]
        lease = held.pop((host, str(one.get("pid"))), None)
        rows.append(
            {
                "name": one["name"],
                "pid": one.get("pid"),
                "answered": True,
                "took_ms": one["took_ms"],
                "since": now - timedelta(seconds=one.get("uptime", 0)),
                "done": sum((one.get("total") or {}).values()),
                "runs": lease["runs"] if lease else 0,
                "until": lease["until"] if lease else None,
            }
        )
    for (host, pid), lease in held.items():
        is_late = lease["until"] is None or lease["until"] < now
        rows.append(
            {"name": host or "?", "pid": pid, "answered": False, "is_dead": is_late, **lease, "took_ms": None}
        )
    return rows


def _pid(owner: str) -> str:
    """The process in `place:pid:start`."""
    return owner.rsplit(":", 2)[-2] if owner.count(":") >= 2 else ""


def timers(now: datetime) -> dict[str, Any]:
    runs, waiting = Q(status=Run.Status.WAITING), Q(status=Run.Status.WAITING, wake_at__gt=now)
    due = runs & Q(wake_at__lte=now)
    counts = Run.objects.unfinished().aggregate(
        ready=Count("pk", filter=Q(status=Run.Status.READY)),
        ready_since=Min("updated_at", filter=Q(status=Run.Status.READY)),
        running=Count("pk", filter=Q(status=Run.Status.RUNNING)),
        lost=Count("pk", filter=Q(status=Run.Status.RUNNING, lease_until__lt=now)),
        due=Count("pk", filter=due),
        due_since=Min("wake_at", filter=due),
        asleep=Count("pk", filter=waiting),
        told=Count("pk", filter=runs & Q(wake_at=None)),
        paused=Count("pk", filter=Q(status=Run.Status.PAUSED)),
    )
    undelivered = Event.objects.filter(delivered_at=None).aggregate(
        count=Count("pk"), since=Min("created_at")
    )
    soonest = Run.objects.filter(status=Run.Status.WAITING, wake_at__isnull=False).order_by("wake_at")
    return {**counts, "undelivered": undelivered, "soonest": list(soonest[:SHOWN])}


def clocks(now: datetime) -> list[dict[str, Any]]:
    """Loom's own clocks, then the newest of those that motivations and schedules made."""
    rows = PeriodicTask.objects.select_related("interval", "crontab", "clocked", "solar")
    own = list(rows.filter(name__in=settings.CELERY_BEAT_SCHEDULE).order_by("name"))
    others = rows.exclude(name__in=[*settings.CELERY_BEAT_SCHEDULE, "celery.backend_cleanup"])
    return [_clock(row, now) for row in [*own, *others.order_by("-enabled", "-last_run_at", "-pk")[:SHOWN]]]


def _clock(row: PeriodicTask, now: datetime) -> dict[str, Any]:
    following = None
    if row.enabled and row.scheduler is not None:
        last = row.last_run_at or row.date_changed or now
        following = max(now, now + row.schedule.remaining_estimate(last))
    return {"row": row, "every": row.scheduler, "last": row.last_run_at, "next": following}
