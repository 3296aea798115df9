"""The hard stop: nested limits that hold for many calls at once, and a ledger that forgets nothing."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import Organization
from apps.core.errors import BadInput, BudgetExceeded, Conflict, NotFound
from apps.events.models import Event
from apps.providers import ledger
from apps.providers.gateway import Payer, Reply, complete
from apps.providers.models import Budget, Call, Provider
from apps.providers.pricing import worst_case
from apps.providers.services import budget_set, calls_sweep
from tests.providers.conftest import (
    HELLO,
    MakeProvider,
    MakeRequest,
    assert_counters_match_the_ledger,
    spent_and_reserved,
)
from tests.providers.script_server import ScriptServer


def whole_payer(organization: Organization) -> Payer:
    return Payer(organization.pk, project_id=7, bead_id=8, session_id=9, run_id=10, purpose="work")


@pytest.mark.parametrize(
    ("scope", "scope_id"), [("organization", None), ("project", 7), ("bead", 8), ("run", 10)]
)
def test_each_scope_can_stop_a_call_and_is_named(
    provider: Provider,
    server: ScriptServer,
    organization: Organization,
    make_request: MakeRequest,
    scope: str,
    scope_id: int | None,
) -> None:
    for each, each_id in (("organization", organization.pk), ("project", 7), ("bead", 8), ("run", 10)):
        limit = "0.001" if each == scope else "5"
        budget_set(scope=each, scope_id=each_id, limit_usd=limit, organization_id=organization.pk)
    with pytest.raises(BudgetExceeded) as caught:
        complete(make_request(payer=whole_payer(organization)))
    assert f"budget of this {scope}" in str(caught.value)
    assert "0.001" in str(caught.value)
    details = caught.value.details
    assert (details["scope"], details["scope_id"]) == (scope, scope_id or organization.pk)
    assert (details["limit_microusd"], details["spent_microusd"], details["reserved_microusd"]) == (
        1000,
        0,
        0,
    )
    assert details["asked_microusd"] > 1000
    assert details["may_free_up"] is False
    assert server.requests == []
    assert not Call.objects.exists()
    assert set(spent_and_reserved().values()) == {(0, 0)}, "the other limits were not touched"


def test_the_tightest_of_several_limits_is_the_one_told(
    provider: Provider, organization: Organization, make_request: MakeRequest
) -> None:
    budget_set(scope="organization", scope_id=organization.pk, limit_usd="0.01")
    budget_set(scope="project", scope_id=7, limit_usd="0.002", organization_id=organization.pk)
    with pytest.raises(BudgetExceeded) as caught:
        complete(make_request(payer=Payer(organization.pk, project_id=7)))
    assert caught.value.details["scope"] == "project"


def test_a_raised_limit_lets_work_go_on(
    provider: Provider, organization: Organization, make_request: MakeRequest
) -> None:
    budget_set(scope="organization", scope_id=organization.pk, limit_usd=0)
    with pytest.raises(BudgetExceeded):
        complete(make_request())
    budget_set(scope="organization", scope_id=organization.pk, limit_usd=Decimal("0.5"))
    assert complete(make_request()).text == HELLO


def test_a_free_model_works_under_a_limit_of_zero(
    make_provider: MakeProvider, server: ScriptServer, organization: Organization, make_request: MakeRequest
) -> None:
    make_provider(server, price_in=0, price_out=0)
    budget_set(scope="organization", scope_id=organization.pk, limit_usd=0)
    assert complete(make_request()).cost_microusd == 0


def test_the_exact_rest_of_a_budget_may_be_set_aside(
    provider: Provider, organization: Organization, make_request: MakeRequest
) -> None:
    wanted = make_request()
    amount = worst_case(wanted, max_output=wanted.max_tokens, price=provider.price)
    budget_set(scope="organization", scope_id=organization.pk, limit_usd=Decimal(amount - 1) / 1_000_000)
    with pytest.raises(BudgetExceeded):
        complete(wanted)
    budget_set(scope="organization", scope_id=organization.pk, limit_usd=Decimal(amount) / 1_000_000)
    assert complete(wanted).text == HELLO


def test_a_new_limit_on_old_work_starts_from_what_was_spent(
    provider: Provider, organization: Organization, make_request: MakeRequest
) -> None:
    reply = complete(make_request(payer=Payer(organization.pk, bead_id=3)))
    budget = budget_set(scope="bead", scope_id=3, limit_usd=1, organization_id=organization.pk)
    assert budget.spent_microusd == reply.cost_microusd > 0


def test_an_attempt_that_died_is_lost_at_its_full_reservation_when_the_work_is_taken_up_again(
    provider: Provider, organization: Organization, make_request: MakeRequest
) -> None:
    first = make_request(payer=whole_payer(organization), key="run-10-step-3#1")
    dead = ledger.reserve(first, provider, key=first.key, amount=5000)
    assert spent_and_reserved()["organization"] == (0, 5000)
    reply = complete(make_request(payer=whole_payer(organization), key="run-10-step-3#2"))
    dead.refresh_from_db()
    assert (dead.status, dead.cost_microusd) == (Call.Status.LOST, 5000)
    assert list(Call.objects.order_by("id").values_list("key", "status")) == [
        ("run-10-step-3#1", "lost"),
        ("run-10-step-3#2", "settled"),
    ]
    assert spent_and_reserved()["project"] == (5000 + reply.cost_microusd, 0)


def test_work_of_another_stem_is_not_taken_for_dead(provider: Provider, make_request: MakeRequest) -> None:
    alive = make_request(key="run-1-step-1#1")
    row = ledger.reserve(alive, provider, key=alive.key, amount=10)
    for key in ("run-1-step-10#1", "run-1-step-1-b#1", "run-1-step#1"):
        complete(make_request(key=key))
    row.refresh_from_db()
    assert row.status == Call.Status.RESERVED


def test_a_worker_presumed_dead_cannot_settle_after_its_successor(
    provider: Provider, make_request: MakeRequest
) -> None:
    written = partial(Organization.objects.create, name="Step", slug="step")

    def meanwhile(call: Call) -> None:
        ledger.lose([call])

    with pytest.raises(Conflict, match="given up as lost"):
        _complete_with_interruption(make_request(key="s#1"), meanwhile, lambda _: written())
    assert not Organization.objects.filter(slug="step").exists(), "its step was not recorded"
    row = Call.objects.get()
    assert (row.status, row.cost_microusd) == (Call.Status.LOST, row.reserved_microusd)
    assert_counters_match_the_ledger()


def test_reservations_nobody_comes_back_for_are_swept_after_a_while(
    provider: Provider, make_request: MakeRequest
) -> None:
    old, new = make_request(), make_request()
    dead = ledger.reserve(old, provider, key=old.key, amount=700)
    ledger.reserve(new, provider, key=new.key, amount=70)
    assert calls_sweep() == 0
    Call.objects.filter(pk=dead.pk).update(created_at="2020-01-01T00:00:00Z")
    assert (calls_sweep(), calls_sweep()) == (1, 0)
    assert spent_and_reserved()["organization"] == (700, 70)


def test_the_database_itself_refuses_negative_money_and_second_rows(organization: Organization) -> None:
    row = {"organization": organization, "scope": "project", "scope_id": 1}
    for broken in ({"spent_microusd": -1}, {"reserved_microusd": -1}, {"limit_microusd": -1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Budget.objects.create(**row, **broken)
    Budget.objects.create(**row)
    with pytest.raises(IntegrityError), transaction.atomic():
        Budget.objects.create(**row)


def test_setting_a_budget_is_an_event_with_its_figures(organization: Organization) -> None:
    budget_set(scope="project", scope_id=7, limit_usd="2.50", organization_id=organization.pk, actor="alice")
    event = Event.objects.get(kind="budget.updated")
    assert (event.organization_id, event.project_id, event.actor) == (organization.pk, 7, "alice")
    assert event.data["limit_microusd"] == 2_500_000


@pytest.mark.parametrize("amount", ["", "two", "-1", "nan", "inf", float("nan"), 10**12])
def test_a_senseless_amount_is_refused(organization: Organization, amount: Any) -> None:
    with pytest.raises(BadInput, match="no amount of USD"):
        budget_set(scope="organization", scope_id=organization.pk, limit_usd=amount)
    assert not Budget.objects.exists()


def test_a_budget_needs_a_scope_and_an_organization_that_exist(organization: Organization) -> None:
    with pytest.raises(BadInput, match="no scope"):
        budget_set(scope="galaxy", scope_id=1, limit_usd=1, organization_id=organization.pk)
    for organization_id in (None, 987_654):
        with pytest.raises(BadInput, match="organization that exists"):
            budget_set(scope="project", scope_id=1, limit_usd=1, organization_id=organization_id)


def test_another_organizations_budget_cannot_be_set(organization: Organization) -> None:
    other = Organization.objects.create(name="Other", slug="other")
    budget_set(scope="project", scope_id=7, limit_usd=1, organization_id=organization.pk)
    with pytest.raises(NotFound):
        budget_set(scope="project", scope_id=7, limit_usd=99, organization_id=other.pk)
    assert Budget.objects.get(scope="project").limit_microusd == 1_000_000


def _complete_with_interruption(request: Any, meanwhile: Any, in_settle: Callable[[Reply], Any]) -> Reply:
    """A call during whose answer something happens to its ledger row."""
    rows: list[Call] = []
    return complete(
        request,
        in_reserve=rows.append,
        on_delta=lambda _: meanwhile(rows[0]) if rows[0].status == Call.Status.RESERVED else None,
        in_settle=in_settle,
    )
