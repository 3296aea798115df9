"""The loop: ask the model, act on its reply, append the results; each is one durable step.

A reply whose actions only look is acted on in the step that asked for it: both are kept in one transaction.
`session_run` is a part of a flow. Limits, errors and answers end in the conversation or in a named reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents.acting import Acting, only_looks
from apps.agents.asking import command_await, later
from apps.agents.compaction import COMPACT_RETRY, compact, compaction_after_refusal, compaction_due
from apps.agents.letters import letters_take
from apps.agents.live import Live, live_for
from apps.agents.models import Session, Turn
from apps.agents.orchestration import results_await
from apps.agents.pins import PLATFORM
from apps.agents.replies import Reading, read_reply, valid_history
from apps.agents.safety import bead_stop, rest_of
from apps.agents.seat import SESSIONS, Seat, forget, idle_turns, max_turns, seat_of
from apps.agents.secrets import reply_masked, secrets_learn
from apps.agents.services import outputs_keep, session_say, turn_add, turn_finish
from apps.agents.statements import hands_over, if_hands_over, keep_results
from apps.core.crash import crashpoint
from apps.core.errors import BudgetExceeded, Unavailable
from apps.core.storable import storable
from apps.core.together import together
from apps.engine.flow import Handle, Retry, call, current, joins, sleep
from apps.providers import gateway
from apps.providers.errors import ContextTooLong, Rejected, ToolsUnsupported

log = logging.getLogger(__name__)

ACT_RETRY = Retry(attempts=3, delay=2.0)
SMALL_REPLY = 2048
MOST_RAW = 400_000  # characters kept of a reply that was not understood
# A fresh session may do better; any other reason is a person's question.
STOPPED_REASONS = (
    "turn_limit", "no_action", "repetition", "ping_pong", "no_progress", "poisoned", "handed_over",
)  # fmt: skip
HANDED_OVER = {Session.Kind.WORK, Session.Kind.REVIEW}


class _HandsOver(Exception):
    """The agent was told to stop before anything was asked."""


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
        if "compact" in asked:
            call(compact, retry=COMPACT_RETRY, session_id=session_id, room=asked["compact"])
            continue
        entering = False
        if "stop" in asked:
            return Ending(reason=asked["stop"], detail=asked["detail"])
        if asked.get("acted"):
            continue
        acted = call(act, retry=ACT_RETRY, session_id=session_id, number=asked["turn"])
        if awaits := acted.get("awaits"):
            results_await(session_id, awaits, session_tell)
        if asked_for := acted.get("asks"):
            until = later(until, command_await(session_id, turn=asked["turn"], **asked_for))
        elif acted["ends"]:
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
    ready = ready or compaction_due(seat)
    if ready is None:
        try:
            return _reply(handle, seat)
        except _HandsOver:
            ready = _handing_over(seat)
        except (Rejected, ContextTooLong) as error:
            if seat.session.turn_count == 0:
                raise  # nothing was said yet: any session would be refused
            shorter = compaction_after_refusal(seat) if isinstance(error, ContextTooLong) else None
            stop = {"stop": "poisoned", "detail": f"The conversation is refused: {error.message}"}
            ready = shorter or stop
    with transaction.atomic():
        handle.finish(ready)
    return ready


def _reply(handle: Handle, seat: Seat) -> dict[str, Any]:
    """The reply, asked for again without native tools where the model has none."""
    try:
        return _ask(handle, seat, 0)
    except ToolsUnsupported:
        if not seat.session.native_tools:
            raise
    Session.objects.filter(pk=seat.session.pk).update(native_tools=False)
    forget(seat.session.pk)
    return _ask(handle, seat_of(seat.session.pk), 1)


def _bead_limit(seat: Seat) -> dict[str, Any] | None:
    """What its bead has been through may forbid to go on, or demand a rest first."""
    session = seat.session
    if session.kind != Session.Kind.WORK or session.bead_id is None or seat.is_untouched():
        return None
    if stop := bead_stop(session.bead_id):
        return {"stop": stop.reason, "detail": stop.detail}
    rest = rest_of(session.bead_id) if session.turn_count == 0 else 0.0
    return {"rest": rest} if rest > 0 else None


def _limit_reached(seat: Seat, until: str | None) -> dict[str, Any] | None:
    session = seat.session
    if until is not None and timezone.now() >= datetime.fromisoformat(until):
        return {"stop": "timeout", "detail": "The time for this part of the work was over."}
    if stop := seat.trail.stop(idle=idle_turns(session.kind)):
        return {"stop": stop.reason, "detail": stop.detail}
    if session.kind in HANDED_OVER and seat.is_handed_over():
        return _handing_over(seat)
    limit = max_turns(session.kind)
    if session.turn_count >= limit:
        return {"stop": "turn_limit", "detail": f"The session took {limit} turns."}
    return None


def _handing_over(seat: Seat) -> dict[str, Any]:
    return {"stop": "handed_over", "detail": f"{seat.session.agent.name} was stopped and hands over."}


def _unfinished(seat: Seat) -> dict[str, Any] | None:
    """A reply that could not be acted on before a person helped is acted on now, not asked for again."""
    last = seat.session.turns.order_by("-number").first() if seat.untold else None
    return {"turn": last.number} if last is not None and last.results is None else None


def _ask(handle: Handle, seat: Seat, variant: int) -> dict[str, Any]:
    replied: list[tuple[Turn, Reading, Acting | None]] = []
    told: list[Callable[[], bool]] = []
    masked = secrets_learn(seat.session.project_id, seat.session.base_commit)

    def look(reply: gateway.Reply) -> None:
        turn, reading = _turn_of(seat, reply_masked(reply, masked))
        replied[:] = [(turn, reading, _looked(seat, turn))]

    def settle(_: gateway.Reply) -> None:
        turn, reading, work = replied[0]
        add = partial(turn_add, session=seat.session, turn=turn, organization_id=seat.organization_id)
        if work is None:
            add(doing=_doing(reading))
            handle.finish({"turn": turn.number})
        else:
            turn.results, turn.outcome, turn.acted_at = work.results, work.outcome, timezone.now()
            finish = partial(handle.finish, {"turn": turn.number, "acted": True})
            told[:] = [_keep(seat, work, lambda: add(doing=_doing(reading)), finish)]
        crashpoint("before_settle_commit")

    request = model_request(seat, key=f"{handle.key}#{handle.attempt}.{variant}")
    crashpoint("before_model_call")
    live = live_for(seat.session, turn=seat.session.turn_count + 1)
    begin = partial(_begin, handle, seat, live)
    _complete_within_budget(request, in_reserve=begin, on_reply=look, in_settle=settle, on_delta=live)
    crashpoint("after_settle")
    turn, _, work = replied[0]
    seat.session.turn_count, seat.read_early = turn.number, False
    seat.talk.add_reply(turn)
    if work is None:
        current().scratch[f"turn:{seat.session.pk}:{turn.number}"] = turn
        return {"turn": turn.number}
    work.note(handed_over=told[0]())
    return {"turn": turn.number, "acted": True}


def _begin(handle: Handle, seat: Seat, live: Live | None, _: object) -> None:
    """What is done with the reservation of a call; it is refused where the agent is to hand over instead."""
    if seat.read_early and seat.session.kind in HANDED_OVER:
        if_hands_over(seat.session.agent_id, then=_refuse)  # on its way with what is written next
    handle.begin()
    if live is not None:
        live.again()


def _refuse() -> None:
    raise _HandsOver


def _looked(seat: Seat, turn: Turn) -> Acting | None:
    """The turn's actions, taken if they only look; where that fails they are a step of their own."""
    if not only_looks(seat, turn):
        return None
    work = Acting(seat, turn, run_id=current().run.pk)
    try:
        work.run()
    except Exception:  # the step tells and tries again, and the reply is not paid twice
        log.warning("session %s: turn %s is looked at again", seat.session.pk, turn.number, exc_info=True)
        return None
    return work


def _complete_within_budget(request: gateway.Request, **hooks: Callable[[Any], None] | None) -> None:
    """Call; where the worst case of a long reply does not fit the budget any more, ask for a shorter one."""
    try:
        gateway.complete(request, **hooks)
    except BudgetExceeded as error:
        if error.details.get("may_free_up"):
            raise Unavailable("Calls under way have set aside what is left of the budget.") from error
        if request.max_tokens <= SMALL_REPLY:
            raise
        smaller = gateway.Request(**{**request.__dict__, "max_tokens": SMALL_REPLY, "key": request.key + "s"})
        gateway.complete(smaller, **hooks)


def model_request(seat: Seat, *, key: str, person_id: int | None = None) -> gateway.Request:
    """What the model is asked next in a session, and who pays: for a person, if one asked."""
    session = seat.session
    return gateway.Request(
        messages=seat.talk.messages,
        tools=seat.talk.tools if session.actions else None,
        payer=seat.payer(user_id=person_id),
        key=key,
        is_first=key.endswith("#1.0"),
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
        raw=_as_it_came(reply) if reading.error else None,
        model=reply.model,
        call_id=reply.call_id,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_microusd=reply.cost_microusd,
        latency_ms=reply.latency_ms,
        created_at=timezone.now(),
    )
    return turn, reading


def _as_it_came(reply: gateway.Reply) -> Any:
    return storable({"text": reply.text[:MOST_RAW], "tool_calls": list(reply.tool_calls)})


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
    handle.begin_alone()
    crashpoint("after_intent")
    if handle.attempt > 1 and turn.actions:
        seat.restore()
    work = Acting(seat, turn, run_id=current().run.pk)
    work.run()
    output = work.output()
    crashpoint("before_result")
    finish = partial(
        turn_finish,
        session=seat.session,
        number=number,
        results=work.results,
        outcome=work.outcome,
        commit=work.commit,
        organization_id=seat.organization_id,
    )
    with transaction.atomic(), together():
        told = _keep(seat, work, finish, partial(handle.finish, output))
    work.note(handed_over=told())
    return output


def _keep(
    seat: Seat, work: Acting, turn_keep: Callable[[], None], step_finish: Callable[[], None]
) -> Callable[[], bool]:
    """Keep what a turn's actions gave, with what others say by now to the agent; inside a transaction.

    Tells, once asked, whether the agent was told to stop meanwhile.
    """
    session, number = seat.session, work.turn.number

    def tell(letters: list[str]) -> None:  # now, or once what follows here ran
        work.results += [{"say": letter, "by": PLATFORM} for letter in letters]
        keep_results(session.pk, number, work.results)

    if not work.ends:
        letters_take(session, tell)
    told = hands_over(session.agent_id)
    turn_keep()
    if work.outputs:
        outputs_keep(session=session, turn=number, texts=work.outputs)
    step_finish()
    return told


def session_tell(*, session_id: int, text: str) -> None:
    """Append words of the platform to a conversation, and what others have to say by now; a database step."""
    session_say(session_id=session_id, text=text)
    letters_take(SESSIONS.get(session_id), partial(_say_all, session_id))
    forget(session_id)


def _say_all(session_id: int, texts: list[str]) -> None:
    for text in texts:
        session_say(session_id=session_id, text=text)
