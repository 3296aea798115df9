"""Compaction: when a conversation nears the model's window, its older turns are retold in few words.

It happens rarely and then takes much away, so that what providers have cached of a prompt stays good for many
turns. Task, acceptance criteria, plan, latest checks, and what people and the platform said stay in sight.
The turns themselves are kept; only the prompt gets shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.agents.conversation import BYTES_PER_TOKEN, Conversation
from apps.agents.memory_models import Compaction
from apps.agents.models import Session, Turn
from apps.agents.pins import Pins
from apps.agents.recap import turns_listed, turns_told
from apps.agents.replies.thinking import answer_start
from apps.agents.seat import Seat, seat_of
from apps.agents.secrets import project_masker
from apps.core.crash import crashpoint
from apps.core.errors import BudgetExceeded
from apps.engine.flow import Handle, Retry, joins
from apps.providers import gateway
from apps.providers.errors import CallFailed

COMPACT_RETRY = Retry(attempts=3, delay=2.0, factor=3.0)
FULL = 0.9  # of the room: beyond this the next prompt is made shorter first
KEPT = 0.35  # of the room: what the newest turns may take afterwards
ALONE = 0.6  # of the room: the newest turn stays whole up to this
SUMMARY_TOKENS = (200, 2_000)  # least and most that a summary may take
SHRINK = 0.6  # of a prompt that was refused as too long, where the window is not known

SYSTEM = """\
You keep the record of an agent's work. Its older turns are removed from its sight; your summary takes \
their place, and it is all that the agent will know of them. Write down: what was done, by file and \
function; what was found out about the code; what failed, with the error, and what that showed; what was \
decided and why; what is left to do. Give names, paths and numbers exactly. Say nothing that does not stand \
in the record. No introduction, no advice. At most {words} words."""


def room_for(seat: Seat) -> int:
    """Tokens that the prompt may have at the model that is asked next; 0: not known."""
    return gateway.prompt_room(seat.payer(), max_tokens=settings.LOOM_MAX_TOKENS)


def compaction_due(seat: Seat) -> dict[str, Any] | None:
    """What the query step says when the conversation must get shorter before the model is asked."""
    room = room_for(seat)
    if not room or seat.talk.tokens <= FULL * room or not _can_shrink(seat.session):
        return None
    return {"compact": room}


def compaction_after_refusal(seat: Seat) -> dict[str, Any] | None:
    """The same, when the model refused the conversation as too long; None if nothing can be taken away."""
    if not _can_shrink(seat.session):
        return None
    return {"compact": int(SHRINK * min(seat.talk.tokens, room_for(seat) or seat.talk.tokens))}


def _can_shrink(session: Session) -> bool:
    return session.turn_count >= max(1, session.compacted_to)


@dataclass(frozen=True)
class Plan:
    """Which turns are retold, and how long the summary may be."""

    up_to: int
    turns: list[Turn]
    before: str
    summary_tokens: int


@joins
def compact(handle: Handle, session_id: int, room: int) -> dict[str, Any]:
    """Retell older turns, so that the prompt takes far less than `room` tokens: an engine step.

    A model that fails, or money that is short, is no reason to stop: the platform lists then what was done.
    """
    seat = seat_of(session_id)
    plan = _plan(seat, room)
    made: list[tuple[Compaction, Conversation]] = []

    def keep(summary: str, *, by_model: bool, call_id: int | None = None) -> None:
        made[:] = [_keep(seat, plan, summary, by_model=by_model, call_id=call_id)]
        handle.finish({"up_to": plan.up_to, "by_model": by_model})
        crashpoint("before_compaction_commit")

    def settle(reply: gateway.Reply) -> None:
        summary = reply.text[answer_start(reply.text) :].strip()
        keep(summary or _listed(plan), by_model=bool(summary), call_id=reply.call_id)

    crashpoint("before_compaction")
    try:
        gateway.complete(
            _request(seat, plan, room, key=f"{handle.key}#{handle.attempt}"),
            in_reserve=lambda _: handle.begin(),
            in_settle=settle,
        )
    except (CallFailed, BudgetExceeded) as error:
        if isinstance(error, CallFailed) and error.retryable and handle.tries < COMPACT_RETRY.attempts:
            raise
        with transaction.atomic():
            keep(_listed(plan), by_model=False)
    crashpoint("after_compaction")
    compaction, talk = made[0]
    seat.session.compacted_to, seat.talk = compaction.up_to, talk
    return {"up_to": plan.up_to, "by_model": compaction.by_model}


def _plan(seat: Seat, room: int) -> Plan:
    session = seat.session
    last = session.turn_count
    up_to = last + 1
    for number in range(last, max(0, session.compacted_to - 1), -1):
        share = seat.talk.tokens_from(number)
        if share > KEPT * room and not (number == last and share <= ALONE * room):
            break
        up_to = number
    least = max(session.compacted_to, 1) + 1
    up_to = min(last + 1, max(up_to, least))  # something is always taken away
    earlier = session.compactions.order_by("-up_to").first()
    since = earlier.up_to if earlier else 1
    turns = list(session.turns.filter(number__gte=since, number__lt=up_to).order_by("number"))
    low, high = SUMMARY_TOKENS
    return Plan(up_to, turns, earlier.summary if earlier else "", max(low, min(high, room // 10)))


def _listed(plan: Plan) -> str:
    """The platform's own account, where the model gives none."""
    chars = int(plan.summary_tokens * BYTES_PER_TOKEN)
    before = plan.before[: chars // 2].strip()
    return f"{before}\n{turns_listed(plan.turns, room=chars - len(before))}".strip()


def _request(seat: Seat, plan: Plan, room: int, *, key: str) -> gateway.Request:
    session = seat.session
    chars = int(room * seat.talk.bytes_per_token * 0.6)
    title = session.bead.title if session.bead else session.project.name
    before = f"## Summary so far\n{plan.before}\n\n" if plan.before else ""
    record = turns_told(plan.turns, room=max(2_000, chars - len(before) - len(SYSTEM)))
    words = int(plan.summary_tokens * 0.6)
    return gateway.Request(
        messages=gateway.encoded(
            {"role": "system", "content": SYSTEM.format(words=words)},
            {
                "role": "user",
                "content": f"# Task: compact\nTitle: {title}\n\n{before}## The record\n{record}",
            },
        ),
        payer=seat.payer(purpose="compact"),
        key=key,
        max_tokens=plan.summary_tokens,
    )


def _keep(
    seat: Seat, plan: Plan, summary: str, *, by_model: bool, call_id: int | None
) -> tuple[Compaction, Conversation]:
    """The compaction, and the conversation as it is with it."""
    session = seat.session
    summary = project_masker(session.project_id).text(summary)
    summary = summary[: int(2 * plan.summary_tokens * BYTES_PER_TOKEN)].replace("\0", "")
    made = Compaction(
        session=session,
        up_to=plan.up_to,
        after_turn=session.turn_count,
        summary=summary,
        text=_told(plan, summary, seat.pins),
        by_model=by_model,
        call_id=call_id,
        tokens_before=seat.talk.tokens,
        tokens_after=0,
    )
    turns = session.turns.filter(number__gte=made.up_to).order_by("number")
    talk = Conversation.load(session, turns, made, bytes_per_token=seat.talk.bytes_per_token)
    made.tokens_after = talk.tokens
    made.save()
    Session.objects.filter(pk=session.pk).update(compacted_to=plan.up_to)
    return made, talk


def _told(plan: Plan, summary: str, pins: Pins) -> str:
    """What follows the task: the summary, what stays pinned, and the way to what was left out."""
    head = f"## The work so far: turns 1 to {plan.up_to - 1}, retold to save room"
    foot = (
        "Results of those turns can be read again with read_output: the turn's number, a dot, and the "
        f'action\'s number in it, such as "{plan.up_to - 1}.1".'
    )
    return "\n\n".join(part for part in (head, summary, pins.text(), foot) if part)
