"""The kinds of events that clients of the API know, each with the keys its data must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from apps.agents.lifecycle import agent_watch
from apps.agents.models import Agent, Session
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_close, bead_create, bead_reopen, bead_resume, beads_activate
from apps.core.errors import BadInput
from apps.decisions.services import decision_decide
from apps.events.log import log_message
from apps.events.models import Event
from apps.projects.services import project_close, project_create, project_delete, project_reopen
from apps.providers import flows
from apps.providers.services import provider_create, provider_delete, provider_update
from apps.workflows.system_flows import agent_add, agent_tell, heartbeat, lives_start
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

Open = Callable[..., Studio]

PROVIDER = {"provider_id", "name", "endpoint", "model"}
# The README of the original promises the first ten; its other kinds follow where their subject exists.
KINDS = {
    "agent.spawned": {"agent_id", "name", "persona_name", "role", "status"},
    "agent.status_change": {"agent_id", "old_status", "new_status", "provider_id", "current_bead"},
    "agent.completed": {"agent_id", "reason"},
    "bead.created": {"bead_id", "title", "type", "priority", "assigned_to"},
    "bead.assigned": {"bead_id", "assigned_to"},
    "bead.status_change": {"bead_id", "status"},
    "bead.completed": {"bead_id"},
    "decision.created": {"decision_id", "question", "requester_id"},
    "decision.resolved": {"decision_id", "decision", "decider_id"},
    "log.message": {"level", "message"},
    "agent.heartbeat": {"agent_id", "provider_id"},
    "agent.reset": {"agent_id", "project_id", "reason"},
    "provider.registered": PROVIDER,
    "provider.updated": {"provider_id", "name", "model", "status"},
    "provider.deleted": {"provider_id"},
    "project.created": {"project_id", "name"},
    "project.updated": {"project_id", "name"},
    "project.deleted": {"project_id"},
    "workflow.started": set(),
    "workflow.completed": set(),
    "loom.heartbeat": {"projects", "agents", "runs", "queue_depth", "oldest_waiting_seconds"},
}


def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    if kind == "review":
        return APPROVE
    if title == "Ask" and replies(messages) == 0:
        lives_start()
        return [("ask_question", {"question": "Which color shall it have?"})]
    return [write(f"{title}.txt", "x\n"), done()]


def live(studio: Studio) -> None:
    """A little of everything that can happen in an installation."""
    bead, asking = studio.bead("Work"), studio.bead("Ask")
    studio.run()
    decision_decide(decision=studio.open_question(), choice="Blue", decider="ann")
    studio.run()
    assert {studio.refreshed(one).status for one in (bead, asking)} == {Bead.Status.CLOSED}
    agent = agent_add(project=studio.project, role="qa-engineer", actor="ann")
    Agent.objects.filter(pk=agent.pk).update(status="working")
    with transaction.atomic():
        agent_watch(agent_id=agent.pk)
    agent_tell(agent_id=agent.pk, command="stop", actor="ann")
    provider = provider_create(
        name="other", organization_id=None, endpoint=studio.server.url, model="script", key="k"
    )
    flows.heartbeats_start()
    studio.run()
    provider_update(provider_id=provider.pk, quality=70)
    provider_delete(provider_id=provider.pk)
    other = project_create(organization=studio.organization, name="Other")
    project_close(project=other, reason="Not wanted.")
    project_delete(project=other, confirm=other.slug)
    log_message("info", "All is well.", project_id=studio.project.pk)
    heartbeat()
    studio.run()


def test_each_kind_is_told_and_has_its_keys(open_studio: Open) -> None:
    live(open_studio(model))
    _ids_are_those_of_the_rows()
    told: dict[str, list[Event]] = {kind: list(Event.objects.filter(kind=kind)) for kind in KINDS}
    assert {kind for kind, events in told.items() if not events} == set(), "kinds that nobody told"
    missing = {
        (event.kind, key)
        for kind, keys in KINDS.items()
        for event in told[kind]
        for key in keys - event.data.keys()
    }
    assert missing == set()


def _ids_are_those_of_the_rows() -> None:
    beads = dict(Bead.objects.values_list("pk", "key"))
    for event in Event.objects.filter(kind__startswith="bead."):
        assert event.data["bead_id"] == beads[event.bead_id or 0]
    sessions = Session.objects.filter(kind="work").values_list("agent_id", flat=True)
    assert set(sessions) <= {event.data["agent_id"] for event in Event.objects.filter(kind="agent.spawned")}
    assert all(event.organization_id for event in Event.objects.filter(kind__startswith="agent."))


def test_every_change_of_a_status_is_told_in_order_with_its_reason(open_studio: Open) -> None:
    studio = open_studio(model)
    project = project_create(organization=studio.organization, name="Links")
    bead = bead_create(project=project, title="Add", status=Bead.Status.DEFERRED, role="nobody")
    project_close(project=project, reason="So that nobody works on it.")
    beads_activate(project=project)
    bead_block(bead=bead, reason="Ann must say.")
    bead_block(bead=bead, reason="Said twice.")
    bead_resume(bead=bead)
    bead_close(bead=bead, reason="Done.")
    bead_close(bead=bead, reason="Done again.")
    bead_reopen(bead=bead, reason="Not quite.")
    project_reopen(project=project)
    changes = Event.objects.filter(bead_id=bead.pk, kind="bead.status_change").order_by("id")
    assert [(one.data["status"], one.data.get("reason")) for one in changes][:5] == [
        ("open", None),
        ("blocked", "Ann must say."),
        ("in_progress", None),
        ("closed", "Done."),
        ("open", "Not quite."),
    ]
    assert Event.objects.filter(bead_id=bead.pk, kind="bead.completed").count() == 1


def test_what_is_logged_has_a_level_that_exists(open_studio: Open) -> None:
    open_studio(model)
    with pytest.raises(BadInput, match="'loud' is no level"):
        log_message("loud", "Hello")
    assert not Event.objects.filter(kind="log.message").exists()
