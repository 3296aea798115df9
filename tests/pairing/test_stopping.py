"""An answer that ends before it is said: by the button, with the right to hear it, with who leaves."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pytest_django import Settings

from apps.accounts.models import Membership
from apps.activity import guard
from apps.agents.models import Session
from apps.engine.models import Run
from apps.pairing.models import Piece
from apps.pairing.services import exchange_end
from apps.providers.models import Call
from tests.pairing.conftest import LONG, SECONDS, Room, newest, pair, talking, until, words


def test_the_stop_button_ends_the_answer_at_once_and_settles_its_cost(room: Room, ann: httpx.Client) -> None:
    room.says = lambda messages: LONG
    room.studio.server.switches.chunk_delay = 0.2  # on a busy machine, too, it is stopped in the middle
    with talking(ann, "POST", "pair", json=room.body()) as events:
        session_id = next(events)[2]["session_id"]
        assert next(events)[0] == "chunk"
        assert ann.post("pair", json=room.body("Quick!")).status_code == 409
        stopped = ann.post(f"pair/{session_id}/stop").json()
        assert (stopped["status"], stopped["ended_at"] is not None) == ("stopped", True)
        rest = list(events)
    assert (rest[-1][0], rest[-1][2]["status"]) == ("done", "stopped")
    call = until(lambda: Call.objects.exclude(status="reserved").first(), "the settlement")
    assert call.cost_microusd > 0
    assert call.cost_microusd < call.reserved_microusd  # not the worst case
    until(lambda: Run.objects.get(pk=newest().run_id or 0).status == "canceled", "the end of the run")
    assert not Session.objects.get(pk=session_id).turn_count
    room.says = lambda messages: "Yes?"
    room.studio.server.switches.chunk_delay = 0
    assert words(pair(ann, room, "Still there?")) == "Yes?"
    said = [message["content"] for message in room.asked[-1] if message["role"] == "user"]
    assert said[1:] == ["Hi", "Still there?"]


@pytest.mark.parametrize("silence", ["hang", "stall"])
def test_the_stop_button_ends_a_call_whose_model_says_nothing(
    room: Room, ann: httpx.Client, silence: str
) -> None:
    room.says = lambda messages: LONG
    room.studio.server.fail_next(silence)
    with talking(ann, "POST", "pair", json=room.body()) as events:
        session_id = next(events)[2]["session_id"]
        until(lambda: room.studio.server.counters.failures, "the call")
        ann.post(f"pair/{session_id}/stop")
        assert list(events)[-1][2]["status"] == "stopped"
    until(lambda: Run.objects.get(pk=newest().run_id or 0).status == "canceled", "the end of the run")
    assert not Call.objects.filter(status="reserved").exists()
    assert words(pair(ann, room, "Still there?")) == LONG


def test_a_call_is_not_cut_before_its_run_knows_why(
    room: Room, ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[bool] = []

    def end(**given: Any) -> bool:
        known.append(Run.objects.get(pk=newest().run_id or 0).cancel_requested)
        return exchange_end(**given)

    monkeypatch.setattr("apps.pairing.services.exchange_end", end)
    room.says = lambda messages: LONG
    room.studio.server.fail_next("hang")
    with talking(ann, "POST", "pair", json=room.body()) as events:
        session_id = next(events)[2]["session_id"]
        until(lambda: room.studio.server.counters.failures, "the call")
        ann.post(f"pair/{session_id}/stop")
        assert list(events)[-1][2]["status"] == "stopped"
    assert known == [True]


def test_who_loses_access_hears_no_more_of_the_answer(
    room: Room, ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.1)
    room.says = lambda messages: LONG
    room.studio.server.switches.chunk_delay = 0.1
    with talking(ann, "POST", "pair", json=room.body()) as events:
        next(events)
        next(events)
        Membership.objects.filter(user__username="ann").delete()
        heard = list(events)
    assert "done" not in [kind for kind, _, _ in heard]
    until(lambda: newest().status in {"stopped", "failed"}, "the stop")


def test_who_leaves_stops_the_answer_unless_they_come_back(
    room: Room, ann: httpx.Client, settings: Settings
) -> None:
    settings.LOOM_PAIR_GRACE_SECONDS = SECONDS  # however long it takes to come back
    room.says = lambda messages: LONG
    room.studio.server.switches.chunk_delay = 0.02
    with talking(ann, "POST", "pair", json=room.body()) as events:
        session_id = next(events)[2]["session_id"]
        _, seen, _ = next(events)
    with talking(ann, "GET", f"pair/{session_id}/stream", headers={"Last-Event-ID": seen}) as events:
        assert next(events)[0] == "connected"
        again = list(events)
    assert int(again[0][1]) == int(seen) + 1  # goes on where it was cut
    assert again[-1][2]["status"] == "done"
    settings.LOOM_PAIR_GRACE_SECONDS = 0.2
    room.studio.server.switches.chunk_delay = 0.1
    with talking(ann, "POST", "pair", json=room.body()) as events:
        next(events)
        next(events)
    until(lambda: newest().status == "stopped", "the stop")
    whole = [piece.data["text"] for piece in Piece.objects.filter(kind="chunk").order_by("id")]
    assert len("".join(whole)) < len(LONG)
