"""The pages of the team: who does what, the org chart, personas with preview and history."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from apps.agents.models import Agent, Persona, PersonaVersion
from apps.agents.org_chart import chart_of
from apps.agents.persona_services import persona_edit, persona_text
from apps.beads.services import bead_create
from tests.dashboard.test_every_page import send
from tests.dashboard.test_home import read, words
from tests.world import World, client_of, work_on


def test_agents_show_what_they_do_and_what_waits_for_them(reader: Client, world: World) -> None:
    work_on(world, world.beads[0], doing="run_tests tests/test_store.py")
    bead_create(project=world.project, title="More", role="engineering-manager")
    page = words(read(reader, f"/agents/?project={world.project.pk}"))
    assert "1 working" in page
    assert "run_tests tests/test_store.py" in page
    assert "Store links, part 1" in page
    Agent.objects.filter(pk=world.agent.pk).update(retired_at="2026-01-01T00:00Z")
    assert "No agents yet" in read(reader, "/agents/")
    for nonsense in ("project=zz", "project=99999999999999999999", "page=zz"):
        read(reader, f"/agents/?{nonsense}")
    named = {"project": str(world.project.pk), "role": "engineering-manager", "name": "Grace"}
    assert "Grace joins" in send(reader, "agent-add", **named)
    assert "already" in send(reader, "agent-add", **named)


def test_agents_of_finished_projects_rest_and_are_not_forgotten(reader: Client, world: World) -> None:
    project = world.project
    type(project).objects.filter(pk=project.pk).update(status="closed")
    Agent.objects.filter(project=project).update(status=Agent.Status.IDLE)
    count = Agent.objects.filter(project=project, retired_at=None).count()
    page = read(reader, "/agents/")
    assert "No agents yet" not in page
    assert f'href="?project={project.pk}">{count} of {project.name}</a>' in page
    assert f"agent-{world.agent.pk}" in read(reader, f"/agents/?project={project.pk}")


def test_the_org_chart_is_shown_and_changed(reader: Client, world: World) -> None:
    project, page = world.project, reverse("team", args=[world.project.pk])
    work_on(world, world.beads[0])
    assert "default team" in read(reader, page)
    given = {"reports_to": "cto", "max_instances": "1", "persona_path": "", "required": "on"}
    assert "is changed" in send(reader, "position-set", project.pk, "engineering-manager", **given)
    shown = words(read(reader, f"{page}?edit=engineering-manager"))
    assert "1 of 1 at work" in shown
    assert "Back to the default team" in shown
    assert "themselves" in send(reader, "position-set", project.pk, "cto", reports_to="qa-engineer")
    assert "a number up to" in send(reader, "position-set", project.pk, "cto", max_instances="x")
    assert "taken off" in send(reader, "position-remove", project.pk, "cto")
    places = {place.role_name: place for place in chart_of(project).places}
    assert places["engineering-manager"].reports_to == "ceo"
    assert "is a required position" in send(reader, "position-remove", project.pk, "engineering-manager")
    assert "There is no persona" in send(reader, "position-add", project.pk, role="nobody")
    assert "has a place" in send(reader, "position-add", project.pk, role="cto", reports_to="ceo")
    assert "default team again" in send(reader, "team-reset", project.pk)
    assert not chart_of(project).is_kept


def test_a_persona_is_previewed_kept_as_ones_own_and_brought_back(
    reader: Client, stranger: Client, world: World
) -> None:
    admin, shipped = client_of(world, Role.ADMIN, "amy"), world.agent.persona
    persona_edit(
        persona=shipped,
        organization=world.organization,
        changes={"description": "Builds.", "body": "Build it."},
        author="ann",
    )
    own = Persona.objects.get(organization=world.organization)
    address = reverse("persona", args=[own.pk])
    assert "acme" in read(reader, address)
    assert stranger.get(address).status_code == 404
    text = persona_text(own)
    preview = reverse("persona-preview", args=[own.pk])
    told = reader.post(preview, {"skill_md": text.replace("Build it.", "**Now** <b>")}).content.decode()
    assert "<strong>Now</strong> &lt;b&gt;" in told
    bent = reader.post(preview, {"skill_md": text.replace("metadata:", "metadata:\n  autonomy: none")})
    assert "Line 5: autonomy must be one of" in bent.content.decode()
    save = reverse("persona-save", args=[own.pk])
    newest = PersonaVersion.objects.filter(persona=own).count()
    better = {"skill_md": text.replace("Build it.", "Build it well."), "newest": str(newest), "note": "Why"}
    assert "is kept" in words(admin.post(save, better, follow=True).content.decode())
    late = admin.post(save, {**better, "skill_md": text.replace("Build it.", "Kept text")})
    assert late.status_code == 409
    assert "while you were typing" in late.content.decode()
    assert "Kept text" in late.content.decode()
    wrong = admin.post(save, {"skill_md": "---\nname: x\n---\n", "newest": str(newest + 1)})
    assert wrong.status_code == 400
    assert "Build it well." in words(read(admin, f"{address}?version={newest + 1}"))
    brought = {"version": str(newest), "organization": world.organization.slug}
    assert "says again" in words(
        admin.post(reverse("persona-restore", args=[own.pk]), brought, follow=True).content.decode()
    )
    own.refresh_from_db()
    assert own.body == "Build it."
    cloned = {"name": "own/twin", "organization": world.organization.slug}
    clone = reverse("persona-clone", args=[own.pk])
    assert "begins as" in words(admin.post(clone, cloned, follow=True).content.decode())
    assert "already" in words(admin.post(clone, cloned, follow=True).content.decode())
    assert "is given up" in send(admin, "persona-remove", own.pk)
    assert not Persona.objects.filter(pk=own.pk).exists()
