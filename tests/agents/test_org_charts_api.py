"""Org charts and messages over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.agents.letters import letters_take
from apps.agents.models import Agent, Message, Session
from apps.agents.services import Opening, sessions_open
from apps.events.models import Event
from tests.agents.team_room import API, admin, ann, get, send, stranger, viewer, world
from tests.world import World

__all__ = ["admin", "ann", "stranger", "viewer", "world"]
pytestmark = pytest.mark.django_db
OPENING = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]


# -- org charts ------------------------------------------------------------------------------------


def test_a_project_has_the_default_teams_chart_until_somebody_draws_one(
    world: World, ann: Client, admin: Client
) -> None:
    address = f"{API}/org-charts/{world.project.pk}"
    chart = get(ann, address)
    assert set(chart) == {
        "id", "project_id", "name", "positions", "is_template", "parent_id", "created_at", "updated_at",
    }  # fmt: skip
    by_role = {one["role_name"]: one for one in chart["positions"]}
    assert set(by_role["ceo"]) == {
        "id", "role_name", "persona_path", "required", "max_instances", "agent_ids", "reports_to",
        "created_at",
    }  # fmt: skip
    assert [role for role, one in by_role.items() if one["required"]] == [
        "ceo",
        "product-manager",
        "engineering-manager",
    ]
    assert by_role["engineering-manager"]["agent_ids"] == [str(world.agent.pk)]
    assert (chart["is_template"], by_role["qa-engineer"]["reports_to"]) == (True, "engineering-manager")
    changed = send(ann, "PATCH", f"{address}/positions/qa-engineer", reports_to="cto", max_instances=2)
    one = next(one for one in changed["positions"] if one["id"] == "qa-engineer")
    assert (changed["is_template"], one["reports_to"], one["max_instances"]) == (False, "cto", 2)
    refused = send(ann, "PATCH", f"{address}/positions/cto", 409, reports_to="qa-engineer")
    assert (
        "cto → qa-engineer → cto" in refused["error"] or "qa-engineer → cto → qa-engineer" in refused["error"]
    )
    send(admin, "DELETE", f"{address}/positions/ceo", 409)
    send(admin, "DELETE", f"{address}/positions/cto", 204)
    left = {one["id"]: one["reports_to"] for one in get(ann, address)["positions"]}
    assert (left["qa-engineer"], left["engineering-manager"], "cto" in left) == ("ceo", "ceo", False)
    send(ann, "POST", f"{address}/positions", 201, role_name="cto", reports_to="ceo")
    send(ann, "POST", f"{address}/positions", 409, role_name="cto")
    send(admin, "DELETE", address, 204)
    assert get(ann, address)["is_template"] is True


def test_a_whole_chart_is_checked_before_it_is_kept(
    world: World, ann: Client, viewer: Client, stranger: Client
) -> None:
    address = f"{API}/org-charts/{world.project.pk}"
    own = [
        {"role_name": "ceo"}, {"role_name": "product-manager", "reports_to": "ceo"},
        {"role_name": "engineering-manager", "reports_to": "ceo", "persona_path": "own/builder"},
    ]  # fmt: skip
    send(ann, "PUT", address, 400, positions=own)  # there is no such persona
    send(ann, "POST", f"{API}/personas/default/engineering-manager/clone", 201, new_name="own/builder")
    kept = send(ann, "PUT", address, name="Three", positions=own)
    assert (kept["name"], len(kept["positions"])) == ("Three", 3)
    made = send(ann, "POST", f"{API}/agents", 201, persona_name="own/builder", project_id=world.project.pk)
    agents = {one["id"]: one["agent_ids"] for one in get(ann, address)["positions"]}
    assert made["id"] in agents["engineering-manager"]
    wrong: list[Any] = [
        [], "x", [3], [{}], [{"role_name": "plumber"}], [*own, own[0]], own[:1],
        [*own, {"role_name": "cto", "reports_to": "nobody"}],
        [*own, {"role_name": "cto", "max_instances": -1}],
    ]  # fmt: skip
    for positions in wrong:
        status = 409 if positions == own[:1] else 400
        send(ann, "PUT", address, status, positions=positions)
    assert get(ann, address)["name"] == "Three"
    get(viewer, address)
    send(viewer, "PUT", address, 403, positions=own)
    get(stranger, address, 404)
    send(stranger, "PATCH", f"{address}/positions/ceo", 404, max_instances=1)
    get(ann, f"{API}/org-charts/{10**12}", 404)


# -- messages --------------------------------------------------------------------------------------


def opened(world: World, agent: Agent, origin: str) -> Session:
    opening = Opening(agent, "work", origin, OPENING, [], "")
    return Session.objects.get(pk=sessions_open(project=world.project, openings=[opening])[0].pk)


def test_a_message_stands_in_one_prompt_once(
    world: World, ann: Client, viewer: Client, stranger: Client
) -> None:
    Message.objects.all().delete()
    words = {"subject": "Mind the cache", "body": "It is shared."}
    sent = send(ann, "POST", f"{API}/messages", 201, to_agent_id=world.agent.pk, **words)
    assert (sent["sender"], sent["to_role"], sent["delivered_at"]) == ("ann", "engineering-manager", None)
    other = Agent.objects.create(
        project=world.project, persona=world.agent.persona, name="Second", role=world.agent.role
    )
    first, second, third = (
        opened(world, agent, str(number)) for number, agent in enumerate((other, world.agent, world.agent))
    )
    told = [one.opening[1]["content"].count("It is shared.") for one in (first, second, third)]
    assert told == [0, 1, 0]
    again: list[str] = []
    letters_take(second, again.extend)
    assert again == []
    row = get(ann, f"{API}/messages?delivered_to={second.pk}")[0]
    assert (row["id"], row["delivered_to_id"]) == (sent["id"], str(second.pk))
    assert Event.objects.filter(kind="agent.message.delivered", data__message_id=int(sent["id"])).count() == 1
    to_role = {"project_id": world.project.pk, "to_role": "QA", **words}
    send(ann, "POST", f"{API}/messages", 201, **to_role)
    assert len(get(ann, f"{API}/messages?delivered=false")) == 1
    send(viewer, "POST", f"{API}/messages", 403, **to_role)
    send(stranger, "POST", f"{API}/messages", 404, to_agent_id=world.agent.pk, **words)
    assert sent["id"] not in [row["id"] for row in get(stranger, f"{API}/messages")]
    for body in ({}, words, {**to_role, "to_role": "plumber"}, {**to_role, "subject": ""}):
        send(ann, "POST", f"{API}/messages", 400, **body)
