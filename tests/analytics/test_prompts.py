"""What personas say twice, at length or half-heartedly: found in real texts, priced by the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.key_services import key_create
from apps.accounts.models import Role, User
from apps.agents.models import Persona
from apps.agents.personas import load_personas
from apps.analytics.wording import resolute, shortened, unrepeated
from apps.providers.services import provider_create
from tests.analytics.calls import call_add
from tests.silence import nobody_reacts
from tests.world import World, client_of, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
BODY = """\
# Engineer

You build the store in small steps. Please note that links are salted.

- In order to run the tests, use `in order to`.
- You build the store in small steps.
"""
KEYS = {
    "id", "type", "persona", "original_prompt", "optimized_prompt", "original_tokens", "estimated_tokens",
    "token_savings", "token_savings_percent", "cost_savings_usd", "monthly_cost_savings_usd",
    "recommendation", "quality_impact", "confidence", "request_count", "detected_at",
}  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    return world_build("ours", rows=1)


def says(world: World, body: str) -> Persona:
    persona = world.agent.persona
    Persona.objects.filter(pk=persona.pk).update(body=body, metadata={})
    persona.refresh_from_db()
    return persona


def ask(client: Client, at: str) -> Any:
    answer = client.get(f"/api/v1/prompts/{at}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_what_a_persona_says_twice_or_at_length_is_found_and_priced(world: World) -> None:
    persona, client = says(world, BODY), client_of(world, Role.VIEWER)
    house = provider_create(
        name="house", organization_id=world.organization.pk, endpoint="http://127.0.0.1:9/v1", model="small",
        price_in=1_000_000, price_out=4_000_000, price_cached=100_000,
    )  # fmt: skip
    for _ in range(4):  # half of what was sent came from the cache
        call_add(world, provider_id=house.pk, prompt_tokens=1000, cached_tokens=500)
    call_add(world, session=None, provider_id=house.pk)  # a chat has no persona
    body = ask(client, "analysis?time_window=24h")
    assert (body["total_prompts"], body["optimizable_prompts"]) == (1, 1)
    found = {one["type"]: one for one in body["optimizations"]}
    assert set(found) == {"repetition", "verbosity"}
    again, long = found["repetition"], found["verbosity"]
    assert set(again) == KEYS
    assert (again["persona"], again["original_prompt"]) == (persona.name, BODY.strip())
    assert again["optimized_prompt"] == BODY.strip().removesuffix("\n- You build the store in small steps.")
    assert "Links are salted." in long["optimized_prompt"]
    assert "- To run the tests, use `in order to`." in long["optimized_prompt"]
    assert (again["original_tokens"], again["estimated_tokens"]) == (43, 33)
    assert (again["token_savings"], again["request_count"], again["confidence"]) == (10, 4, 0.04)
    # 10 tokens of 4 calls, at 0.55 USD a million.
    assert again["cost_savings_usd"] == pytest.approx(10 * 4 * 0.55e-6)
    assert again["monthly_cost_savings_usd"] == pytest.approx(10 * 4 * 0.55e-6 * 30)
    assert long["token_savings"] == 7
    assert body["total_token_savings"] == 64  # of 4 calls: tokens are rounded once for both
    (first,) = ask(client, "optimizations?time_window=24h&limit=1")["optimizations"]
    assert first["cost_savings_usd"] == max(again["cost_savings_usd"], long["cost_savings_usd"])


def test_without_calls_or_findings_there_is_nothing(world: World) -> None:
    client = client_of(world, Role.VIEWER)
    says(world, BODY)
    assert ask(client, "analysis") | {"analyzed_at": ""} == {
        "analyzed_at": "", "time_window": 7 * 86400 * 10**9, "total_prompts": 0, "optimizable_prompts": 0,
        "optimizations": [], "total_token_savings": 0, "total_cost_savings_usd": 0,
        "monthly_projection_usd": 0,
    }  # fmt: skip
    call_add(world, nominal=True)  # nobody paid for it: it saves tokens and no money
    free = ask(client, "analysis")
    assert (free["optimizable_prompts"], free["total_cost_savings_usd"]) == (1, 0)
    assert free["total_token_savings"] > 0
    says(world, "You build the store in small steps.")
    assert ask(client, "analysis")["optimizations"] == []


def test_an_organizations_own_persona_is_not_shown_to_others(world: World) -> None:
    persona = says(world, BODY)
    Persona.objects.filter(pk=persona.pk).update(organization=world.organization)
    call_add(world)
    assert ask(client_of(world, Role.VIEWER), "optimizations")["count"] == 2
    ann = User.objects.get(username="ann")
    _, key = key_create(user=ann, organization=world.organization, name="ci", scopes=["analytics:read"])
    figures_only = Client(headers={"X-API-Key": key})
    assert ask(figures_only, "optimizations") == {"optimizations": [], "count": 0}
    other = world_build("other", rows=1)
    assert ask(client_of(other, Role.VIEWER, "them"), "optimizations") == {"optimizations": [], "count": 0}


def test_the_queries_do_not_grow(world: World, django_assert_max_num_queries: Any) -> None:
    client = client_of(world, Role.VIEWER)
    says(world, BODY)
    call_add(world)
    ask(client, "analysis")
    with CaptureQueriesContext(connection) as few:
        ask(client, "analysis")
    for _ in range(20):
        call_add(world)
    with django_assert_max_num_queries(len(few)):
        ask(client, "analysis")


@pytest.mark.parametrize(
    ("edit", "text", "made"),
    [
        (unrepeated, "Read all of it first. Then read all of it first.\nRead all of it first.",
         "Read all of it first. Then read all of it first."),
        (unrepeated, "# Read it all first.\nRead it all first.", "# Read it all first.\nRead it all first."),
        (unrepeated, "Yes, do it. Yes, do it.", "Yes, do it. Yes, do it."),  # an emphasis
        (unrepeated, "```\nls -l a b c.\nls -l a b c.\n```", "```\nls -l a b c.\nls -l a b c.\n```"),
        (unrepeated, "Be brave. Read before you change.", "Be brave."),  # the platform says so to all
        (shortened, "Make sure to lint\nprior  to it.", "Lint\nbefore it."),
        (shortened, "It is worth the priority.", "It is worth the priority."),
        (resolute, "Try to test it, if possible.", "Test it."),
        (resolute, "If possible, test it.", "Test it."),
        (resolute, "It fails even if possible.", "It fails even if possible."),
        (resolute, "Say if possible values repeat.", "Say if possible values repeat."),
    ],
)  # fmt: skip
def test_texts_are_rewritten(edit: Any, text: str, made: str) -> None:
    assert edit(text) == made


def test_loom_takes_its_own_advice() -> None:
    for persona in load_personas(settings.BASE_DIR / "personas"):
        for edit in (unrepeated, shortened, resolute):
            assert edit(persona.body) == persona.body, persona.name
