"""Writes to conversations between people and agents."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils import timezone

from apps.accounts.models import Organization, User
from apps.agents.models import Agent, Session
from apps.agents.secrets import project_masker
from apps.agents.services import session_end, session_say
from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict
from apps.core.states import move
from apps.core.tenancy import access_of
from apps.engine.models import Run
from apps.engine.services import run_cancel, run_start
from apps.events.bus import emit
from apps.pairing.models import Exchange, Piece
from apps.pairing.pieces import last_piece
from apps.pairing.words import actions_of
from apps.projects.models import Project
from apps.providers.models import Call

PAIR_FLOW, CHAT_FLOW = "pairing.pair", "pairing.chat"
LASTS = timedelta(days=7)  # a conversation, after its last message
MAX_TEXT = 100_000


@transaction.atomic
def conversation_ensure(*, agent: Agent, bead: Bead, actor: str) -> Session:
    """The conversation about a bead with an agent; a new one if there is none, or it has expired."""
    if agent.project_id != bead.project_id:
        raise BadInput("The agent and the bead belong to different projects.")
    project = Project.objects.locked(bead.project_id)  # who opens one at the same moment finds it open
    rows = Session.objects.filter(kind=Session.Kind.PAIR, agent=agent, bead=bead)
    known: Session | None = rows.filter(status=Session.Status.OPEN).select_related("project").first()
    if known is not None and known.updated_at > timezone.now() - LASTS:
        return known
    if known is not None:
        session_end(session=known, reason="expired")
    made: Session = Session.objects.create(
        project=project,
        bead=bead,
        agent=agent,
        kind=Session.Kind.PAIR,
        origin=f"pair:{bead.pk}:{agent.pk}:{rows.count() + 1}",
    )
    emit(
        "session.opened",
        organization_id=project.organization_id,
        project_id=project.pk,
        bead_id=bead.pk,
        subject=f"session:{made.pk}",
        actor=actor,
        session_kind=made.kind,
    )
    return made


@transaction.atomic
def exchange_ask(*, session: Session, person: User, text: str) -> Exchange:
    """Say something in a conversation; the agent answers in a run of its own."""
    _check(text)
    held = Session.objects.select_for_update(no_key=True, of=("self",)).select_related("project")
    session = held.get(pk=session.pk)
    if session.status != Session.Status.OPEN or session.kind != Session.Kind.PAIR:
        raise Conflict("This conversation has ended.", hint="Begin a new one with POST /api/v1/pair.")
    earlier = session.exchanges.order_by("-id").first()
    exchange = _exchange(session.project.organization, session.project, session, person, text)
    Piece.objects.filter(exchange__session=session).exclude(exchange=exchange).delete()
    _append(session, text)
    Session.objects.filter(pk=session.pk).update(
        actions=actions_of(person, session.project), updated_at=timezone.now()
    )
    after = earlier.run_id if earlier is not None else None
    return _start(exchange, PAIR_FLOW, bead_id=session.bead_id, after=after)


@transaction.atomic
def exchange_chat(
    *,
    organization: Organization,
    project: Project | None,
    person: User,
    request: dict[str, Any],
    text: str = "",
) -> Exchange:
    """Have messages answered that belong to no conversation: `request` holds them and how to answer.

    `text` is what the person said, where that is not the last message.
    """
    text = text or str(request["messages"][-1].get("content", ""))
    exchange = _exchange(organization, project, None, person, text, request=request)
    return _start(exchange, CHAT_FLOW)


def _check(text: str) -> None:
    if not text.strip():
        raise BadInput("A message needs words.", details={"field": "message"})
    if len(text) > MAX_TEXT:
        raise BadInput(f"A message has {MAX_TEXT:,} characters at most.", details={"field": "message"})


def _exchange(
    organization: Organization,
    project: Project | None,
    session: Session | None,
    person: User,
    text: str,
    **fields: Any,
) -> Exchange:
    access = asdict(access_of(person))
    scopes = access.pop("scopes")
    try:
        with transaction.atomic():
            return Exchange.objects.create(
                organization=organization,
                project=project,
                session=session,
                person=person,
                access={**access, "scopes": sorted(scopes) if scopes is not None else None},
                text=text[:MAX_TEXT],
                **fields,
            )
    except IntegrityError:
        raise Conflict(
            "The agent is still answering.", hint="Wait for the answer, or stop it first."
        ) from None


def _append(session: Session, text: str) -> None:
    if session.turn_count:
        session_say(session_id=session.pk, text=text)
        return
    told = project_masker(session.project_id).text(text)
    opening = [*session.opening, {"role": "user", "content": told}]
    Session.objects.filter(pk=session.pk).update(opening=opening)


def _start(
    exchange: Exchange, flow: str, *, bead_id: int | None = None, after: int | None = None
) -> Exchange:
    run = run_start(
        flow=flow,
        key=f"pair:{exchange.pk}",
        input={"exchange_id": exchange.pk, **({"after": after} if flow == PAIR_FLOW else {})},
        organization_id=exchange.organization_id,
        project_id=exchange.project_id,
    )
    Exchange.objects.filter(pk=exchange.pk).update(run_id=run.pk)
    exchange.run_id = run.pk
    emit(
        "conversation.asked",
        organization_id=exchange.organization_id,
        project_id=exchange.project_id,
        bead_id=bead_id,
        subject=f"exchange:{exchange.pk}",
        actor=exchange.person.get_username() if exchange.person else "",
        session_id=exchange.session_id,
    )
    return exchange


@transaction.atomic
def exchange_end(*, exchange_id: int, status: str, error: str = "", code: str = "", **fields: Any) -> bool:
    """End an exchange and tell whoever listens; False if it had ended already."""
    ended = move(
        Exchange.objects.filter(pk=exchange_id),
        to=status,
        allowed={Exchange.Status.ANSWERING},
        error=error,
        error_code=code[:40],
        ended_at=timezone.now(),
        **fields,
    )
    if not ended:
        return False
    exchange = Exchange.objects.get(pk=exchange_id)
    if error:
        last_piece(exchange_id, Piece.Kind.ERROR, {"error": error, "code": code})
    spent: dict[str, Any] = dict(spent_on(exchange))
    last_piece(exchange_id, Piece.Kind.DONE, {**spent, "status": status})
    emit(
        "conversation.answered",
        organization_id=exchange.organization_id,
        project_id=exchange.project_id,
        subject=f"exchange:{exchange.pk}",
        session_id=exchange.session_id,
        status=status,
        **spent,
    )
    return True


def spent_on(exchange: Exchange) -> dict[str, int]:
    """Tokens and money of an exchange, as the ledger has them."""
    sums = Call.objects.filter(run_id=exchange.run_id or 0).aggregate(
        prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"), cost=Sum("cost_microusd")
    )
    prompt, completion = sums["prompt"] or 0, sums["completion"] or 0
    return {
        "tokens_used": prompt + completion,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cost_microusd": sums["cost"] or 0,
    }


def exchange_stop(*, exchange: Exchange, actor: str = "") -> bool:
    """End the answer now: nothing more of it is told, acted on or kept. False if it had ended already."""
    mine = Exchange.objects.filter(pk=exchange.pk)
    if not mine.filter(status=Exchange.Status.ANSWERING).exists():
        return False
    # The run first: its call is cut once the exchange has ended, and would be taken for one that failed.
    # Not in one transaction: an answer that is kept holds the exchange before the run, its end the run first.
    if exchange.run_id:
        with suppress(Conflict):  # it ends at this moment
            run_cancel(run_id=exchange.run_id, actor=actor)
    exchange_end(exchange_id=exchange.pk, status=Exchange.Status.STOPPED)
    return mine.filter(status=Exchange.Status.STOPPED).exists()


def exchange_heard(exchange_id: int) -> None:
    """Somebody listens from now on."""
    Exchange.objects.filter(pk=exchange_id).update(heard_at=timezone.now())


@transaction.atomic
def conversation_reset(*, session: Session, keep_system_message: bool = True, actor: str = "") -> None:
    """Forget what was said; the files of the worktree stay as they are."""
    session = _idle(session, actor)
    session.turns.all().delete()
    session.exchanges.all().delete()
    opening = session.opening[:2] if keep_system_message else []
    Session.objects.filter(pk=session.pk).update(
        opening=opening, turn_count=0, compacted_to=0, updated_at=timezone.now()
    )
    conversation_tell(session, "conversation.reset", actor)


@transaction.atomic
def conversation_delete(*, session: Session, actor: str = "") -> None:
    """Delete what was said. Commits of its worktree stay in the repository's refs."""
    session = _idle(session, actor)
    conversation_tell(session, "conversation.deleted", actor)
    Session.objects.filter(pk=session.pk).delete()


def _idle(session: Session, actor: str) -> Session:
    if session.kind != Session.Kind.PAIR:
        raise Conflict(
            "This is the record of an agent's work; it stays.",
            hint="Only talks with people are reset or deleted.",
        )
    held = Session.objects.select_for_update(no_key=True, of=("self",)).select_related("project")
    session = held.get(pk=session.pk)
    for exchange in session.exchanges.filter(status=Exchange.Status.ANSWERING):
        exchange_stop(exchange=exchange, actor=actor)
    runs = session.exchanges.values("run_id")
    if Run.objects.unfinished().filter(pk__in=runs, status=Run.Status.RUNNING).exists():
        raise Conflict("The agent just stops.", hint="Try again in a moment.")
    return session


def conversation_tell(session: Session, kind: str, actor: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=session.project.organization_id,
        project_id=session.project_id,
        bead_id=session.bead_id,
        subject=f"session:{session.pk}",
        actor=actor,
        session_id=session.pk,
        **data,
    )
