"""Workflows are edited with their problems at the line; lessons are corrected; models are removed."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from apps.agents.lesson_models import Lesson
from apps.agents.persona_services import personas_sync
from apps.providers.models import Provider
from apps.providers.services import provider_create
from apps.workflows.graph_library import built_in
from apps.workflows.models import WorkflowDefinition
from apps.workflows.transfer import graph_yaml
from tests.dashboard.test_every_page import send
from tests.dashboard.test_home import read, words
from tests.world import World, client_of


@pytest.fixture
def story(db: None) -> str:
    personas_sync()
    return graph_yaml(built_in()["story"])


def test_a_workflow_is_edited_for_one_project(reader: Client, world: World, story: str) -> None:
    project = str(world.project.pk)
    editor, save = f"/workflows/story/edit/?project={project}", "/workflows/story/save/"
    assert "The same as what goes now" in read(reader, editor)
    sha = built_in()["story"].sha256
    changed = story.replace("timeout: 8h", "timeout: 9h")
    preview = reader.post("/workflows/story/preview/", {"yaml": changed, "project": project}).content.decode()
    assert "This works" in preview
    assert "+    timeout: 9h" in preview
    kept = reader.post(save, {"yaml": changed, "project": project, "sha": sha}, follow=True)
    assert "story is kept" in words(kept.content.decode())
    own = WorkflowDefinition.objects.get()
    assert (own.project, own.content["nodes"]["build"]["timeout"]) == (world.project, 9 * 3600)
    assert world.project.name in read(reader, "/workflows/story/")
    late = reader.post(save, {"yaml": story.replace("8h", "3h"), "project": project, "sha": sha})
    assert late.status_code == 409
    assert "timeout: 3h" in late.content.decode()
    assert reader.post("/workflows/story/remove/", {"project": project}).status_code == 404  # not their right
    admin = client_of(world, Role.ADMIN, "amy")
    assert admin.post("/workflows/story/remove/", {"project": project}).status_code == 302
    assert not WorkflowDefinition.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("from: build, to: verify", "from: build, to: verrify", "there is no node 'verrify'"),
        ("timeout: 2h", "role: nobody", "there is no role 'nobody'"),
        ("kind: merge", "kind: [", "this is not YAML"),
        ("timeout: 8h", "max_attempts: many", "max_attempts"),
    ],
)
def test_what_is_wrong_with_a_workflow_is_said_at_its_line(
    reader: Client, world: World, story: str, old: str, new: str, said: str
) -> None:
    text = story.replace(old, new)
    given = {"yaml": text, "project": str(world.project.pk), "sha": built_in()["story"].sha256}
    told = reader.post("/workflows/story/preview/", given)
    number = next(at for at, line in enumerate(text.splitlines(), 1) if new in line)
    assert said in words(told.content.decode()).replace("&#x27;", "'")
    found = [int(part.split('"')[0]) for part in told.content.decode().split('data-line="')[1:]]
    assert any(abs(number - line) <= 2 for line in found), (number, found)
    refused = reader.post("/workflows/story/save/", given)
    assert refused.status_code == 400
    assert new in refused.content.decode()
    assert not WorkflowDefinition.objects.exists()


def test_lessons_are_taught_corrected_and_put_aside(reader: Client, world: World) -> None:
    project, page = world.project.pk, reverse("lessons", args=[world.project.pk])
    assert "from their next session on" in send(reader, "lesson-add", project, text="Times are in UTC.")
    assert "has that lesson already" in send(reader, "lesson-add", project, text="Times are in UTC.")
    row = Lesson.objects.latest("pk")
    assert "is changed" in send(reader, "lesson-edit", row.pk, text="Times are in UTC everywhere.")
    assert "everywhere." in read(reader, f"{page}?edit={row.pk}")
    assert "never fades" in send(reader, "lesson-pin", row.pk)
    assert "put aside" in send(reader, "lesson-switch", row.pk)
    assert "everywhere." not in read(reader, page)
    assert "everywhere." in read(reader, f"{page}?state=aside&text=EVERYWHERE")
    assert "told again" in send(reader, "lesson-switch", row.pk)
    assert reader.post(reverse("lesson-remove", args=[row.pk])).status_code == 404
    assert "is deleted" in send(client_of(world, Role.ADMIN, "amy"), "lesson-remove", row.pk)


def test_a_model_can_be_removed_by_who_may(reader: Client, world: World) -> None:
    row = provider_create(
        name="near", organization_id=world.organization.pk, endpoint="http://x/v1", model="m"
    )
    remove = reverse("provider-remove", args=[row.pk])
    assert remove not in read(reader, "/models/")
    admin = client_of(world, Role.ADMIN, "amy")
    assert remove in read(admin, "/models/")
    assert "is removed" in send(admin, "provider-remove", row.pk)
    assert not Provider.objects.filter(name="near").exists()
