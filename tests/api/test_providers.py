"""The API of providers: registered, changed, tested and chosen; keys never come back."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Organization, Role
from apps.accounts.services import organization_ensure
from apps.projects.services import project_create
from apps.providers import pool
from apps.providers.models import Call, Provider
from apps.providers.pool import forget
from apps.providers.preferences import preferences_set
from apps.providers.services import provider_create, provider_update
from tests.api.clients import client_of, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
GIVEN: dict[str, Any] = {
    "id": "house",
    "type": "local",
    "endpoint": "http://127.0.0.1:9/v1",
    "api_key": "sk-very-secret",
    "model": "small",
    "tags": ["fast"],
    "price_in_per_mtoken": "1.5",
}


def calls(
    provider: Provider, organization: Organization, *, latency: int = 100, status: str = "settled"
) -> None:
    Call.objects.create(
        key=f"k{Call.objects.count()}",
        stem="k",
        organization_id=organization.pk,
        provider_id=provider.pk,
        provider_name=provider.name,
        model="small",
        status=status,
        prompt_tokens=10,
        completion_tokens=5,
        reserved_microusd=1,
        latency_ms=latency,
        created_at=timezone.now(),
        ended_at=timezone.now(),
    )


def test_a_provider_is_registered_changed_and_removed(client: Client, ours: Organization) -> None:
    made = send(client, "post", "providers", GIVEN)
    assert made.status_code == 201, made.json()
    body = made.json()
    assert (body["name"], body["requires_key"], body["status"], body["is_shared"]) == (
        "house",
        True,
        "pending",
        False,
    )
    assert client.get(made["Location"]).json() == body
    at = f"providers/{body['id']}"
    changed = send(client, "put", at, {"model": "large", "enabled": False, "supports_function": False})
    assert (changed.json()["model"], changed.json()["requires_key"]) == ("large", True)
    assert not send(client, "patch", at, {"api_key": ""}).json()["requires_key"]
    for wrong in (
        {"type": "telepathy"},
        {"endpoint": "ftp://x"},
        {"quality": 101},
        {"name": ""},
        {"tags": 1},
    ):
        assert send(client, "patch", at, wrong).status_code == 400, wrong
    assert send(client, "post", "providers", GIVEN).status_code == 409
    assert send(client, "delete", at).status_code == 403
    assert send(client_of("root", ours, Role.ADMIN), "delete", at).status_code == 204
    assert not Provider.objects.exists()


def test_no_answer_holds_a_key(client: Client) -> None:
    said = [send(client, "post", "providers", GIVEN)]
    at = f"providers/{said[0].json()['id']}"
    said += [client.get("/api/v1/providers"), send(client, "put", at, {"api_key": "sk-very-secret"})]
    said += [send(client, "post", f"{at}/negotiate"), client.get(f"/api/v1/{at}/models")]
    assert [answer.status_code for answer in said] == [201, 200, 200, 502, 502]
    assert not any(b"sk-very-secret" in answer.content for answer in said)


def test_shared_providers_are_seen_by_all_and_changed_by_operators(
    client: Client, ours: Organization
) -> None:
    shared = provider_create(
        name="all", organization_id=None, endpoint="http://127.0.0.1:9/v1", model="small"
    )
    theirs = provider_create(
        name="their", organization_id=organization_ensure(name="theirs").pk, endpoint="http://x/v1", model="m"
    )
    assert [row["name"] for row in client.get("/api/v1/providers").json()] == ["all"]
    assert client.get("/api/v1/providers?type=litellm").json() == []
    for method in ("put", "patch"):
        assert send(client, method, f"providers/{shared.pk}", {"model": "x"}).status_code == 403
    assert send(client, "post", f"providers/{shared.pk}/negotiate").status_code == 403
    root = client_of("root", ours, Role.ADMIN)
    assert send(root, "delete", f"providers/{shared.pk}").status_code == 403
    for method, tail in (("get", ""), ("put", ""), ("get", "/models"), ("post", "/test")):
        assert send(client, method, f"providers/{theirs.pk}{tail}", None).status_code == 404


def test_figures_are_of_ones_own_calls(client: Client, ours: Organization) -> None:
    shared = provider_create(name="all", organization_id=None, endpoint="http://x/v1", model="small")
    calls(shared, ours)
    calls(shared, ours, latency=300)
    calls(shared, ours, status="failed")
    calls(shared, organization_ensure(name="theirs"), latency=9000)
    figures = client.get(f"/api/v1/providers/{shared.pk}").json()["metrics"]
    assert (figures["total_requests"], figures["success_requests"], figures["failed_requests"]) == (3, 2, 1)
    assert (figures["avg_latency_ms"], figures["max_latency_ms"]) == (200.0, 300)
    assert (figures["total_tokens"], figures["success_rate"]) == (45, 0.6667)


def test_routing_names_the_provider_that_fits(client: Client, ours: Organization) -> None:
    forget()
    for name, price, window in (("cheap", 100, 8000), ("dear", 90_000_000, 200_000)):
        provider_create(
            name=name, organization_id=ours.pk, endpoint="http://x/v1", model="m",
            price_in=price, price_out=price, context_window=window, quality=90 if price > 100 else 10,
        )  # fmt: skip
    names = {policy["id"] for policy in client.get("/api/v1/routing/policies").json()}
    assert names == {"minimize_cost", "minimize_latency", "maximize_quality", "balanced"}
    for asked, name in (
        ({"policy": "minimize_cost"}, "cheap"),
        ({"policy": "maximize_quality"}, "dear"),
        ({"policy": "minimize_cost", "requirements": {"MinContextWindow": 100_000}}, "dear"),
        ({"requirements": {"max_cost_per_mtoken": 1}}, "cheap"),
    ):
        assert send(client, "post", "routing/select", asked).json()["name"] == name, asked
    nobody = send(client, "post", "routing/select", {"requirements": {"requires_vision": True}})
    assert (nobody.status_code, "sees no images" in nobody.json()["details"]["hint"]) == (409, True)
    assert send(client, "post", "routing/select", {"policy": "luck"}).status_code == 400


def test_a_weave_that_the_demo_began_is_told_to_go_on_with_it(
    client: Client, ours: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget()
    demo = provider_create(name="demo", organization_id=None, kind="scripted", model="sample")
    provider_create(name="model", organization_id=ours.pk, endpoint="http://x/v1", model="m")
    monkeypatch.setattr(pool, "weaves_played", lambda ids: {7: demo.pk} if ids == {demo.pk} else {})
    told = [send(client, "post", "routing/select", {"project_id": key}).json()["name"] for key in (7, 8)]
    assert told == ["demo", "model"]


def test_what_a_project_prefers_comes_before_the_policy(client: Client, ours: Organization) -> None:
    forget()
    _, dear = (
        provider_create(
            name=name, organization_id=ours.pk, endpoint="http://x/v1", model="m", price_in=price,
            price_out=price,
        )
        for name, price in (("cheap", 100), ("dear", 90_000_000))
    )  # fmt: skip
    project = project_create(organization=ours, name="Links")
    work = (project.pk, "qa-engineer", "work")
    preferences_set(provider=dear, organization_id=ours.pk, works=[work])
    asked = {"policy": "minimize_cost", "project_id": project.pk, "role": "qa-engineer"}

    def told(**more: Any) -> str:
        return str(send(client, "post", "routing/select", {**asked, **more}).json()["name"])

    assert told() == "dear"
    others: list[dict[str, Any]] = [{"role": "cto"}, {"purpose": "review"}, {"project_id": None}]
    assert [told(**other) for other in others] == ["cheap"] * 3
    provider_update(provider_id=dear.pk, enabled=False)
    forget()
    assert told() == "cheap"


def test_models_are_recommended_with_who_serves_them(ours: Organization) -> None:
    place = "http://127.0.0.1:9/v1"
    mine = Provider.objects.create(name="ours", organization=ours, endpoint=place, model="openai/gpt-oss-20b")
    models = client_of("rita", ours).get("/api/v1/models/recommended").json()["models"]
    assert [row["rank"] for row in models] == list(range(1, len(models) + 1))
    assert {row["name"] for row in models if str(mine.pk) in row["provider_ids"]} == {"gpt-oss-20b"}
