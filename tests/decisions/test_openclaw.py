"""Answers from a chat: whose signature counts, what words mean, and what comes of them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role
from apps.decisions.models import Decision
from apps.decisions.openclaw import choice_meant
from apps.decisions.services import decision_request
from apps.events.models import Event
from tests.silence import nobody_reacts
from tests.world import World, client_of, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.usefixtures("nobody_reacts"), pytest.mark.django_db]
YES_NO = [{"key": "approve"}, {"key": "deny"}, {"key": "needs_more_info"}]


@pytest.fixture
def world() -> World:
    return world_build("acme", rows=0)


@pytest.fixture
def secret(world: World) -> str:
    return made(world)


def made(world: World) -> str:
    boss = client_of(world, Role.ADMIN, f"boss-{world.project.slug}")
    answer = boss.post(f"/api/v1/projects/{world.project.pk}/openclaw-secret")
    assert (answer.status_code, answer.json()["path"]) == (201, "/api/v1/webhooks/openclaw"), answer.content
    return str(answer.json()["secret"])


def question(world: World, **fields: Any) -> Decision:
    given: dict[str, Any] = {"question": "Ship it?", "options": YES_NO, **fields}
    return decision_request(project=world.project, **given)


def say(secret: str, key: str, text: str, *, prefix: str = "sha256=", **more: Any) -> Any:
    body = {"session_key": key, "text": text, "sender": "bob", "channel": "signal", **more}
    raw = json.dumps(body).encode()
    signed = prefix + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"X-OpenClaw-Signature": signed}
    return Client().generic("POST", "/api/v1/webhooks/openclaw", raw, "application/json", headers=headers)


def test_a_signed_message_answers_a_decision_once(world: World, secret: str) -> None:
    decision = question(world, priority=0)  # only a person may
    key = f"loom:decision:{decision.pk}"
    told = say(secret, key, " LGTM! ")
    assert told.json() == {"status": "resolved", "decision_id": str(decision.pk), "decision": "approve"}
    decision.refresh_from_db()
    assert (decision.status, decision.decider, decision.decided_by) == ("decided", "openclaw:bob", "person")
    assert decision.rationale == "Said on signal: LGTM!"
    assert (
        say(secret, key, "yes", prefix="").json()["status"] == "resolved"
    )  # sent again: its answer was lost
    late = say(secret, key, "no").json()
    assert (late["status"], late["decision_id"]) == ("error", str(decision.pk))
    assert "openclaw:bob decided “approve”" in late["error"]
    assert Event.objects.filter(kind="decision.resolved").count() == 1
    (reply,) = Event.objects.filter(kind="openclaw.reply_processed")
    assert (reply.data["decision"], reply.data["channel"], reply.project_id) == (
        "approve",
        "signal",
        world.project.pk,
    )


def test_a_text_that_is_no_option_decides_nothing_and_says_what_there_is(world: World, secret: str) -> None:
    decision = question(world)
    told = say(secret, f"loom:decision:{decision.pk}", "perhaps").json()
    assert (told["status"], "approve, deny, needs_more_info" in told["error"]) == ("error", True)
    decision.refresh_from_db()
    assert decision.status == "open"
    voted = question(world, voters=["ann", "ben"])
    assert "Vote instead" in say(secret, f"loom:decision:{voted.pk}", "yes").json()["error"]


def test_only_the_secret_of_the_decisions_own_project_counts(world: World, secret: str) -> None:
    other = world_build("other", rows=0)
    theirs = question(other)
    for wrong in (secret, "guessed", ""):  # their project has no secret, then another one
        assert say(wrong, f"loom:decision:{theirs.pk}", "yes").status_code == 401
    made(other)
    for key in (
        f"loom:decision:{theirs.pk}",
        "loom:decision:999999",
        "chat:7",
        f"loom:project:{other.project.pk}",
    ):
        refused = say(secret, key, "yes")
        assert (refused.status_code, refused.json()["code"]) == (401, "authentication_failed"), key
    theirs.refresh_from_db()
    assert theirs.status == "open"
    renewed = client_of(world, Role.ADMIN, "new").post(f"/api/v1/projects/{world.project.pk}/openclaw-secret")
    mine = f"loom:decision:{question(world).pk}"
    assert say(secret, mine, "yes").status_code == 401
    assert say(renewed.json()["secret"], mine, "yes").status_code == 200


def test_other_messages_are_told_and_the_secret_can_be_taken_away(world: World, secret: str) -> None:
    key = f"loom:project:{world.project.pk}"
    told = say(secret, key, "Good morning", message_id="m1")
    assert told.json() == {"status": "received", "session_key": key, "processed": False}
    event = Event.objects.get(kind="openclaw.message_received")
    assert (event.data["text"], event.data["message_id"], event.actor) == (
        "Good morning",
        "m1",
        "openclaw:bob",
    )
    ann = client_of(world, Role.USER, "ann")
    told = ann.get("/api/v1/openclaw/status").json()
    assert told == {"enabled": True, "escalations_only": False, "projects": [str(world.project.pk)]}
    address = f"/api/v1/projects/{world.project.pk}/openclaw-secret"
    assert ann.delete(address).status_code == 403
    boss = client_of(world, Role.ADMIN, "boss")
    assert [boss.delete(address).status_code for _ in range(2)] == [204, 204]
    assert say(secret, key, "Hello?").status_code == 404
    assert ann.get("/api/v1/openclaw/status").json()["enabled"] is False


DEEP = b'{"text": ' + b"[" * 900 + b'"\\u0000"' + b"]" * 900 + b"}"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b'{"text": ""}', b'{"text": 5, "session_key": []}', DEEP], ids=range(6)
)
def test_what_is_no_message_is_refused(secret: str, raw: bytes) -> None:
    answer = Client().generic("POST", "/api/v1/webhooks/openclaw", raw, "application/json")
    assert answer.status_code == 400, answer.content


@pytest.mark.parametrize(
    ("keys", "text", "meant"),
    [
        (["approve", "reject"], "no", "reject"),
        (["merged", "change", "reject"], "yes", "yes"),  # it could mean either: nothing is guessed
        (["Yes", "No"], " yes ", "Yes"),
        (["go on"], "Go  on", "go on"),
        (["approve", "accept"], "lgtm", "lgtm"),
        (["approve", "needs_more_info"], "Need  more info", "needs_more_info"),
        ([], "Approve", "approved"),
        ([], "rejected", "denied"),
        ([], "Use the blue one.", "Use the blue one."),
    ],
)
def test_words_mean_options(keys: list[str], text: str, meant: str) -> None:
    assert choice_meant(keys, text) == meant
