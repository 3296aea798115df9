"""Admin pages of personas, agents, sessions and what proves their work."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client

from apps.accounts.models import User
from apps.agents.lesson_models import Lesson
from apps.agents.models import (
    Agent,
    Claim,
    Evidence,
    MergeRequest,
    Message,
    Persona,
    Review,
    Session,
    Trouble,
    Turn,
)
from apps.events.models import Event
from tests.admin_pages import page, shown_rows, superuser, world
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
    Lesson,
    Trouble,
]


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


@pytest.mark.django_db
def test_a_persona_is_edited_and_brought_back_on_its_page(client: Client, world: World) -> None:
    client.force_login(world.staff)
    shipped = world.agent.persona
    address = page(Persona, "edit", shipped.pk)
    form = client.get(address).context["form"]
    text = f"---\nname: {shipped.name.rpartition('/')[2]}\ndescription: Builds links.\n---\nBuild twice.\n"
    said = {"organization": world.organization.pk, "name": shipped.name, "skill_md": text, "note": "Better."}
    assert form.initial["organization"] == world.organization.pk
    wrong = client.post(address, {**said, "skill_md": text.replace("---\nBuild", "Build")})
    assert "Line " in str(wrong.context["form"].errors)
    own = Persona.objects.get(pk=client.post(address, said).headers["Location"].split("/")[-3])
    assert (own.organization, own.body, own.role) == (world.organization, "Build twice.", shipped.role)
    assert [(row.author, row.note) for row in own.versions.all()] == [
        (str(world.staff), "Better."), ("loom", "As shipped."),
    ]  # fmt: skip
    html = client.get(page(Persona, "change", own.pk)).content.decode()
    assert "+Build twice." in html
    back = client.get(page(Persona, "edit", own.pk) + "?version=1").context["form"].initial
    assert back["note"] == "Version 1 again."
    assert shipped.body in back["skill_md"]


@pytest.mark.django_db
def test_nobody_sees_or_edits_the_personas_of_others(client: Client, world: World) -> None:
    other = world_build("other", rows=0)
    own = Persona.objects.create(
        name="own/secret", organization=other.organization, role="spy", description="Spies.", body="Spy."
    )
    client.force_login(world.staff)
    assert own not in shown_rows(client.get(page(Persona, "changelist")))
    for kind in ("change", "edit"):
        assert client.get(page(Persona, kind, own.pk)).status_code in {302, 404}
    said = {"organization": other.organization.pk, "name": "own/x", "skill_md": "x"}
    answer = client.post(page(Persona, "edit", world.agent.persona.pk), said)
    assert "organization" in answer.context["form"].errors
    reader = staff_build(world.organization, "reader")
    reader.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(reader)
    assert client.get(page(Persona, "edit", world.agent.persona.pk)).status_code == 404
