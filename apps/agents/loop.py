"""The loop: ask the model, act on its reply, append the results; each is one durable step.

`session_run` is a part of a flow. Limits, errors and answers end in the conversation or in a named reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents.acting import Acting
from apps.agents.models import Session, Turn
from apps.agents.orchestration import results_await
from apps.agents.replies import Reading, read_reply, valid_history
from apps.agents.safety import bead_stop, rest_of
from apps.agents.seat import Seat, forget, max_turns, seat_of
from apps.agents.services import turn_add, turn_finish
from apps.agents.statements import hands_over, is_untouched
from apps.core.crash import crashpoint
from apps.core.errors import BudgetExceeded, Unavailable
from apps.engine.flow import Handle, Retry, call, current, joins, sleep
from apps.providers import gateway
from apps.providers.errors import ContextTooLong, Rejected, ToolsUnsupported

ACT_RETRY = Retry(attempts=3, delay=2.0)
SMALL_REPLY = 2048
# A fresh session may do better; any other reason is a person's question.
STOPPED_REASONS = (
    "turn_limit", "no_action", "repetition", "ping_pong", "no_progress", "poisoned", "handed_over",
)  # fmt: skip
HANDED_OVER = {Session.Kind.WORK, Session.Kind.REVIEW}


@dataclass(frozen=True)
class Ending:
    """Why the loop came back: claim, plan, review, decide, wait, or a reason of STOPPED_REASONS."""

    reason: str
    claim_id: int | None = None
    decision_id: int | None = None
    detail: str = ""


def session_run(session_id: int, *, until: str | None = None) -> Ending:
    """Go on with a session until it ends, waits or claims. Part of a flow; raises StepFailed.

    The first turn after the moment `until` ends it for the reason "timeout".
    """
    entering = True
    while True:
        asked = call(query, retry=model_retry(), session_id=session_id, entering=entering, until=until)
        if "rest" in asked:
            sleep(asked["rest"])
            continue
        entering = False
        if "stop" in asked:
            return Ending(reason=asked["stop"], detail=asked["detail"])
        acted = call(act, retry=ACT_RETRY, session_id=session_id, number=asked["turn"])
        if awaits := acted.get("awaits"):
            results_await(session_id, awaits, session_tell)
        if acted["ends"]:
            return Ending(
                reason=acted["ends"], claim_id=acted.get("claim_id"), decision_id=acted.get("decision_id")
            )


def model_retry() -> Retry:
    """A model that does not answer is asked again after 1, 3, 9, ... seconds; money that is gone is not."""
    attempts = settings.LOOM_MODEL_ATTEMPTS
    return Retry(attempts=attempts, delay=1.0, factor=3.0, max_delay=60.0, never=(BudgetExceeded,))


# -- ask --------------------------------------------------------------------------------------------


@joins
def query(handle: Handle, session_id: int, entering: bool, until: str | None = None) -> dict[str, Any]:
    """One reply of the model, paid, parsed and kept as a Turn in one transaction.

    `entering`: work on the session begins or goes on after others had it; then the bead's limits count too.
    """
    seat = seat_of(session_id)
    ready = (_bead_limit(seat) if entering else None) or _limit_reached(seat, until) or _unfinished(seat)
    if ready is None:
        try:
            return _reply(handle, seat)
        except (Rejected, ContextTooLong) as error:
            if seat.session.turn_count == 0:
                raise  # nothing was said yet: any session would be refused
            ready = {"stop": "poisoned", "detail": f"The conversation is refused: {error.message}"}
    with transaction.atomic():
        handle.finish(ready)
    return ready


def _reply(handle: Handle, seat: Seat) -> dict[str, Any]:
    """The reply, asked for again without native tools or shorter where that is what the model needs."""
    session_id = seat.session.pk
    for variant in range(4):
        try:
            return _ask(handle, seat, variant)
        except ToolsUnsupported:
            if not seat.session.native_tools:
                raise
            Session.objects.filter(pk=session_id).update(native_tools=False)
        except ContextTooLong:
            if seat.session.compacted_to >= seat.session.turn_count - 1:
                raise
            last = max(seat.session.compacted_to + 1, seat.session.turn_count - 2)
            Session.objects.filter(pk=session_id).update(compacted_to=last)
        forget(session_id)
        seat = seat_of(session_id)
    raise ContextTooLong("The conversation does not fit the model, even shortened.")


def _bead_limit(seat: Seat) -> dict[str, Any] | None:
    """What its bead has been through may forbid to go on, or demand a rest first."""
    session = seat.session
    if session.kind != Session.Kind.WORK or session.bead_id is None or is_untouched(session):
        return None
    if stop := bead_stop(session.bead_id):
        return {"stop": stop.reason, "detail": stop.detail}
    rest = rest_of(session.bead_id) if session.turn_count == 0 else 0.0
    return {"rest": rest} if rest > 0 else None


def _limit_reached(seat: Seat, until: str | None) -> dict[str, Any] | None:
    session = seat.session
    if until is not None and timezone.now() >= datetime.fromisoformat(until):
        return {"stop": "timeout", "detail": "The time for this part of the work was over."}
    if stop := seat.trail.stop():
        return {"stop": stop.reason, "detail": stop.detail}
    if session.kind in HANDED_OVER and hands_over(session.agent_id):
        return {"stop": "handed_over", "detail": f"{session.agent.name} was stopped and hands over."}
    limit = max_turns(session.kind)
    if session.turn_count >= limit:
        return {"stop": "turn_limit", "detail": f"The session took {limit} turns."}
    return None


def _unfinished(seat: Seat) -> dict[str, Any] | None:
    """A reply that could not be acted on before a person helped is acted on now, not asked for again."""
    last = seat.session.turns.order_by("-number").first() if seat.untold else None
    return {"turn": last.number} if last is not None and last.results is None else None


def _ask(handle: Handle, seat: Seat, variant: int) -> dict[str, Any]:
    kept: list[Turn] = []

    def settle(reply: gateway.Reply) -> None:
        turn, reading = _turn_of(seat, reply)
        doing = _doing(reading)
        turn_add(session=seat.session, turn=turn, organization_id=seat.organization_id, doing=doing)
        handle.finish({"turn": turn.number})
        kept.append(turn)
        crashpoint("before_settle_commit")

    request = _request(seat, key=f"{handle.key}#{handle.attempt}.{variant}")
    crashpoint("before_model_call")
    _complete_within_budget(request, handle, settle)
    crashpoint("after_settle")
    turn = kept[0]
    seat.session.turn_count = turn.number
    seat.talk.add_reply(turn)
    current().scratch[f"turn:{seat.session.pk}:{turn.number}"] = turn
    return {"turn": turn.number}


def _complete_within_budget(
    request: gateway.Request, handle: Handle, settle: Callable[[gateway.Reply], None]
) -> None:
    """Call; where the worst case of a long reply does not fit the budget any more, ask for a shorter one."""

    def begin(_: object) -> None:
        handle.begin()

    try:
        gateway.complete(request, in_reserve=begin, in_settle=settle)
    except BudgetExceeded as error:
        if error.details.get("may_free_up"):
            raise Unavailable("Calls under way have set aside what is left of the budget.") from error
        if request.max_tokens <= SMALL_REPLY:
            raise
        smaller = gateway.Request(**{**request.__dict__, "max_tokens": SMALL_REPLY, "key": request.key + "s"})
        gateway.complete(smaller, in_reserve=begin, in_settle=settle)


def _request(seat: Seat, *, key: str) -> gateway.Request:
    session = seat.session
    return gateway.Request(
        messages=seat.talk.messages,
        tools=seat.talk.tools,
        payer=gateway.Payer(
            organization_id=seat.organization_id,
            project_id=session.project_id,
            bead_id=session.bead_id,
            session_id=session.pk,
            run_id=current().run.pk,
            purpose=session.kind,
        ),
        key=key,
        max_tokens=settings.LOOM_MAX_TOKENS,
        known_tokens=seat.talk.known_tokens,
        known_messages=seat.talk.known_messages,
    )


def _turn_of(seat: Seat, reply: gateway.Reply) -> tuple[Turn, Reading]:
    reading = read_reply(reply.text, reply.tool_calls)
    turn = Turn(
        session=seat.session,
        number=seat.session.turn_count + 1,
        reply=orjson.dumps(valid_history(reply.text, reply.tool_calls, reading)).decode(),
        actions=[{"id": one.id, "name": one.name, "arguments": one.arguments} for one in reading.actions],
        notes=reading.notes,
        error=reading.error,
        model=reply.model,
        call_id=reply.call_id,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_microusd=reply.cost_microusd,
        latency_ms=reply.latency_ms,
        created_at=timezone.now(),
    )
    return turn, reading


def _doing(reading: Reading) -> str:
    """What the agent does now, in a few words for people."""
    if not reading.actions:
        return "thinking again"
    first = reading.actions[0]
    about = next((str(first.arguments[key]) for key in SPOKEN if first.arguments.get(key)), "")
    return f"{first.name} {about}".strip()[:120]


SPOKEN = ("path", "command", "title", "query", "source", "question", "verdict", "summary", "choice")


# -- act --------------------------------------------------------------------------------------------


@joins
def act(handle: Handle, session_id: int, number: int) -> dict[str, Any]:
    """Take the actions of a turn in order and keep what they gave."""
    seat = seat_of(session_id)
    turn = current().scratch.pop(f"turn:{session_id}:{number}", None) or seat.session.turns.get(number=number)
    seat.untold = True
    with transaction.atomic():
        handle.begin()
    crashpoint("after_intent")
    if handle.attempt > 1 and turn.actions:
        seat.restore()
    work = Acting(seat, turn, run_id=current().run.pk)
    work.run()
    output = work.output()
    crashpoint("before_result")
    with transaction.atomic():
        turn_finish(
            session=seat.session,
            number=number,
            results=work.results,
            outcome=work.outcome,
            commit=work.commit,
            organization_id=seat.organization_id,
        )
        handle.finish(output)
    seat.untold = False
    seat.note_turn(turn, work.results, work.outcome, work.commit)
    seat.talk.add_results(turn.actions, work.results)
    return output


def session_tell(*, session_id: int, text: str) -> None:
    """Append words of the platform to a conversation; a database step."""
    session = Session.objects.select_for_update().get(pk=session_id)
    turn = session.turns.order_by("-number").first()
    if turn is None:
        raise RuntimeError("Nothing was said in this session yet.")
    Turn.objects.filter(pk=turn.pk).update(results=[*(turn.results or []), {"say": text}])
    forget(session_id)
