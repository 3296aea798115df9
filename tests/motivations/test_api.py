"""Motivations over HTTP: shapes, refusals, tenants and roles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.agents.models import Agent, Persona
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.events.models import Event
from apps.motivations.evaluation import tick
from apps.motivations.models import Motivation
from apps.projects.models import Project
from apps.projects.services import project_create

Make = Callable[..., Motivation]
BASE = "/api/v1/motivations"
KEYS = {
    "id", "name", "description", "type", "condition", "status", "agent_role", "agent_id", "project_id",
    "parameters", "cooldown_minutes", "last_triggered_at", "next_trigger_at", "trigger_count", "priority",
    "create_bead",
    "bead_template", "wake_agent", "is_built_in", "created_at", "updated_at",
}  # fmt: skip


def client_of(organization: Any, role: str = Role.ADMIN) -> APIClient:
    user = User.objects.create_user(username=f"{organization.slug}-{role}")
    membership_set(user=user, organization=organization, role=role)
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def api(project: Project) -> APIClient:
    return client_of(project.organization)


def body_of(project: Project, **fields: Any) -> dict[str, Any]:
    return {
        "name": "Sweep", "type": "calendar", "condition": "scheduled_interval", "parameters": {"minutes": 60},
        "project_id": project.pk, "create_bead": True, **fields,
    }  # fmt: skip


def test_from_making_one_to_deleting_it(api: APIClient, project: Project) -> None:
    made = api.post(BASE, body_of(project, agent_role="cto", priority=1), format="json")
    assert made.status_code == 201
    assert set(made.data) == KEYS
    assert (made.data["status"], made.data["cooldown_minutes"], made.data["trigger_count"]) == (
        "active",
        5,
        0,
    )
    assert made.data["next_trigger_at"] is not None
    one = f"{BASE}/{made.data['id']}"

    changed = api.patch(
        one, {"create_bead": False, "wake_agent": True, "cooldown_minutes": 7}, format="json"
    ).data
    assert (changed["create_bead"], changed["wake_agent"], changed["cooldown_minutes"]) == (False, True, 7)
    off = api.put(one, {"enabled": False, "description": "Later."}, format="json").data
    assert (off["status"], off["description"], off["next_trigger_at"]) == ("disabled", "Later.", None)
    assert api.post(f"{one}/trigger").status_code == 409
    assert api.post(f"{one}/enable").data["status"] == "active"
    assert api.post(f"{one}/disable").data["status"] == "disabled"
    api.post(f"{one}/enable")

    fired = api.post(f"{one}/trigger", {"why": "now"}, format="json")
    assert fired.status_code == 200
    bead = Bead.objects.get()
    assert (fired.data["result"], fired.data["bead_created"]) == ("agent_woken", bead.key)
    assert fired.data["trigger_data"] == {"about": {"why": "now"}}
    assert api.post(f"{one}/trigger").data["result"] == "already_open"
    assert api.get(one).data["trigger_count"] == 2
    history = api.get(f"{BASE}/history", {"limit": 1}).data
    assert (history["count"], history["history"][0]["motivation_name"]) == (1, "Sweep")
    assert api.get(f"{BASE}/history").data["count"] == 2

    assert api.delete(one).data == {"status": "deleted"}
    assert api.get(one).status_code == 404
    assert api.delete(one).status_code == 404


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "name is required"), ({"condition": "fly"}, "no condition 'fly'"),
        ({"type": "event"}, "is of type calendar"), ({"priority": 5}, "from 0 to 4"),
        ({"priority": "1"}, "whole number"), ({"cooldown_minutes": -1}, "whole number"),
        ({"cooldown_minutes": 10**9}, "whole number"), ({"create_bead": "yes"}, "true or false"),
        ({"name": "x" * 161}, "1 to 160"), ({"name": 5}, "1 to 160"),
        ({"bead_template": []}, "JSON object"), ({"bead_template": {"titel": "x"}}, "no key 'titel'"),
        ({"bead_template": {"acceptance": "x"}}, "a list of texts"),
        ({"bead_template": {"title": ["x"]}}, "a text"),
        ({"bead_template": {"type": "epic"}}, "no type of bead"),
        ({"parameters": {"minutes": "5"}}, "a number"),
        ({"parameters": []}, "JSON object"), ({"description": 5}, "must be a text"),
        ({"agent_role": []}, "agent_role must be"), ({"agent_role": {"a": 1}}, "agent_role must be"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_reason(
    api: APIClient, project: Project, fields: dict[str, Any], says: str
) -> None:
    answer = api.post(BASE, body_of(project, **fields), format="json")
    assert answer.status_code == 400
    assert says in answer.data["error"]
    assert not Motivation.objects.exists()


def test_names_are_given_once_in_a_project(api: APIClient, project: Project) -> None:
    assert api.post(BASE, body_of(project), format="json").status_code == 201
    again = api.post(BASE, body_of(project), format="json")
    assert (again.status_code, again.data["code"]) == (409, "conflict")
    other = api.post(BASE, body_of(project, name="Other"), format="json").data["id"]
    assert api.patch(f"{BASE}/{other}", {"name": "Sweep"}, format="json").status_code == 409
    whole = body_of(project, project_id=None)
    assert [api.post(BASE, whole, format="json").status_code for _ in range(2)] == [201, 409]


def test_lists_are_filtered_and_paged(api: APIClient, project: Project, make: Make) -> None:
    make("system_idle", agent_role="ceo")
    make("bead_completed", agent_role="cto", is_built_in=True)
    off = make("month_boundary", agent_role="cto")
    api.post(f"{BASE}/{off.pk}/disable")
    for query, count in (
        ({}, 3), ({"type": "idle"}, 1), ({"agent_role": "cto"}, 2), ({"project_id": project.pk}, 3),
        ({"project_id": project.pk + 1}, 0), ({"active": "true"}, 2), ({"active": "false"}, 1),
        ({"built_in": "true"}, 1), ({"built_in": "false"}, 2),
    ):  # fmt: skip
        answer = api.get(BASE, query)
        assert (answer.data["count"], len(answer.data["motivations"])) == (count, count), query
    page = api.get(BASE, {"limit": 2})
    assert (page.data["count"], len(page.data["motivations"]), page["X-Total-Count"]) == (3, 2, "3")
    assert api.get(BASE, {"active": "maybe"}).status_code == 400
    assert api.get(BASE, {"project_id": "x"}).status_code == 400
    roles = api.get(f"{BASE}/roles").data
    assert roles["roles"] == ["ceo", "cto"]
    assert [one["name"] for one in roles["motivations"]["cto"]] == ["bead_completed", "month_boundary"]


def test_built_in_ones_are_registered_once_and_not_deleted(api: APIClient, project: Project) -> None:
    first = api.post(f"{BASE}/defaults", {"project_id": project.pk}, format="json")
    assert first.data == {"status": "registered", "count": 33}
    assert api.post(f"{BASE}/defaults").data["count"] == 0
    one = Motivation.objects.all()[0].pk
    assert api.delete(f"{BASE}/{one}").status_code == 403
    assert api.patch(f"{BASE}/{one}", {"cooldown_minutes": 99}, format="json").data["cooldown_minutes"] == 99


def test_how_idle_the_house_is(api: APIClient, project: Project) -> None:
    persona = Persona.objects.create(name="default/cto", role="cto", body="x")
    busy = Agent.objects.create(project=project, persona=persona, name="Ann", role="cto", status="working")
    Agent.objects.create(project=project, persona=persona, name="Bob", role="cto", status="paused")
    bead_create(project=project, title="Turn")
    found = api.get(f"{BASE}/idle").data
    assert (found["is_system_idle"], found["working_agents"], found["paused_agents"]) == (False, 1, 1)
    assert (found["total_agents"], found["open_beads"], found["in_progress_beads"]) == (2, 1, 0)
    assert found["idle_projects"] == []
    before = timezone.now() - timedelta(hours=1)
    Agent.objects.filter(pk=busy.pk).update(status="idle", last_active_at=before)
    Project.objects.update(created_at=before)
    found = api.get(f"{BASE}/idle").data
    assert (found["is_system_idle"], found["idle_projects"]) == (True, [project.pk])
    assert found["system_idle_period"] >= 3600


def test_what_happens_outside_comes_in_as_an_event(api: APIClient, project: Project, make: Make) -> None:
    make("release_published", bead_template={"title": "Tell of {tag}"})
    told = api.post(
        f"{BASE}/external",
        {"kind": "external.release", "project_id": project.pk, "data": {"tag": "v2"}},
        format="json",
    )
    assert told.status_code == 201
    assert Event.objects.get(pk=told.data["event_id"]).data["tag"] == "v2"
    assert tick() == 1
    assert Bead.objects.get().title == "Tell of v2"
    for body in ({"kind": "bead.closed"}, {"kind": "external.release", "data": []}, {}):
        assert api.post(f"{BASE}/external", body, format="json").status_code == 400
    forged = {"kind": "external.release", "data": {"organization_id": 1}}
    assert api.post(f"{BASE}/external", forged, format="json").status_code == 400


def test_other_tenants_see_and_move_nothing(api: APIClient, project: Project, make: Make) -> None:
    motivation = make("scheduled_interval", parameters={"minutes": 60})
    api.post(f"{BASE}/{motivation.pk}/trigger")
    other = organization_ensure(name="Other")
    stranger, theirs = client_of(other), project_create(organization=other, name="Theirs")
    assert stranger.get(BASE).data == {"motivations": [], "count": 0}
    assert stranger.get(f"{BASE}/history").data["count"] == 0
    assert stranger.get(f"{BASE}/roles").data["roles"] == []
    assert stranger.get(f"{BASE}/idle").data["total_beads"] == 0
    one = f"{BASE}/{motivation.pk}"
    for method, path in (
        ("get", one), ("patch", one), ("put", one), ("delete", one), ("post", f"{one}/enable"),
        ("post", f"{one}/disable"), ("post", f"{one}/trigger"),
    ):  # fmt: skip
        assert getattr(stranger, method)(path, {}, format="json").status_code == 404, path
    assert stranger.post(BASE, body_of(project), format="json").status_code == 404
    assert stranger.post(f"{BASE}/defaults", {"project_id": project.pk}, format="json").status_code == 404
    outside = {"kind": "external.release", "project_id": project.pk}
    assert stranger.post(f"{BASE}/external", outside, format="json").status_code == 404
    persona = Persona.objects.create(name="default/cto", role="cto", body="x")
    agent = Agent.objects.create(project=project, persona=persona, name="Ann", role="cto")
    stolen = body_of(theirs, agent_id=agent.pk)
    assert stranger.post(BASE, stolen, format="json").status_code == 404
    sister = project_create(organization=project.organization, name="Sister")
    assert api.post(BASE, body_of(sister, agent_id=agent.pk), format="json").status_code == 400


def test_roles_may_what_the_matrix_says(project: Project, make: Make) -> None:
    motivation = make("scheduled_interval", parameters={"minutes": 60})
    one = f"{BASE}/{motivation.pk}"
    viewer, user = client_of(project.organization, Role.VIEWER), client_of(project.organization, Role.USER)
    assert viewer.get(one).status_code == 200
    for path in (f"{one}/trigger", f"{one}/enable", f"{BASE}/defaults", f"{BASE}/external", BASE):
        assert viewer.post(path, body_of(project), format="json").status_code == 403, path
    assert viewer.patch(one, {"priority": 1}, format="json").status_code == 403
    assert user.patch(one, {"priority": 1}, format="json").status_code == 200
    assert user.delete(one).status_code == 403
    assert APIClient().get(BASE).status_code in {401, 403}
