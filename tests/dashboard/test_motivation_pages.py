"""Motivations, made and changed on pages."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from apps.dashboard.forms_motivations import WORDS, MotivationForm
from apps.motivations.conditions import CONDITIONS
from apps.motivations.models import Motivation
from tests.dashboard.test_home import read
from tests.world import World, client_of

GIVEN = {
    "condition": "bead_completed",
    "name": "Try what is done",
    "description": "Beyond its own tests.",
    "cooldown_minutes": "30",
    "create_bead": "on",
    "title": "Try it",
    "instructions": "As its user would.",
    "acceptance": "It works.\n\nIt is quick.",
    "bead_type": "task",
    "priority": "1",
    "bead_labels": "trial manual",
    "bead_types": ["feature", "bug"],
    "labels": "api",
}


def test_every_condition_is_explained_and_has_its_form(reader: Client, world: World) -> None:
    assert WORDS.keys() == CONDITIONS.keys()
    page = read(reader, "/motivations/new/")
    for name, condition in CONDITIONS.items():
        assert f"?condition={name}" in page
        form = MotivationForm(condition=name, roles=[])
        assert {field.name for field in form.parameter_fields} == set(condition.takes), name
    assert 'name="cron"' in read(reader, "/motivations/new/?condition=scheduled_interval")


def test_a_motivation_is_made_changed_fired_and_removed(
    reader: Client, stranger: Client, world: World
) -> None:
    home = f"project-{world.project.pk}"
    made = reader.post(reverse("motivation-add"), {**GIVEN, "home": home}, follow=True)
    assert "Try what is done is on" in made.content.decode()
    row = Motivation.objects.get(name="Try what is done")
    assert (row.project_id, row.priority, row.cooldown_minutes) == (world.project.pk, 1, 30)
    assert row.parameters == {"bead_types": ["feature", "bug"], "labels": ["api"]}
    assert row.bead_template == {
        "type": "task", "title": "Try it", "description": "As its user would.",
        "acceptance": ["It works.", "It is quick."], "labels": ["trial", "manual"],
    }  # fmt: skip
    page = read(reader, reverse("motivation", args=[row.pk]))
    assert 'value="api"' in page
    assert "It is quick." in page
    saved = {**GIVEN, "name": "Try it all", "bead_types": [], "labels": ""}
    reader.post(reverse("motivation-save", args=[row.pk]), saved)
    row.refresh_from_db()
    assert (row.name, row.parameters) == ("Try it all", {})
    assert "Try it all" in fired(reader, row.pk)
    made_bead = row.triggers.get().bead
    assert made_bead is not None
    assert reverse("bead", args=[made_bead.key]) in read(reader, reverse("motivation", args=[row.pk]))
    for name in ("motivation", "motivation-save", "motivation-end"):
        address = reverse(name, args=[row.pk])
        assert (stranger.get if name == "motivation" else stranger.post)(address).status_code == 404
    assert reader.post(reverse("motivation-end", args=[row.pk])).status_code == 404, "administrators remove"
    admin = client_of(world, Role.ADMIN, "root")
    admin.post(reverse("motivation-end", args=[row.pk]))
    assert not Motivation.objects.filter(pk=row.pk).exists()


def fired(client: Client, pk: int) -> str:
    back = reverse("motivation", args=[pk])
    return client.post(reverse("motivation-trigger", args=[pk]), {"next": back}, follow=True).content.decode()


def test_errors_keep_what_was_typed(reader: Client, stranger: Client, world: World) -> None:
    home = f"organization-{world.organization.pk}"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"condition": "scheduled_interval"}, "has either minutes or a cron line"),
        ({"condition": "scheduled_interval", "cron": "at noon"}, "must be five fields"),
        ({"condition": "time_reached", "at": "soon"}, "must be a moment such as"),
        ({"condition": "cost_exceeded", "percent": "900"}, "must be a number from 0 to 100"),
        ({"create_bead": ""}, "else nothing follows"),
        ({"name": ""}, "This field is required"),
        ({"priority": "9"}, "not one of the available choices"),
    ]
    for wrong, said in cases:
        answer = reader.post(reverse("motivation-add"), {**GIVEN, "home": home, **wrong})
        page = answer.content.decode()
        assert (answer.status_code, said in page) == (400, True), (wrong, page[-3000:])
        assert "As its user would." in page
    assert reader.post(reverse("motivation-add"), {**GIVEN, "home": "project-0"}).status_code == 404
    assert stranger.post(reverse("motivation-add"), {**GIVEN, "home": home}).status_code == 404
    assert not Motivation.objects.filter(name=GIVEN["name"]).exists()
