"""An organization's configuration goes out without secrets and comes in whole or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.key_services import key_create
from apps.accounts.models import Organization, Role
from apps.accounts.services import organization_ensure
from apps.agents.merge_policies import merge_policy_set
from apps.agents.models import Persona
from apps.agents.persona_services import persona_import, personas_sync
from apps.commands.services import command_rule_set
from apps.configuration.document import NEEDED
from apps.events.models import Event
from apps.motivations.models import Motivation
from apps.motivations.services import motivation_create, motivation_switch
from apps.projects.models import Project
from apps.providers.models import Budget, Provider
from apps.providers.services import budget_set, provider_create
from apps.workflows.definition_services import definition_create
from apps.workflows.graph_library import built_in
from tests.api.clients import client_of
from tests.silence import nobody_reacts
from tests.world import World, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
KEY, TOKEN = "sk-proj-1canarycanarycanary9", "ghp_canary0canary0canary0canary0canary0"
PERSONA = "---\nname: glazier\ndescription: Tests.\nmetadata:\n  role: glazier\n---\n\nTest all.\n"


@pytest.fixture
def world(db: None) -> World:
    """An organization with some of everything, secrets among it."""
    world = world_build("ours", rows=1)
    ours, project = world.organization, world.project
    personas_sync()
    persona_import(organization=ours, name="own/glazier", text=PERSONA, author="ann")
    definition_create(organization=ours, given={**built_in()["story"].content(), "name": "ours"})
    definition_create(organization=ours, project=project, given=built_in()["bug"].content())
    provider_create(
        name="house", organization_id=ours.pk, endpoint="http://10.0.0.9/v1", model="small", key=KEY
    )
    clock = motivation_create(
        organization=ours, project=project, name="clock", type="calendar", condition="scheduled_interval",
        parameters={"minutes": 60},
    )  # fmt: skip
    motivation_switch(motivation=clock, active=False)
    command_rule_set(project=project, pattern="git push *", verdict="deny", reason=f"Not with {TOKEN}.")
    merge_policy_set(project=project, remote="https://example.org/x.git", credential=TOKEN)
    Project.objects.filter(pk=project.pk).update(git_repo=f"https://ann:{KEY}@example.org/x.git")
    budget_set(scope="organization", scope_id=ours.pk, limit_usd=9)
    budget_set(scope="project", scope_id=project.pk, limit_usd="0.5", organization_id=ours.pk)
    return world


@pytest.fixture
def client(world: World) -> Client:
    return client_of("ann", world.organization, Role.ADMIN)


def export(client: Client) -> str:
    answer = client.get("/api/v1/config/export.yaml")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/x-yaml; charset=utf-8")
    return answer.content.decode()


def take(client: Client, text: str, status: int = 200, **query: str) -> Any:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = client.post(f"/api/v1/config/import.yaml?{asked}", text, content_type="application/x-yaml")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_no_secret_ever_goes_out(client: Client, world: World) -> None:
    for text in (export(client), client.get("/api/v1/config").content.decode()):
        for secret in (KEY, TOKEN, "canary", "sealed"):
            assert secret not in text
        assert "https://example.org/x.git" in text
    shown = client.get("/api/v1/config").json()
    assert {"server", "database", "beads", "agents", "security", "web_ui", "temporal"} < set(shown)
    assert {"projects", "providers", "agent_assignments", "model_catalog"} < set(shown)
    assert shown["agent_assignments"][0]["agent"] == world.agent.name


def test_another_installation_takes_it_over_and_a_second_time_nothing_changes(client: Client) -> None:
    text = export(client).replace("[secret]", "my token")
    other = organization_ensure(name="other")
    theirs = client_of("bob", other, Role.ADMIN)
    foreseen = take(theirs, text, dry_run="true")
    assert foreseen["dry_run"]
    assert {change["change"] for change in foreseen["changes"]} == {"added", "changed"}
    assert not Project.objects.filter(organization=other).exists()
    done = take(theirs, text)
    assert done["changes"] == foreseen["changes"]
    assert done["warnings"] == ["providers.house has no key yet; give it by hand."]
    a, b = (yaml.safe_load(one) for one in (text, export(theirs)))
    assert (a.pop("organization"), b.pop("organization")) == ("ours", "other")
    a["providers"][0]["has_key"] = False
    assert a == b
    assert Motivation.objects.get(organization=other).status == "disabled"
    assert Event.objects.filter(kind="config.updated", organization_id=other.pk).count() == 1
    told = Event.objects.exclude(kind="request.made")
    events = told.count()
    assert take(theirs, export(theirs))["changes"] == []
    assert told.count() == events


def test_a_fault_anywhere_changes_nothing_and_says_where(client: Client, world: World) -> None:
    before, events = export(client), Event.objects.count()
    slug = world.project.slug
    good = {"budget_usd": 1, "personas": [{"name": "own/late", "text": PERSONA.replace("glazier", "late")}]}
    for bad, where in (
        ({"providers": [{"name": "x", "model": "m", "endpoint": "ftp://x"}]}, "providers.x"),
        ({"workflows": [{"name": "loop", "nodes": {}}]}, "workflows.loop"),
        ({"projects": [{"slug": slug, "workflows": [{"name": "w"}]}]}, f"projects.{slug}.workflows.w"),
        ({"projects": [{"slug": slug, "branch": "other"}]}, f"projects.{slug}"),
        ({"projects": [{"slug": slug, "git_repo": "https://a:b@example.org/x"}]}, f"projects.{slug}"),
        ({"motivations": [{"name": "m", "type": "calendar", "condition": "moon"}]}, "motivations.m"),
    ):
        error = take(client, yaml.safe_dump({**good, **bad}), 400)
        assert (error["code"], error["details"]["at"]) == ("bad_input", where)
    for text, words in (
        ("projects: [{slug: x, max_sessions: many, moon: 1}]", "max_sessions"),
        ("loom: 2", "loom"),
        ("a: &x [1]\nb: [*x]", "References"),
        ("- 1", "mapping"),
        ("a: [", "YAML"),
        ("[" * 200, "large"),
        ("!!python/object/apply:os.system [ls]", "YAML"),
        ("organization: '[secret]'", "secret"),
        ("motivations: [{name: m, type: t, condition: c, parameters: {x: .nan}}]", "no number"),
        ("providers: [{name: house, model: small, endpoint: 'http://evil.example'}]", "another server"),
    ):
        assert words in take(client, text, 400)["error"], text
    assert (export(client), Event.objects.count()) == (before, events)


def test_text_that_no_database_keeps_is_kept_without_that(client: Client, world: World) -> None:
    text = f'projects: [{{slug: {world.project.slug}, name: "A\\0b\\uD800c"}}]'
    changes = take(client, text)["changes"]
    assert [change["after"] for change in changes] == ["Ab?c"]
    persona = PERSONA.replace("description: Tests.", 'description: "T\\0e"')
    take(client, yaml.safe_dump({"personas": [{"name": "own/glazier", "text": persona}]}))
    assert Persona.objects.get(name="own/glazier").description == "Te"


def test_what_a_document_does_not_name_stays(client: Client, world: World) -> None:
    slug = world.project.slug
    done = take(client, f"projects: [{{slug: {slug}, max_sessions: 7, budget_usd: null}}]")
    assert [(one["path"], one["before"], one["after"]) for one in done["changes"]] == [
        (f"projects.{slug}.max_sessions", 4, 7),
        (f"projects.{slug}.budget_usd", 0.5, None),
    ]
    project = Project.objects.get(pk=world.project.pk)
    assert (project.max_sessions, project.command_rules.count()) == (7, 1)
    assert Budget.objects.get(scope="project").limit_microusd is None
    assert Provider.objects.get(name="house").reveal_key() == KEY


def test_put_takes_what_get_shows_and_refuses_what_the_environment_sets(client: Client) -> None:
    shown = client.get("/api/v1/config").json()
    put = {**shown, "projects": [{"slug": shown["projects"][0]["slug"], "approval": "ask"}]}

    def send(body: Any) -> Any:
        return client.put("/api/v1/config", json.dumps(body), content_type="application/json")

    answer = send(put)
    assert [one["path"].rpartition(".")[2] for one in answer.json()["changes"]] == ["approval"]
    refused = send({**shown, "server": {"HTTPPort": 1}})
    assert (refused.status_code, refused.json()["details"]["field"]) == (400, "server")


def test_it_is_for_administrators_and_of_a_constant_number_of_queries(client: Client, world: World) -> None:
    ours: Organization = world.organization
    for role in (Role.USER, Role.VIEWER):
        assert client_of(f"one {role}", ours, role).get("/api/v1/config").status_code == 403

    def queries() -> int:
        with CaptureQueriesContext(connection) as told:
            export(client)
        return len(told)

    queries()
    before = queries()
    for number in range(3):
        take(client, f"projects: [{{slug: p{number}, command_rules: [{{pattern: x, verdict: ask}}]}}]")
    assert Persona.objects.filter(organization=ours).count() == 1
    assert queries() == before


SCOPES = {"system:read", "system:write", "analytics:admin", *NEEDED.values()}


@pytest.mark.parametrize(
    ("named", "permission"),
    [
        ("budget_usd: 900", "analytics:admin"),
        ("personas: [{name: own/glazier, text: x}]", "personas:write"),
        ("providers: [{name: house, endpoint: 'http://10.0.0.1/v1', model: small}]", "providers:write"),
        ("workflows: [{name: ours}]", "workflows:write"),
        ("motivations: [{name: a, type: idle, condition: system_idle}]", "motivations:write"),
        ("projects: [{slug: shop, name: Shop}]", "projects:write"),
        ("projects: [{slug: shop, command_rules: [{pattern: '*', verdict: allow}]}]", "projects:admin"),
        ("projects: [{slug: shop, merging: {tampering: warn}}]", "projects:admin"),
        ("projects: [{slug: shop, allow_network: true}]", "projects:admin"),
        ("projects: [{slug: shop, allow_network: false}]", "projects:admin"),
        ("projects: [{slug: shop, budget_usd: null}]", "analytics:admin"),
        ("projects: [{slug: shop, workflows: [{name: ours}]}]", "workflows:write"),
    ],
)
def test_a_key_changes_only_the_parts_that_it_could_change_by_themselves(
    world: World, named: str, permission: str
) -> None:
    def keyed(scopes: set[str]) -> Client:
        _, key = key_create(user=world.staff, organization=world.organization, name="k", scopes=scopes)
        return Client(headers={"X-API-Key": key})

    refused = take(keyed(SCOPES - {permission}), named, 403)
    assert refused["details"]["permission"] == permission
    try_it = "/api/v1/config/import.yaml?dry_run=true"
    answer = keyed(SCOPES).post(try_it, named, content_type="application/x-yaml")
    assert answer.status_code in {200, 400}  # it may be wrong, but is not forbidden
