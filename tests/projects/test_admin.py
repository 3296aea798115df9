"""Admin pages of projects."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import Organization, User
from apps.events.models import Event
from apps.projects.models import Project
from tests.admin_pages import page, superuser, world
from tests.world import World, world_build

__all__ = ["superuser", "world"]

SETTINGS = {
    "name": "acme links",
    "approval": "auto",
    "max_sessions": "4",
    "checks": "[]",
    "initial-checks": "[]",
    "out_dir": "",
}


@pytest.mark.django_db
def test_a_new_project_gets_its_prefix_and_requirements(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    fields = {
        "organization": world.organization.pk,
        "name": "Short Links",
        "prd": "# Short links\n\n- `add` stores a link.\n",
        "approval": "ask",
        "max_sessions": "2",
    }
    assert client.post(page(Project, "add"), fields).status_code == 302
    project = Project.objects.get(name="Short Links")
    assert (project.bead_prefix, project.approval, project.max_sessions) == ("sl", "ask", 2)
    assert project.requirements.count() == 1
    assert Event.objects.filter(kind="project.created", project_id=project.pk, actor="root").exists()


@pytest.mark.django_db
def test_a_changed_setting_is_written_and_told(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    address = page(Project, "change", world.project.pk)
    assert client.post(address, {**SETTINGS, "max_sessions": "9"}).status_code == 302
    world.project.refresh_from_db()
    assert world.project.max_sessions == 9
    told = Event.objects.get(kind="project.updated")
    assert (told.data["fields"], told.actor) == (["max_sessions"], "root")


@pytest.mark.django_db
def test_status_and_prefix_cannot_be_edited(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    before = Project.objects.values("status", "bead_prefix", "organization_id").get()
    other = Organization.objects.create(name="other", slug="other")
    address = page(Project, "change", world.project.pk)
    client.post(address, {**SETTINGS, "status": "closed", "bead_prefix": "zz", "organization": other.pk})
    assert Project.objects.values("status", "bead_prefix", "organization_id").get() == before


@pytest.mark.django_db
def test_projects_are_closed_and_reopened(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    for action, status in (("close_projects", "closed"), ("reopen_projects", "reopened")):
        given = {"action": action, "_selected_action": world.project.pk, "sure": "yes"}
        client.post(page(Project, "changelist"), given)
        world.project.refresh_from_db()
        assert world.project.status == status


@pytest.mark.django_db
def test_staff_cannot_put_a_project_into_another_organization(client: Client, world: World) -> None:
    other = world_build("other", rows=0)
    client.force_login(world.staff)
    fields = {"organization": other.organization.pk, "name": "Mine", "approval": "auto", "max_sessions": "2"}
    response = client.post(page(Project, "add"), fields)
    assert "Select a valid choice" in response.content.decode()
    assert not Project.objects.filter(name="Mine").exists()
