"""Admin pages of personas, agents, sessions and what proves their work."""

from __future__ import annotations

from typing import ClassVar

import pytest
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
    Turn,
)
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
