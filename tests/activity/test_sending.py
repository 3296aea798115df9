"""Digests and a killed worker, end to end: a real worker of django-rq, a real mail server, a real hook."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.conf import settings as configured
from django.db import connection, transaction
from django.utils import timezone
from rq import SimpleWorker

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set
from apps.activity import delivery
from apps.activity.models import Delivery
from apps.activity.services import (
    delivery_retry,
    notification_mark,
    notifications_create,
    preferences_update,
)
from apps.events.bus import Fact, emit_all
from tests.world import World, world_build

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
WORKER = [
    "manage.py",
    "rqworker",
    "default",
    "--burst",
    "--skip-checks",
    "--worker-class",
    "rq.worker.SimpleWorker",
]


class Mail(socketserver.StreamRequestHandler):
    """As much of a mail server as a client needs. It kills the worker that brings the message for dan."""

    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        to = ""
        for line in iter(self.rfile.readline, b""):
            word = line.decode().upper()
            if word.startswith("RCPT"):
                to = line.decode().partition("<")[2].partition("@")[0]
            if word.startswith("DATA"):
                self._say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                self.server.came.append((to, text))
                if to == "dan" and self.server.worker is not None:
                    os.kill(self.server.worker.pid, signal.SIGKILL)
                    return
            self._say("221 bye" if word.startswith("QUIT") else "250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mail)
        self.came: list[tuple[str, str]] = []
        self.worker: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def told(self, who: str) -> list[str]:
        """The subjects of what came for somebody."""
        return [text.partition("Subject: ")[2].partition("\r\n")[0] for to, text in self.came if to == who]


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address[:2]
        settings.LOOM_EMAIL_URL = server.url
        yield server
        server.shutdown()


def worker_start(url: str) -> subprocess.Popen[bytes]:
    """Another process, on the database and the broker of the tests."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        database = f"sqlite:///{name}"
    else:
        database = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"
    environment = {**os.environ, "DATABASE_URL": database, "LOOM_EMAIL_URL": url}
    return subprocess.Popen(
        [sys.executable, *WORKER],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def person(world: World, name: str, **fields: Any) -> User:
    made = User.objects.create_user(username=name, email=f"{name}@example.org")
    membership_set(user=made, organization=world.organization, role=Role.USER)
    fields = {
        "enable_email": True,
        "time_zone": "Europe/Berlin",
        "subscribed_events": ["mention.*"],
        **fields,
    }
    preferences_update(user=made, fields=fields)
    return made


@pytest.mark.django_db(transaction=True)
def test_digests_come_once_and_nothing_twice_though_the_worker_is_killed(
    mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_build(rows=0)
    url = configured.LOOM_EMAIL_URL
    person(world, "ann", digest_mode="daily")
    person(world, "bob", digest_mode="hourly")
    cid, dan = person(world, "cid", digest_mode="daily"), person(world, "dan")
    queue = django_rq.get_queue("default")
    queue.connection.delete(queue.key)

    def mention(moment: str, *names: str) -> None:
        """Clocks of Berlin go back an hour on 2026-10-25 at 01:00 UTC."""
        with monkeypatch.context() as patch:
            patch.setattr(
                timezone, "now", lambda: datetime.fromisoformat(f"2026-10-{moment}").replace(tzinfo=UTC)
            )
            for name in names:
                fact = Fact(
                    "mention.created", world.organization.pk, world.project.pk, subject="bead:x-1",
                    data={"username": name, "bead_id": "x-1", "content": f"{name} at {moment}"},
                )  # fmt: skip
                with transaction.atomic():
                    (event,) = emit_all([fact])
                notifications_create(event=event)

    mention("20T10:00", "dan")
    mention("24T10:00", "ann", "ann", "cid")
    mention("25T00:30", "bob")
    mention("25T00:50", "bob")
    mention("25T01:10", "bob")
    mention("25T06:59", "ann")
    mention("25T07:30", "ann")
    assert list(Delivery.objects.order_by("due_at", "pk").values_list("user__username", "slot")[1:]) == [
        ("bob", "hourly:2026-10-25T01:00:00+00:00"),
        ("bob", "hourly:2026-10-25T02:00:00+00:00"),
        ("ann", "daily:2026-10-25T07:00:00+00:00"),
        ("cid", "daily:2026-10-25T07:00:00+00:00"),
        ("ann", "daily:2026-10-26T07:00:00+00:00"),
    ]
    for notification in cid.notifications.all():
        notification_mark(user=cid, notification_id=notification.pk, status="read")
    assert delivery.sweep() == 6

    mail_server.worker = worker_start(url)
    assert mail_server.worker.wait(SECONDS) == -signal.SIGKILL, "while it sent the first"
    assert [to for to, _ in mail_server.came] == ["dan"]
    mail_server.worker = None
    Delivery.objects.filter(status="sending").update(due_at=timezone.now())  # its lease has run out
    delivery.sweep()  # once more for those that are still in the queue
    SimpleWorker([queue], connection=queue.connection).work(burst=True)  # its successor

    assert mail_server.told("ann") == ["Loom: 3 notifications", "Loom: Somebody mentioned you in x-1"]
    assert mail_server.told("bob") == ["Loom: 2 notifications", "Loom: Somebody mentioned you in x-1"]
    assert mail_server.told("cid") == [], "all of it was read meanwhile"
    assert len(mail_server.told("dan")) == 1, "it may have arrived"
    assert dict(Delivery.objects.values_list("user__username", "status")) == {
        "ann": "sent", "bob": "sent", "cid": "canceled", "dan": "failed",
    }  # fmt: skip
    lost = Delivery.objects.get(user=dan)
    assert "it may have arrived" in lost.error
    delivery_retry(delivery=lost, actor="dan")
    assert delivery.deliver(lost.pk) == "sent"
    assert len(mail_server.told("dan")) == 2, "because dan wanted it"
    assert delivery.sweep() == 0
