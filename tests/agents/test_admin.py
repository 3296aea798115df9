"""Admin pages of personas, agents, sessions and what proves their work."""

from __future__ import annotations

from typing import ClassVar

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client

from apps.accounts.models import User
from apps.agents.models import (
    Agent,
    Claim,
    Evidence,
    MergeRequest,
    Message,
    Note,
    Persona,
    Review,
    Session,
    Trouble,
    Turn,
)
from apps.events.models import Event
from tests.admin_battery import AdminBattery, page, shown_rows, superuser, world
from tests.world import World, staff_build, world_build

__all__ = ["superuser", "world"]

EVERYTHING: list[type[Model]] = [
    Persona,
    Agent,
    Session,
    Turn,
    Claim,
    Evidence,
    Review,
    MergeRequest,
    Message,
    Note,
    Trouble,
]


class TestPages(AdminBattery):
    models: ClassVar[list[type[Model]]] = EVERYTHING
    history: ClassVar[list[type[Model]]] = EVERYTHING
    shared: ClassVar[list[type[Model]]] = [Persona]


@pytest.mark.django_db
def test_a_session_shows_its_turns(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    html = client.get(page(Session, "change", world.sessions[0].pk)).content.decode()
    assert "read_file" in html
    assert "$0.0123" in html
    assert "You build." in html


@pytest.mark.django_db
def test_output_of_checks_is_shown_as_text_never_as_markup(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    evidence = Evidence.objects.order_by("id")[0]
    Evidence.objects.filter(pk=evidence.pk).update(output="<script>alert(1)</script>")
    html = client.get(page(Evidence, "change", evidence.pk)).content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html


@pytest.mark.django_db
def test_personas_count_only_the_agents_one_may_see(client: Client, world: World) -> None:
    other = world_build("other", rows=0)
    Agent.objects.create(
        project=other.project, persona=other.agent.persona, name="Engineer 2", role=other.agent.role
    )
    counts = {}
    for user in (world.staff, staff_build(other.organization, "stranger")):
        client.force_login(user)
        (persona,) = shown_rows(client.get(page(Persona, "changelist")))
        counts[user.username] = persona.agent_count
    assert counts == {"acme-staff": 1, "stranger": 2}


def act(client: Client, name: str, *agents: Agent) -> str:
    """Run an action on agents; what the person is told."""
    data = {"action": name, "_selected_action": [agent.pk for agent in agents]}
    return client.post(page(Agent, "changelist"), data, follow=True).content.decode()


@pytest.mark.django_db
def test_agents_are_paused_resumed_and_stopped(client: Client, world: World) -> None:
    client.force_login(world.staff)
    Session.objects.update(status="ended")
    Agent.objects.update(status="idle")
    for name, wanted, told in (
        ("pause_agents", "paused", "1 paused"),
        ("resume_agents", "idle", "1 resumed"),
        ("resume_agents", "idle", "is idle, not paused"),
        ("stop_agents", "stopped", "1 stopped"),
        ("stop_agents", "stopped", "was stopped already"),
        ("resume_agents", "idle", "1 resumed"),
    ):
        assert told in act(client, name, world.agent)
        world.agent.refresh_from_db()
        assert world.agent.status == wanted
    actors = set(Event.objects.filter(kind="agent.status_change").values_list("actor", flat=True))
    assert actors == {world.staff.username}


@pytest.mark.django_db
def test_nobody_stops_the_agents_of_another_organization(client: Client, world: World) -> None:
    other = world_build("other", rows=0)
    client.force_login(staff_build(other.organization, "stranger"))
    act(client, "stop_agents", world.agent)
    world.agent.refresh_from_db()
    assert world.agent.status != "stopped"


@pytest.mark.django_db
def test_who_may_only_look_cannot_act(client: Client, world: World) -> None:
    world.staff.user_permissions.set(Permission.objects.filter(codename="view_agent"))
    client.force_login(world.staff)
    act(client, "pause_agents", world.agent)
    world.agent.refresh_from_db()
    assert world.agent.status != "paused"
