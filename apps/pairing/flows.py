"""The flows that answer people: ask the model, act as far as the person may, until it only speaks."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.authentication import person_renew
from apps.accounts.models import User
from apps.accounts.permissions import permission_holds
from apps.agents.asking import command_await
from apps.agents.first_commit import main_commit
from apps.agents.hub import Hub
from apps.agents.loop import ACT_RETRY, act, model_request, session_tell
from apps.agents.models import Session, Turn
from apps.agents.orchestration import results_await
from apps.agents.places import hub_path
from apps.agents.replies import Reading, read_reply, valid_history
from apps.agents.seat import Seat, forget, seat_of
from apps.agents.secrets import reply_masked, secrets_learn
from apps.agents.services import turn_add
from apps.beads.models import Bead
from apps.core.errors import BudgetExceeded, Forbidden, NotFound
from apps.core.tenancy import Access
from apps.engine.errors import Canceled, StepFailed
from apps.engine.flow import Handle, Retry, call, current, flow, joins, sleep, step
from apps.engine.models import Run
from apps.pairing.models import Exchange, Piece
from apps.pairing.pieces import Stopped, Teller, piece_add
from apps.pairing.services import CHAT_FLOW, PAIR_FLOW, exchange_end
from apps.pairing.watch import stoppable
from apps.pairing.words import actions_of, opening_of
from apps.providers import gateway
from apps.providers.errors import ContextTooLong, ToolsUnsupported
from apps.providers.gateway import Payer, takes_tools
from apps.providers.scissors import Scissors

MAX_TURNS = 30  # replies to one message
POLL_S = 0.3
SHOWN = 2_000  # characters of one result that the person is shown
FINAL = (BudgetExceeded, Stopped, Forbidden)
MODEL_RETRY = Retry(attempts=3, delay=1.0, factor=2.0, max_delay=8.0, never=FINAL)


@flow(PAIR_FLOW)
def pair(exchange_id: int, after: int | None = None) -> dict[str, Any]:
    """Answer a message in a conversation, acting on the way."""
    return _answered(exchange_id, lambda: _talk(exchange_id, after))


@flow(CHAT_FLOW)
def chat(exchange_id: int) -> dict[str, Any]:
    """Answer messages that belong to no conversation."""
    return _answered(exchange_id, lambda: call(chat_query, retry=MODEL_RETRY, exchange_id=exchange_id))


def _answered(exchange_id: int, answer: Any) -> dict[str, Any]:
    try:
        said = answer()
    except StepFailed as failed:
        failure = failed.failure
        error = f"{failure.message} {failure.hint}".strip()
        step(end, exchange_id=exchange_id, status="failed", error=error, code=failure.code)
        return {"status": "failed", "error": error}
    except Canceled:
        step(end, exchange_id=exchange_id, status="stopped")
        raise
    if not said.get("stopped"):
        step(end, exchange_id=exchange_id, status="done", answer=said["text"], model=said["model"])
    return {"status": "done"}


def end(*, exchange_id: int, **ending: Any) -> None:
    exchange_end(exchange_id=exchange_id, **ending)


def _talk(exchange_id: int, after: int | None) -> dict[str, Any]:
    while after is not None and step(goes_on, run_id=after):
        sleep(POLL_S)  # what was stopped may still be at its last action
    session_id = call(prepare, exchange_id=exchange_id)["session"]
    said: dict[str, Any] = {"text": "", "model": ""}
    for _ in range(MAX_TURNS):
        said = call(pair_query, retry=MODEL_RETRY, exchange_id=exchange_id, session_id=session_id)
        if said.get("stopped") or not said["acts"]:
            return said
        acted = call(act, retry=ACT_RETRY, session_id=session_id, number=said["turn"])
        step(actions_tell, exchange_id=exchange_id, session_id=session_id, number=said["turn"])
        if awaits := acted.get("awaits"):
            results_await(session_id, awaits, session_tell)
        if asked_for := acted.get("asks"):
            command_await(session_id, turn=said["turn"], **asked_for)
    return {**said, "text": said["text"] or f"(stopped after {MAX_TURNS} replies)"}


def goes_on(*, run_id: int) -> bool:
    return Run.objects.unfinished().filter(pk=run_id).exists()


# -- the conversation's ground ----------------------------------------------------------------------


def prepare(handle: Handle, exchange_id: int) -> dict[str, Any]:
    """A new conversation gets its first words, and the files it begins with: those of work under way."""
    rows = Exchange.objects.select_related("session__agent__persona", "session__project")
    session = rows.get(pk=exchange_id).session
    if session is None:
        raise NotFound("The conversation was deleted.")
    if len(session.opening) > 1 and session.opening[0]["role"] == "system":
        return {"session": session.pk}
    project = session.project
    hub = Hub(hub_path(session.project_id))
    main = main_commit(project)
    bead = Bead.objects.get(pk=session.bead_id or 0)
    ground = _ground(bead)
    base = session.base_commit or (ground.base_commit if ground else main)
    masked = secrets_learn(session.project_id, base)
    first = masked.value(opening_of(session.agent, project, bead, hub, base))
    payer = Payer(project.organization_id, project.pk, purpose=session.kind, role=session.agent.role)
    with transaction.atomic():
        row = Session.objects.select_for_update(no_key=True).get(pk=session.pk)
        Session.objects.filter(pk=session.pk).update(
            opening=[*first, *row.opening],
            base_commit=base,
            head_commit=row.head_commit or (ground.head_commit if ground else ""),
            native_tools=takes_tools(payer),
        )
    return {"session": session.pk}


def _ground(bead: Bead) -> Session | None:
    """The newest work on a bead that is not merged."""
    if bead.status == Bead.Status.CLOSED:
        return None
    work = bead.sessions.filter(kind=Session.Kind.WORK).exclude(reason="merged").exclude(head_commit="")
    return work.order_by("-id").first()


# -- asking the model --------------------------------------------------------------------------------


@joins
def pair_query(handle: Handle, exchange_id: int, session_id: int) -> dict[str, Any]:
    """One reply, streamed as it comes, paid and kept as a turn; `acts` if it asks for actions."""
    exchange = Exchange.objects.select_related("person").get(pk=exchange_id)
    if exchange.status != Exchange.Status.ANSWERING:
        return _finished(handle, {"stopped": True})
    if (turn := _unacted(session_id)) is not None:
        return _finished(handle, {"turn": turn.number, "acts": True, "text": turn.notes, "model": turn.model})
    _renew(exchange, session_id)
    for variant in range(4):
        try:
            return _ask(handle, exchange, session_id, variant)
        except ToolsUnsupported:
            if not Session.objects.filter(pk=session_id, native_tools=True).update(native_tools=False):
                raise
        except ContextTooLong:
            session = Session.objects.get(pk=session_id)
            if session.compacted_to >= session.turn_count - 1:
                raise
            last = max(session.compacted_to + 1, session.turn_count - 2)
            Session.objects.filter(pk=session_id).update(compacted_to=last)
        forget(session_id)
    raise ContextTooLong("The conversation does not fit the model, even shortened.")


def _finished(handle: Handle, output: dict[str, Any]) -> dict[str, Any]:
    with transaction.atomic():
        handle.finish(output)
    return output


def _unacted(session_id: int) -> Turn | None:
    """A reply that a worker died with before it was acted on."""
    last = Turn.objects.filter(session_id=session_id).order_by("-number").first()
    return last if last is not None and last.results is None else None


def _renew(exchange: Exchange, session_id: int) -> None:
    """Ask again what the person may do: an agent never may more."""
    person = person_of(exchange)
    session = Session.objects.select_related("project").get(pk=session_id)
    place = (session.project.organization_id, session.project_id)
    if person is None or not permission_holds(person, "conversations:write", *place):
        raise Forbidden("You may not talk with agents of this project any more.")
    actions = actions_of(person, session.project)
    if actions != session.actions:
        Session.objects.filter(pk=session_id).update(actions=actions)
        forget(session_id)


def person_of(exchange: Exchange) -> User | None:
    """Who asked, as far as their credential reaches now; None if that has ended."""
    person = exchange.person
    if person is None:
        return None
    kept = dict(exchange.access)
    scopes = kept.pop("scopes", None)
    person.access = Access(**kept, scopes=frozenset(scopes) if scopes is not None else None)
    return person_renew(person)


def _ask(handle: Handle, exchange: Exchange, session_id: int, variant: int) -> dict[str, Any]:
    seat = seat_of(session_id)
    output: dict[str, Any] = {}
    kept: list[Turn] = []
    teller = Teller(exchange)
    masked = secrets_learn(seat.session.project_id, seat.session.base_commit)

    def settle(reply: gateway.Reply) -> None:
        refuse_stopped(exchange.pk)
        turn, reading = _turn_of(seat, reply_masked(reply, masked))
        turn_add(session=seat.session, turn=turn, organization_id=seat.organization_id, doing="")
        acts = bool(reading.actions)
        text = _spoken(turn, reading)
        output.update({"turn": turn.number, "acts": acts, "text": text, "model": turn.model})
        handle.finish(output)
        kept[:] = [turn]

    request = model_request(
        seat, key=f"{handle.key}#{handle.attempt}.{variant}", person_id=exchange.person_id
    )
    _complete(handle, teller, request, settle, seat)
    seat.session.turn_count = kept[0].number
    seat.talk.add_reply(kept[0])
    return output


def _complete(
    handle: Handle, teller: Teller, request: gateway.Request, settle: Any, seat: Seat | None
) -> None:
    """Call the model and tell its text. What is in the JSON protocol is told once it is read."""
    streams = seat is None or seat.talk.native
    teller.begins_anew = handle.attempt > 1 and streams

    def begin(_: object) -> None:
        handle.begin()
        teller.again()

    said: list[gateway.Reply] = []

    def book(reply: gateway.Reply) -> None:
        settle(reply)
        said[:] = [reply]

    with stoppable(teller.exchange_id, Scissors(teller.stopped)):
        gateway.complete(request, in_reserve=begin, in_settle=book, on_delta=teller if streams else None)
    if not streams and seat is not None:
        reading = read_reply(said[0].text, said[0].tool_calls)
        teller(reading.notes if reading.actions else said[0].text)
    with suppress(Stopped):  # right at its end: the reply is kept
        teller.flush(whole=True)


def refuse_stopped(exchange_id: int) -> None:
    """Inside the transaction that keeps a reply: nothing is kept of an answer that was stopped."""
    rows = Exchange.objects.select_for_update(no_key=True).filter(pk=exchange_id)
    if rows.values_list("status", flat=True).first() != Exchange.Status.ANSWERING:
        raise Stopped("The answer was stopped.")


def _turn_of(seat: Seat, reply: gateway.Reply) -> tuple[Turn, Reading]:
    reading = read_reply(reply.text, reply.tool_calls)
    acts = bool(reading.actions)
    turn = Turn(
        session=seat.session,
        number=seat.session.turn_count + 1,
        reply=orjson.dumps(valid_history(reply.text, reply.tool_calls, reading)).decode(),
        actions=[{"id": one.id, "name": one.name, "arguments": one.arguments} for one in reading.actions],
        notes=reading.notes if acts else "",
        error=reading.error if acts else "",
        results=None if acts else [],
        model=reply.model,
        call_id=reply.call_id,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_microusd=reply.cost_microusd,
        latency_ms=reply.latency_ms,
        created_at=timezone.now(),
    )
    return turn, reading


def _spoken(turn: Turn, reading: Reading) -> str:
    return turn.notes if reading.actions else str(json.loads(turn.reply).get("content") or "")


def actions_tell(*, exchange_id: int, session_id: int, number: int) -> None:
    """Tell the person what was done, and what came of it."""
    turn = Turn.objects.get(session_id=session_id, number=number)
    results = [
        {"name": one["name"], "ok": one["ok"], "text": str(result.get("text", ""))[:SHOWN]}
        for one, result in zip(turn.outcome, turn.results or (), strict=False)
    ]
    actions = [{"type": one["name"], **one["arguments"]} for one in turn.actions]
    shown = json.loads(json.dumps(actions)[:60_000]) if len(json.dumps(actions)) <= 60_000 else [
        {"type": one["name"]} for one in turn.actions
    ]  # fmt: skip
    piece_add(exchange_id=exchange_id, kind=Piece.Kind.ACTIONS, data={"actions": shown, "results": results})


@joins
def chat_query(handle: Handle, exchange_id: int) -> dict[str, Any]:
    exchange = Exchange.objects.select_related("person").get(pk=exchange_id)
    if exchange.status != Exchange.Status.ANSWERING:
        return _finished(handle, {"stopped": True})
    person, asked, output = person_of(exchange), exchange.request, {}
    permission = asked.get("permission", "conversations:write")
    if person is None or not permission_holds(
        person, permission, exchange.organization_id, exchange.project_id
    ):
        raise Forbidden("You may not talk with models here any more.")

    def settle(reply: gateway.Reply) -> None:
        refuse_stopped(exchange.pk)
        output.update({"text": reply.text, "model": reply.model, "finish_reason": reply.finish_reason})
        handle.finish(output)

    request = gateway.Request(
        messages=[orjson.dumps(message) for message in asked["messages"]],
        payer=gateway.Payer(
            organization_id=exchange.organization_id,
            project_id=exchange.project_id,
            bead_id=asked.get("bead_id"),
            run_id=current().run.pk,
            purpose=asked.get("purpose", "chat"),
            user_id=exchange.person_id,
        ),
        key=f"{handle.key}#{handle.attempt}",
        max_tokens=asked.get("max_tokens") or settings.LOOM_MAX_TOKENS,
        temperature=asked.get("temperature"),
        provider_id=asked.get("provider_id"),
    )
    _complete(handle, Teller(exchange), request, settle, None)
    return output
