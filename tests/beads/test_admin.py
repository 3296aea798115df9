"""Admin pages of beads, and the export started from a project."""

from __future__ import annotations

import json
from pathlib import Path

import django_rq
import pytest
from django.conf import settings
from django.test import Client
from rq import SimpleWorker

from apps.accounts.models import User
from apps.beads.models import Bead
from apps.beads.services import bead_claim
from apps.core.broker import BrokerKeeper, is_external
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from tests.admin_pages import page, superuser, world
from tests.world import World, world_build

__all__ = ["superuser", "world"]


@pytest.mark.django_db
def test_a_bead_shows_what_proves_it_and_what_it_waits_for(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    html = client.get(page(Bead, "change", world.beads[1].pk)).content.decode()
    for heading in ("waits for", "waited for by", "claims", "evidence", "reviews", "sessions", "decisions"):
        assert heading in html.lower()
    assert str(world.beads[0]) in html
    assert "unit tests" in html


@pytest.mark.django_db
def test_a_new_bead_is_made_by_the_service(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    fields = {
        "project": world.project.pk,
        "title": "Export links",
        "type": "feature",
        "acceptance": "It writes CSV.\n\n It quotes commas.",
        "priority": "1",
        "role": "engineering-manager",
        "labels": "export",
    }
    assert client.post(page(Bead, "add"), fields).status_code == 302
    bead = Bead.objects.get(title="Export links")
    assert bead.key == f"{world.project.bead_prefix}-3"
    assert bead.acceptance == ["It writes CSV.", "It quotes commas."]
    assert Event.objects.filter(kind="bead.ready", bead_id=bead.pk).exists()


@pytest.mark.django_db
def test_a_parent_of_another_project_is_refused(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    other = world_build("other", rows=1)
    fields = {
        "project": world.project.pk,
        "title": "Lost",
        "type": "task",
        "priority": "2",
        "parent": other.beads[0].pk,
    }
    assert "belongs to another project" in client.post(page(Bead, "add"), fields).content.decode()
    assert not Bead.objects.filter(title="Lost").exists()


@pytest.mark.django_db
def test_an_edited_bead_keeps_its_status_and_tells_what_changed(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    bead = world.beads[0]
    response = client.get(page(Bead, "change", bead.pk))
    fields = {
        "title": bead.title,
        "type": bead.type,
        "description": "More words.",
        "acceptance": "It stores.\nIt lists.",
        "priority": "2",
        "role": bead.role,
        "labels": "",
        "status": "closed",
    }
    for formset in response.context["inline_admin_formsets"]:
        form = formset.formset.management_form
        fields |= {form.add_prefix(name): str(form[name].value()) for name in form.fields}
        fields |= {
            f"{formset.formset.prefix}-{i}-id": str(f.instance.pk) for i, f in enumerate(formset.formset)
        }
    assert client.post(page(Bead, "change", bead.pk), fields).status_code == 302
    bead.refresh_from_db()
    assert (bead.description, bead.status) == ("More words.", "open")
    assert Event.objects.get(kind="bead.updated").data["fields"] == ["description"]


@pytest.mark.django_db
def test_beads_are_closed_with_a_reason_and_reopened(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    bead = world.beads[0]
    chosen = {"_selected_action": bead.pk, "reason": "Not needed any more.", "sure": "yes"}
    client.post(page(Bead, "changelist"), {"action": "close_beads", **chosen})
    bead.refresh_from_db()
    assert (bead.status, bead.close_reason) == ("closed", "Not needed any more.")
    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.CANCELED)
    client.post(page(Bead, "changelist"), {"action": "reopen_beads", **chosen})
    bead.refresh_from_db()
    assert (bead.status, bead.close_reason) == ("open", "")


@pytest.mark.django_db
def test_a_bead_at_work_is_not_closed_under_the_agents_hands(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    bead_claim(bead=world.beads[0], agent="Engineer")
    response = client.post(
        page(Bead, "changelist"),
        {"action": "close_beads", "_selected_action": world.beads[0].pk, "sure": "yes"},
        follow=True,
    )
    assert "is being worked on. Cancel its run first." in response.content.decode()
    assert Bead.objects.get(pk=world.beads[0].pk).status == "in_progress"


def export(client: Client, project: Project) -> str:
    response = client.post(
        page(Project, "changelist"), {"action": "export_beads", "_selected_action": project.pk}, follow=True
    )
    return response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_export_of_a_project_runs_as_a_job_that_can_be_watched(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    queue = django_rq.get_queue("default")
    queue.connection.delete(queue.key)
    assert "Exports under way: 1" in export(client, world.project)
    assert client.get("/queues/").status_code == 200
    (job,) = queue.jobs
    SimpleWorker([queue], connection=queue.connection).work(burst=True)
    result = job.return_value()
    assert isinstance(result, str)
    count, _, path = result.partition(" beads in ")
    assert count == "2"
    assert Path(path).parent == Path(settings.LOOM_DATA_DIR) / "exports"
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [line["id"] for line in lines] == [bead.key for bead in world.beads]


@pytest.mark.skipif(is_external(), reason="the broker of others is not stopped")
@pytest.mark.django_db(transaction=True)
def test_an_unreachable_queue_is_said_and_not_a_crash(
    client: Client, world: World, superuser: User, broker: BrokerKeeper
) -> None:
    client.force_login(superuser)
    broker.stop()
    try:
        assert "cannot be reached; nothing was exported" in export(client, world.project)
    finally:
        broker.ensure()


@pytest.mark.django_db(transaction=True)
def test_staff_cannot_export_the_project_of_another_organization(client: Client, world: World) -> None:
    other = world_build("other", rows=1)
    client.force_login(world.staff)
    queue = django_rq.get_queue("default")
    queue.connection.delete(queue.key)
    export(client, other.project)
    assert queue.count == 0
