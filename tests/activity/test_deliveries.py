"""What is sent of notifications: webhooks, e-mail, digests, and what becomes of failures."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.activity import delivery, outbound
from apps.activity.models import Delivery
from apps.activity.outbound import is_public
from apps.activity.services import notifications_create, preferences_update, webhook_secret_renew
from apps.events.models import Event
from tests.activity.readers import URL, ann, client, tell, world
from tests.world import World

__all__ = ["ann", "client", "world"]

pytestmark = pytest.mark.django_db


class Hook(BaseHTTPRequestHandler):
    heard: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    statuses: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((dict(self.headers), body))
        self.send_response(self.statuses.pop(0) if self.statuses else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook(settings: Any) -> Iterator[str]:
    settings.LOOM_WEBHOOK_PRIVATE = True
    Hook.heard.clear()
    Hook.statuses.clear()
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook?x=1"
        server.shutdown()


def test_a_webhook_is_signed_tried_again_and_logged(
    world: World, ann: User, client: Client, hook: str
) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    secret = webhook_secret_renew(user=ann)
    assert secret not in json.dumps(client.get(f"{URL}/preferences").json())
    notifications_create(event=tell(world, "bead.blocked", bead_id="x-1", title="Links"))
    planned = Delivery.objects.get(user=ann)
    Hook.statuses[:] = [500]
    assert "will be tried again" in delivery.deliver(planned.pk)
    planned.refresh_from_db()
    assert (planned.status, planned.attempts, planned.response_status) == ("pending", 1, 500)
    assert delivery.deliver(planned.pk) == "nothing to do", "not before its time"
    Delivery.objects.filter(pk=planned.pk).update(due_at=timezone.now())
    assert delivery.deliver(planned.pk) == "sent"
    headers, body = Hook.heard[-1]
    seconds, digest = headers["X-Loom-Signature"].removeprefix("t=").split(",v1=")
    assert digest == hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    assert json.loads(body)["notifications"][0]["message"] == "Links"
    logged = client.get(f"{URL}/deliveries").json()[0]
    assert (logged["status"], logged["attempts"], logged["target"]) == ("sent", 2, "127.0.0.1")


def test_a_webhook_that_is_refused_for_good_is_given_up(world: World, ann: User, hook: str) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    Hook.statuses[:] = [410]
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    assert delivery.deliver(Delivery.objects.get().pk).startswith("failed")
    assert Event.objects.filter(kind="delivery.failed", organization_id=None).exists()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(world: World, ann: User, hook: str, status: int) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    Hook.statuses[:] = [status]
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    assert "redirects are not followed" in delivery.deliver(Delivery.objects.get().pk)
    assert len(Hook.heard) == 1


def test_a_name_is_looked_up_once_and_all_its_addresses_are_checked(
    world: World, ann: User, hook: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere after the check (rebinding) is of no use."""
    port, real, asked = urlsplit(hook).port, socket.getaddrinfo, list[str]()
    answers = [["127.0.0.1"], ["10.255.255.1"], ["93.184.216.34", "127.0.0.1"]]

    def look_up(host: str, *args: Any, **more: Any) -> Any:
        if host != "rebind.example":
            return real(host, *args, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answers[len(asked) - 1]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    fields = {"webhook_url": f"http://rebind.example:{port}/hook", "enable_webhook": True}
    preferences_update(user=ann, fields=fields)
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    planned = Delivery.objects.get()
    assert delivery.deliver(planned.pk) == "sent"
    assert (len(asked), Hook.heard[-1][0]["Host"]) == (1, f"rebind.example:{port}")
    settings.LOOM_WEBHOOK_PRIVATE = False
    for _ in range(2):
        Delivery.objects.update(status="pending", due_at=timezone.now())
        assert "private network" in delivery.deliver(planned.pk)
    assert len(Hook.heard) == 1


def test_an_answer_that_drips_is_cut_off(
    world: World, ann: User, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(self: Hook) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                threading.Event().wait(0.05)

    monkeypatch.setattr(Hook, "do_POST", drip)
    monkeypatch.setattr(outbound, "SECONDS", 0.3)
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    assert "no answer within 0.3 s" in delivery.deliver(Delivery.objects.get().pk)


def test_webhooks_reach_no_private_address(world: World, ann: User, hook: str, settings: Any) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    settings.LOOM_WEBHOOK_PRIVATE = False
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    assert "private network" in delivery.deliver(Delivery.objects.get().pk)
    assert Hook.heard == []
    private = (
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "0.0.0.0",
        "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1", "192.0.0.8",
        "64:ff9b::7f00:1", "100.64.0.1", "224.0.0.1", "fd00::1",
    )  # fmt: skip
    assert not any(is_public(address) for address in private)
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")


def test_a_digest_is_one_e_mail(world: World, ann: User, settings: Any) -> None:
    settings.LOOM_EMAIL_URL = "smtp://mail"
    preferences_update(user=ann, fields={"enable_email": True, "digest_mode": "hourly"})
    for number in range(3):
        notifications_create(event=tell(world, "bead.blocked", bead_id=f"x-{number}", title="Links"))
    planned = Delivery.objects.get()
    assert planned.due_at > timezone.now()
    Delivery.objects.update(due_at=timezone.now())
    assert delivery.deliver(planned.pk) == "sent"
    assert (mail.outbox[0].to, mail.outbox[0].subject) == (["ann@example.org"], "Loom: 3 notifications")
    assert "x-2 cannot go on" in mail.outbox[0].body


def test_a_test_message_is_planned_through_the_api(ann: User, client: Client, hook: str) -> None:
    def send() -> Any:
        return client.post(f"{URL}/test", {"channel": "webhook"}, content_type="application/json")

    assert send().status_code == 400, "no address yet"
    preferences_update(user=ann, fields={"webhook_url": hook})
    answer = send()
    assert answer.status_code == 202, answer.content
    assert delivery.deliver(answer.json()["id"]) == "sent"
    assert json.loads(Hook.heard[-1][1])["type"] == "test"


def test_what_a_dead_job_left_is_sent_by_another(world: World, ann: User, hook: str) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    planned = delivery._claim(Delivery.objects.get().pk)
    assert planned is not None
    assert delivery.deliver(planned.pk) == "nothing to do"
    Delivery.objects.update(due_at=timezone.now())
    assert delivery.sweep() == 1
    assert delivery.deliver(planned.pk) == "sent"
    delivery.delivery_sent(delivery=planned, status=204)
    assert Delivery.objects.get().attempts == 2


def test_what_failed_is_sent_again_by_its_reader_alone(
    world: World, ann: User, client: Client, hook: str
) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    Hook.statuses[:] = [410]
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    planned = Delivery.objects.get()
    address = f"{URL}/deliveries/{planned.pk}"
    assert client.post(f"{address}/retry").status_code == 409, "it has not failed yet"
    delivery.deliver(planned.pk)
    assert client.get(address).json()["error"].endswith("answered 410.")
    stranger = Client()
    stranger.force_login(world.staff)
    assert stranger.get(address).status_code == stranger.post(f"{address}/retry").status_code == 404
    answer = client.post(f"{address}/retry")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert delivery.deliver(planned.pk) == "sent"
    answer = client.post(f"{address}/retry")
    assert (answer.status_code, answer.json()["error"]) == (409, f"Delivery {planned.pk} is sent.")


def test_a_way_that_was_turned_off_is_used_no_more(world: World, ann: User, hook: str) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    preferences_update(user=ann, fields={"enable_webhook": False})
    assert "wants no webhook any more" in delivery.deliver(Delivery.objects.get().pk)
    assert (Delivery.objects.get().status, Hook.heard) == ("canceled", [])


def test_a_job_that_never_ends_is_not_begun_for_ever(world: World, ann: User, hook: str) -> None:
    preferences_update(user=ann, fields={"webhook_url": hook, "enable_webhook": True})
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    planned = Delivery.objects.get()
    for _ in range(delivery.MAX_ATTEMPTS):
        assert delivery._claim(planned.pk) is not None
        Delivery.objects.update(due_at=timezone.now())
    assert "8 processes ended" in delivery.deliver(planned.pk)


def test_what_comes_after_a_digest_was_taken_is_not_lost(world: World, ann: User, hook: str) -> None:
    fields = {"webhook_url": hook, "enable_webhook": True, "digest_mode": "hourly"}
    preferences_update(user=ann, fields=fields)
    notifications_create(event=tell(world, "bead.blocked", title="First"))
    Delivery.objects.update(status="sent")
    notifications_create(event=tell(world, "bead.blocked", title="Late"))
    late = Delivery.objects.get(status="pending")
    assert [row.message for row in late.notifications.all()] == ["Late"]
