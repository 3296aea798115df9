"""The steps that nodes are made of: opening sessions on what was handed over, moving work onto main."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.hub import Hub
from apps.agents.models import Claim, MergeRequest, Persona, Review, Session
from apps.agents.places import hub_path
from apps.agents.seat import forget, seat_of
from apps.agents.services import Post, agents_acquire, personas_of
from apps.beads.models import Bead
from apps.beads.services import bead_stage
from apps.engine.flow import Handle, joins
from apps.workflows.beginnings import node_role
from apps.workflows.briefing import Part, Work, briefing_of, work_sessions
from apps.workflows.graph_library import pinned
from apps.workflows.sessions import review_session


def moment(*, after: float) -> str:
    """The moment so many seconds from now, as a step remembers it."""
    return (timezone.now() + timedelta(seconds=after)).isoformat()


def _staff(node: Any, bead: Bead) -> tuple[str, dict[str, Persona]]:
    """The role that works at a node, and the persona of it if it must be a certain one."""
    persona = Persona.objects.filter(name=node.persona).first() if node.persona else None
    role = node_role(node, bead, persona)
    return role, {role: persona} if persona is not None else personas_of({role})


@joins
def work_open(handle: Handle, bead_id: int, workflow: str, node: str, why: str) -> dict[str, Any]:
    """A session at a task node; it goes on with the files of whoever handed them on."""
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    at: Any = pinned(workflow).nodes[node]
    role, personas = _staff(at, bead)
    part = Part(at.instructions, why)
    briefing = briefing_of(bead.project, [bead], {bead.pk: part})
    with transaction.atomic():
        (agent,) = agents_acquire(project=bead.project, posts=[Post(role, bead)], personas=personas)
        works = [Work(bead, agent, origin=handle.key)]
        (session,) = work_sessions(project=bead.project, works=works, briefing=briefing)
        handle.finish({"session": session.pk})
    return {"session": session.pk}


@joins
def review_open(
    handle: Handle, claim_id: int, flags: list[dict[str, str]], workflow: str, node: str
) -> dict[str, Any]:
    claim = Claim.objects.select_related("bead__project", "session").get(pk=claim_id)
    at: Any = pinned(workflow).nodes[node]
    role, personas = _staff(at, claim.bead)
    hub = Hub(hub_path(claim.bead.project_id))
    diff = hub.diff(claim.session.base_commit, claim.commit)
    with transaction.atomic():
        session_id = review_session(
            claim_id=claim_id,
            origin=handle.key,
            diff=diff,
            flags=flags,
            role=role,
            personas=personas,
            instructions=at.instructions,
        )
        handle.finish({"session": session_id})
    return {"session": session_id}


def review_result(*, session_id: int) -> dict[str, Any]:
    review = Review.objects.select_related("session__agent").get(session_id=session_id)
    unmet = [
        f"- not met: {criterion['criterion']} {criterion.get('note', '')}".rstrip()
        for criterion in review.criteria
        if not criterion.get("met")
    ]
    return {
        "verdict": review.verdict,
        "comments": "\n".join([review.comments, *unmet]).strip(),
        "by": review.session.agent.name,
    }


def merge_turn(*, request_id: int) -> bool:
    """Whether it is this request's turn; then its bead is being merged."""
    request = MergeRequest.objects.select_related("bead__project").get(pk=request_id)
    if request.status != MergeRequest.Status.MERGING:
        return False
    bead_stage(bead=request.bead, stage=Bead.Stage.MERGING)
    return True


def put_on_main(handle: Handle, session_id: int, main: str, tree: str) -> dict[str, Any]:
    """Put the session's work on top of main: the merged tree in its worktree, main as its parent."""
    seat = seat_of(session_id)
    # What the session had stays reachable: a ref of its own for each time it is moved.
    seat.hub.set_ref(f"refs/loom/kept/{session_id}-{main[:12]}", seat.head)
    seat.workspace().reset_to(tree or seat.hub.merge(main, seat.head).tree, main)
    commit = seat.keep("on top of main")
    Session.objects.filter(pk=session_id).update(base_commit=main, head_commit=commit)
    forget(session_id)
    return {"commit": commit}
