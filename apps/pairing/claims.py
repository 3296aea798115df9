"""What a person and an agent made together, claimed: from there on it goes the way of all work."""

from __future__ import annotations

from django.db import transaction

from apps.agents.hub import Hub
from apps.agents.models import Claim, Session
from apps.agents.places import hub_path
from apps.agents.services import session_end
from apps.agents.story import HANDED_ON
from apps.beads.models import Bead
from apps.core.errors import Conflict
from apps.pairing.models import Exchange
from apps.workflows.dispatch import readings_of
from apps.workflows.work import work_claim


def conversation_claim(*, session: Session, summary: str, actor: str) -> Claim:
    """Have the bead's workflow verify, review and merge what the conversation's worktree holds.

    The conversation ends; if something is wrong with the change, an agent goes on with the files.
    """
    bead = Bead.objects.select_related("project__organization").get(pk=session.bead_id or 0)
    _check(session, bead)
    hub = Hub(hub_path(bead.project_id))
    commit = session.head_commit
    if not hub.changed(session.base_commit, commit):
        raise Conflict("Nothing was changed in this conversation.")
    tree, readings = hub.tree(commit), readings_of(bead)
    with transaction.atomic():
        held = Session.objects.select_for_update(no_key=True, of=("self",))
        session = held.select_related("project", "agent").get(pk=session.pk)
        _check(session, bead)
        if session.head_commit != commit:
            raise Conflict("What it holds was changed at this moment.", hint="Look at it, and try again.")
        session_end(session=session, reason=HANDED_ON, detail=f"Claimed by {actor}.")
        return work_claim(
            bead=bead,
            readings=readings,
            base=session.base_commit,
            commit=commit,
            tree=tree,
            summary=summary or f"Made with {actor}.",
            actor=actor,
        )


def _check(session: Session, bead: Bead) -> None:
    if session.kind != Session.Kind.PAIR or session.status != Session.Status.OPEN:
        raise Conflict("This conversation has ended.")
    if session.exchanges.filter(status=Exchange.Status.ANSWERING).exists():
        raise Conflict("The agent is still answering.", hint="Wait for the answer, or stop it first.")
    if not session.head_commit:
        raise Conflict("Nothing was changed in this conversation.")
    is_ready = Bead.objects.ready().filter(pk=bead.pk).exists()
    if not is_ready and bead.status not in {Bead.Status.BLOCKED, Bead.Status.DEFERRED}:
        raise Conflict(
            f"{bead.key} is {bead.status} or waits for others, so nothing can be claimed for it.",
            hint="Wait until the work under way has ended, or reopen the bead.",
        )
