"""Work that a person gives in words: it becomes a bead, and dispatch puts an agent to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.agents.models import Agent, Claim, Persona, Session
from apps.agents.personas import role_resolve, roles_of
from apps.agents.proof import claim_create
from apps.beads.models import Bead
from apps.beads.services import TITLE_CHARS, bead_create, bead_reopen
from apps.core.errors import BadInput, Conflict
from apps.engine.models import Run
from apps.projects.models import Project
from apps.workflows.dispatch import Readings, bead_start

URGENT = 0  # who is spoken to by name does this first
TITLE_WORDS = 120
_ADDRESSED = re.compile(r"\s*([^:\n]{2,60}?)\s*:\s+(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Order:
    """`Role: task`: whom it is for, and what."""

    role: str
    text: str
    agent: Agent | None = None


def order_of(text: str, project: Project) -> Order | None:
    """The order that the words are; None unless they begin with a role, or an agent's name, and a colon."""
    match = _ADDRESSED.fullmatch(text)
    if match is None:
        return None
    named, task = match.groups()
    agent = Agent.objects.filter(project=project, name__iexact=named, retired_at=None).first()
    if agent is not None:
        return Order(agent.role, task.strip(), agent)
    role = role_named(named, project.organization_id)
    return Order(role, task.strip()) if role else None


def role_named(word: str, organization_id: int) -> str | None:
    """The role of a persona that somebody means by a word: its name or an alias."""
    team = Persona.objects.for_organization(organization_id).defer("body")
    return role_resolve(word, roles_of(team))


@transaction.atomic
def work_give(
    *, project: Project, text: str, role: str = "", agent: Agent | None = None, actor: str, **fields: Any
) -> Bead:
    """A bead from a task in words, for the agent if it is free at dispatch, else for another of its role."""
    if not text.strip():
        raise BadInput("A task needs words.", details={"field": "prompt"})
    if Project.objects.locked(project.pk).status == Project.Status.CLOSED:
        raise Conflict(f"{project.name} is closed.", hint="Reopen it first.")
    if agent is not None and agent.status == Agent.Status.STOPPED:
        raise Conflict(f"{agent.name} has left the team.", hint="Resume it, or name another agent.")
    return bead_create(
        project=project,
        title=title_of(text),
        description=text.strip(),
        role=agent.role if agent else role,
        assigned_to=agent.name if agent else "",
        actor=actor,
        **fields,
    )


def title_of(text: str) -> str:
    """The first sentence of the first line."""
    line = text.strip().splitlines()[0].strip()
    sentence = re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0]
    if len(sentence) <= TITLE_WORDS:
        return sentence[:TITLE_CHARS]
    return sentence[:TITLE_WORDS].rsplit(" ", 1)[0] + " ..."


@transaction.atomic
def work_claim(
    *, bead: Bead, readings: Readings, base: str, commit: str, tree: str, summary: str, actor: str
) -> Claim:
    """Have the bead's workflow verify, review and merge a change that a person made.

    If something is wrong with it, an agent goes on with the files.
    """
    if bead.status != Bead.Status.OPEN:
        bead_reopen(bead=bead, reason=f"{actor} claims work on it.", actor=actor)
    run, work = bead_start(bead=bead, readings=readings)
    Session.objects.filter(pk=work.pk).update(base_commit=base, head_commit=commit)
    claim = claim_create(
        session=work, commit=commit, tree=tree, summary=summary or f"Made by {actor}.", origin_turn=0
    )
    Run.objects.filter(pk=run.pk).update(input={**run.input, "claim_id": claim.pk})
    return claim
