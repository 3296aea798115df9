"""A turn in the merge queue that takes long."""

from __future__ import annotations

from django.db import transaction

from apps.agents.merging import merge_leave
from apps.agents.models import Agent, Claim, MergeRequest, Persona, Session
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.engine.models import Run
from tests.workflows.studio import Studio


def queue_held(studio: Studio) -> MergeRequest:
    """Somebody's turn that takes long: all others wait behind it."""
    bead = bead_create(project=studio.project, title="Slow", status=Bead.Status.DEFERRED)
    persona = Persona.objects.get(name="default/engineering-manager")
    agent = Agent.objects.create(project=studio.project, persona=persona, name="Slow", role=persona.role)
    session = Session.objects.create(project=studio.project, bead=bead, agent=agent, kind="work", origin="x")
    claim = Claim.objects.create(session=session, bead=bead, number=1, commit="c" * 40, tree="d" * 40)
    run = Run.objects.create(key="slow", flow="bead.work", status=Run.Status.CANCELED)
    return MergeRequest.objects.create(
        project=studio.project, bead=bead, claim=claim, run_id=run.pk, status=MergeRequest.Status.MERGING
    )


def queue_release(held: MergeRequest) -> None:
    """The turn is over; who waits longest has the next one."""
    with transaction.atomic():
        merge_leave(request_id=held.pk, status=MergeRequest.Status.CANCELED)
