"""A person's draft becomes work: a bead whose change is verified, reviewed and merged like an agent's."""

from __future__ import annotations

from apps.agents.drafts import draft_drop, draft_of, draft_squash
from apps.agents.hub import Hub
from apps.agents.models import Claim
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import Conflict
from apps.projects.models import Project
from apps.workflows.dispatch import readings_of
from apps.workflows.work import title_of, work_claim


def draft_commit(
    *, hub: Hub, project: Project, person_id: int, message: str, author: str, actor: str, bead: Bead | None
) -> tuple[Bead, Claim]:
    """Commit the draft and claim it for a bead, a new one if none is named; the draft begins anew.

    Nothing reaches a branch by this: the merge queue lands what its checks and its review let pass.
    """
    draft = draft_of(hub, project, person_id)
    if draft is None or not hub.changed(draft.base, draft.commit):
        raise Conflict("There is nothing to commit.", hint="Change files with files/patch first.")
    commit = draft_squash(hub=hub, draft=draft, message=message, author=author)
    if bead is None:
        # Deferred, so that dispatch leaves it alone; the same draft again finds the bead made for it.
        bead = bead_create(
            project=project,
            title=title_of(message),
            description=message,
            paths=[one["path"] for one in draft.changed(hub)][:200],
            status=Bead.Status.DEFERRED,
            origin=f"draft:{person_id}:{draft.commit[:40]}",
            actor=actor,
        )
    tree, readings = hub.tree(commit), readings_of(bead)
    claim = work_claim(
        bead=bead,
        readings=readings,
        base=draft.base,
        commit=commit,
        tree=tree,
        summary=message,
        actor=actor,
    )
    draft_drop(hub, person_id)
    return bead, claim
