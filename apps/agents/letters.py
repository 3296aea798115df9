"""Messages between agents, and from people to them: each stands in one prompt of its receiver, once.

It is taken in the transaction that writes the prompt: the opening of a session, or the results of a turn of
one that is under way. So a crash before that leaves it undelivered, and one after it delivers nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.agents.authority import agent_named
from apps.agents.models import Agent, Message, Persona, Session
from apps.agents.personas import role_resolve, roles_of
from apps.agents.secrets import project_masker
from apps.agents.statements import letters_wait
from apps.beads.models import Bead
from apps.core.errors import BadInput
from apps.core.prepared import Prepared
from apps.events.bus import Fact, emit_all
from apps.projects.models import Project

AT_ONCE = 10  # told in one prompt; the next get the rest
BODY_CHARS = 20_000
_UNDELIVERED: Prepared[int] = Prepared(
    lambda project_id: (
        Message.objects.filter(project=project_id, delivered_at=None).order_by().values_list("pk", flat=True)
    )
)


@transaction.atomic
def letter_send(
    *,
    project: Project,
    to_role: str,
    subject: str,
    body: str,
    sender: str,
    to_agent: Agent | None = None,
    session: Session | None = None,
    bead: Bead | None = None,
    origin: str = "",
) -> Message:
    """A message to an agent, to whoever of the role works next, or to whoever works on the bead.

    With an `origin` used before it is that one.
    """
    if not subject.strip():
        raise BadInput("A message needs a subject.")
    if to_agent is not None and to_agent.project_id != project.pk:
        raise BadInput("The agent belongs to another project.")
    fields: dict[str, Any] = {
        "session": session,
        "bead": bead,
        "sender": sender[:150],
        "to_role": to_agent.role if to_agent else to_role,
        "to_agent": to_agent,
        "subject": subject.strip()[:200],
        "body": body[:BODY_CHARS],
    }
    if origin:
        Project.objects.locked(project.pk)
        known: Message | None = Message.objects.filter(project=project, origin=origin).first()
        if known is not None:
            return known
    message: Message = Message.objects.create(project=project, origin=origin, **fields)
    emit_all([_fact(message, "agent.message", project, sender)])
    return message


def message_send(*, session: Session, to: str, subject: str, body: str, origin: str = "") -> Message:
    """The message of an agent at work, to a role or to a colleague by name; NotFound if that is nobody."""
    role, agent = _receiver(session.project, to)
    return letter_send(
        project=session.project,
        to_role=role,
        to_agent=agent,
        subject=subject,
        body=body,
        sender=session.agent.name,
        session=session,
        origin=origin,
    )


def _receiver(project: Project, to: str) -> tuple[str, Agent | None]:
    roles = roles_of(Persona.objects.for_organization(project.organization_id))
    if role := role_resolve(to, roles):
        return role, None
    if (agent := agent_named(project.pk, to)) is not None:
        return agent.role, agent
    raise BadInput(f"There is no role or colleague {to[:80]!r} in this team.")


def _fact(message: Message, kind: str, project: Project, actor: str, **data: Any) -> Fact:
    told = {"message_id": message.pk, "to": message.to_role, "to_agent_id": message.to_agent_id}
    return Fact(
        kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"message:{message.pk}",
        actor=actor,
        data={**told, "subject": message.subject, **data},
    )


def letters_take(session: Session, tell: Callable[[list[str]], None]) -> None:
    """Tell what waits for the session's agent, if something does, and mark it as told to it.

    Inside the transaction that tells it; among statements that go together it is told once they ran.
    """
    bead_id = _bead_of(session)
    letters_wait(session, bead_id, then=lambda: tell(_taken(session)))


def _bead_of(session: Session) -> int | None:
    return session.bead_id if session.kind == Session.Kind.WORK else None


def _taken(session: Session) -> list[str]:
    agent, bead_id = session.agent, _bead_of(session)
    meant = Q(to_agent=agent, bead=None) | Q(to_agent=None, bead=None, to_role=agent.role)
    if bead_id is not None:
        meant |= Q(bead_id=bead_id)
    waiting = Message.objects.filter(meant, project_id=session.project_id, delivered_at=None).exclude(
        session=session  # nobody writes to themselves
    )
    rows = list(waiting.select_for_update(skip_locked=True, of=("self",)).order_by("id")[:AT_ONCE])
    if rows:
        Message.objects.filter(pk__in=[row.pk for row in rows]).update(
            delivered_to=session, delivered_at=timezone.now()
        )
        emit_all(
            _fact(row, "agent.message.delivered", session.project, agent.name, session_id=session.pk)
            for row in rows
        )
    masked = project_masker(session.project_id)
    return [
        masked.text(f"Message from {row.sender or 'a colleague'}: {row.subject}\n{row.body}") for row in rows
    ]


def letters_unheard(bead_id: int) -> bool:
    """Whether something was said to who works on the bead that is in none of their prompts yet."""
    return Message.objects.filter(bead_id=bead_id, delivered_at=None).exists()


def letters_ahead(project_id: int) -> None:
    """Ask ahead whether anything waits in the project for new sessions."""
    _UNDELIVERED.ahead(project_id, limit=1)


def letters_deliver(fresh: Sequence[Session]) -> None:
    """Tell new sessions what waits for their agents; they are saved already."""
    projects = {session.project_id for session in fresh}
    if not any(_UNDELIVERED(project_id, limit=1) for project_id in projects):
        return
    for session in fresh:
        letters_take(session, partial(_open_with, session))


def _open_with(session: Session, letters: list[str]) -> None:
    if not letters:
        return
    system, task, *rest = session.opening
    words = "\n\n".join(letters)
    task = {**task, "content": f"{task['content']}\n\n## Messages to you\n{words}\n"}
    session.opening = [system, task, *rest]
    Session.objects.filter(pk=session.pk).update(opening=session.opening)
