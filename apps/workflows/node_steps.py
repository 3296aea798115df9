"""The steps that nodes are made of: opening sessions on what was handed over, moving work onto main."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.acceptance import flags_diff
from apps.agents.hub import Hub
from apps.agents.letters import letters_unheard
from apps.agents.matching import roles_for
from apps.agents.merging import WAITING, merge_leave
from apps.agents.models import Claim, MergeRequest, Persona, Review, Session
from apps.agents.places import hub_path
from apps.agents.seat import forget, seat_of
from apps.agents.secrets import secrets_learn
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
    team = Persona.objects.for_organization(bead.project.organization_id)
    persona = team.filter(name=node.persona).first() if node.persona else None
    own = roles_for([bead], bead.project.organization_id)[bead.pk]
    role = node_role(node, own, persona)
    return role, {role: persona} if persona is not None else personas_of({role}, bead.project)


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
    base = claim.session.base_commit
    secrets_learn(claim.bead.project_id, base, claim.commit)
    diff = hub.diff(base, claim.commit)
    flagged = flags_diff(hub, claim, flags)
    with transaction.atomic():
        session_id = review_session(
            claim_id=claim_id,
            origin=handle.key,
            diff=diff,
            flags=flags,
            flagged=flagged,
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


def merge_turn(*, request_id: int) -> dict[str, Any]:
    """{"status"} of a place in the queue, and what came of it if others merged it with their own.

    The place is left, with {"unheard": true}, if people commented on the change meanwhile. One that is part
    of another's batch waits for its turn first: the batch may be on main.
    """
    request = MergeRequest.objects.select_related("bead__project").get(pk=request_id)
    if request.status in WAITING and not request.tip and letters_unheard(request.bead_id):
        return {**merge_leave(request_id=request_id, status=MergeRequest.Status.CANCELED), "unheard": True}
    if request.status == MergeRequest.Status.MERGING:
        bead_stage(bead=request.bead, stage=Bead.Stage.MERGING)
    return {**request.outcome, "status": request.status}


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
