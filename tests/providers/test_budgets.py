"""The hard stop: nested limits that hold for many calls at once, and a ledger that forgets nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from apps.accounts.models import Organization
from apps.core.errors import BadInput, BudgetExceeded, Conflict, NotFound
from apps.events.models import Event
from apps.providers import ledger
from apps.providers.errors import Usage
from apps.providers.gateway import Payer, Reply, complete
from apps.providers.models import Budget, Call, Provider
from apps.providers.pricing import worst_case
from apps.providers.scripted import ScriptedReply
from apps.providers.services import budget_set, calls_sweep
from tests.providers.conftest import HELLO, MakeProvider, MakeRequest
from tests.providers.script_server import ScriptServer


def spent_and_reserved() -> dict[str, tuple[int, int]]:
    rows = Budget.objects.values_list("scope", "spent_microusd", "reserved_microusd")
    return {scope: (spent, reserved) for scope, spent, reserved in rows}


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


@pytest.fixture
def slow_server() -> Iterator[ScriptServer]:
    with ScriptServer(lambda *_: ScriptedReply("ok"), latency=0.05) as running:
        yield running


@pytest.mark.django_db(transaction=True)
def test_many_calls_at_once_never_pass_any_of_the_limits(
    make_provider: MakeProvider,
    slow_server: ScriptServer,
    organization: Organization,
    make_request: MakeRequest,
) -> None:
    make_provider(slow_server, price_in=0, price_out=1_000_000)  # max_tokens 1000: each call sets 1000 aside
    budget_set(scope="organization", scope_id=organization.pk, limit_usd="0.0095")
    budget_set(scope="project", scope_id=1, limit_usd="0.0042", organization_id=organization.pk)
    outcomes: list[tuple[int, str]] = []
    peaks: list[bool] = []

    def watch(_: Call) -> None:
        rows = Budget.objects.exclude(limit_microusd=None)
        peaks.extend(row.spent_microusd + row.reserved_microusd <= (row.limit_microusd or 0) for row in rows)

    def work(project_id: int) -> None:
        payer = Payer(organization.pk, project_id=project_id)
        try:
            complete(make_request(payer=payer, max_tokens=1000), in_reserve=watch)
            outcomes.append((project_id, "ok"))
        except BudgetExceeded as error:
            outcomes.append((project_id, "may free up" if error.details["may_free_up"] else "full"))
        finally:
            connection.close()

    run_at_once([lambda n=n: work(1 + n % 2) for n in range(24)])
    assert peaks
    assert all(peaks)
    assert {outcome for _, outcome in outcomes} == {"ok", "may free up"}
    done = Call.objects.filter(status=Call.Status.SETTLED)
    assert done.count() == slow_server.counters.calls == sum(outcome == "ok" for _, outcome in outcomes)
    assert done.filter(project_id=1).exists()
    assert_counters_match_the_ledger()


@pytest.mark.django_db(transaction=True)
def test_money_is_spent_to_the_last_affordable_call_and_not_beyond(
    make_provider: MakeProvider,
    slow_server: ScriptServer,
    organization: Organization,
    make_request: MakeRequest,
) -> None:
    """Retrying whatever may free up, several workers use the budget up without passing it."""
    slow_server.switches.latency = 0
    make_provider(
        slow_server, price_in=0, price_out=1_000_000_000
    )  # 1000 micro-USD a token; "ok" is one token
    budget_set(scope="organization", scope_id=organization.pk, limit_usd="0.01")

    def work() -> None:
        try:
            while True:
                try:
                    complete(make_request(max_tokens=2))
                except BudgetExceeded as error:
                    if not error.details["may_free_up"]:
                        return
        finally:
            connection.close()

    run_at_once([work] * 4)
    budget = Budget.objects.get()
    assert (budget.spent_microusd, budget.reserved_microusd) == (9000, 0), "a tenth call might have cost 2000"
    assert_counters_match_the_ledger()


@pytest.mark.django_db(transaction=True)
def test_first_calls_at_once_make_one_budget_row_each(
    provider: Provider, organization: Organization, make_request: MakeRequest
) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            complete(make_request(payer=Payer(organization.pk, project_id=5)))
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)
        finally:
            connection.close()

    run_at_once([work] * 8)
    assert errors == []
    assert sorted(Budget.objects.values_list("scope", flat=True)) == ["organization", "project"]
    assert_counters_match_the_ledger()


@pytest.mark.django_db(transaction=True)
def test_a_budget_set_in_the_middle_of_calls_counts_them_exactly(
    make_provider: MakeProvider,
    slow_server: ScriptServer,
    organization: Organization,
    make_request: MakeRequest,
) -> None:
    make_provider(slow_server)
    payer = Payer(organization.pk, project_id=1, bead_id=3, run_id=4)

    def call() -> None:
        try:
            for _ in range(4):
                complete(make_request(payer=payer))
        finally:
            connection.close()

    def limit() -> None:
        try:
            budget_set(scope="bead", scope_id=3, limit_usd=50, organization_id=organization.pk)
            budget_set(scope="run", scope_id=4, limit_usd=50, organization_id=organization.pk)
        finally:
            connection.close()

    run_at_once([call, call, limit, call])
    assert Call.objects.count() == 12
    assert_counters_match_the_ledger()
    assert len(set(spent_and_reserved().values())) == 1


@pytest.mark.django_db(transaction=True)
def test_first_calls_and_new_limits_at_once_neither_block_each_other_nor_miscount(
    make_provider: MakeProvider, make_request: MakeRequest
) -> None:
    provider = make_provider("http://127.0.0.1:9/v1", price_in=0, price_out=1_000_000, organization_id=None)
    errors: list[Exception] = []
    for number in range(12):
        organization_id = Organization.objects.create(name="New", slug=f"new-{number}").pk

        def calls(worker: int, organization_id: int = organization_id) -> None:
            payer = Payer(organization_id, worker % 2, worker % 2, None, worker)
            for _ in range(3):
                asked = make_request(payer=payer)
                call = ledger.reserve(asked, provider, key=asked.key, amount=100)
                ledger.settle(call, Usage(completion=60), provider, latency_ms=1)

        def limits(organization_id: int = organization_id) -> None:
            for scope, scope_id in (
                ("bead", 1),
                ("run", 0),
                ("project", 1),
                ("organization", organization_id),
            ):
                budget_set(scope=scope, scope_id=scope_id, limit_usd=1, organization_id=organization_id)

        def guarded(job: Callable[[], None]) -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - shown by the assertion below
                errors.append(error)
            finally:
                connection.close()

        jobs: list[Callable[[], None]] = [limits, *(partial(calls, worker) for worker in range(4))]
        run_at_once([partial(guarded, job) for job in jobs])
        assert errors == []
        assert_counters_match_the_ledger()
        Budget.objects.all().delete()
        Call.objects.all().delete()


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
    told: list[Reply] = []

    def meanwhile(call: Call) -> None:
        ledger.lose([call])

    with pytest.raises(Conflict, match="given up as lost"):
        _complete_with_interruption(make_request(key="s#1"), meanwhile, told)
    assert told == [], "its step was not recorded"
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


def assert_counters_match_the_ledger() -> None:
    for budget in Budget.objects.all():
        calls = Call.objects.filter(**{f"{budget.scope}_id": budget.scope_id})
        assert budget.spent_microusd == (calls.aggregate(cost=Sum("cost_microusd"))["cost"] or 0)
        under_way = calls.filter(status=Call.Status.RESERVED).aggregate(held=Sum("reserved_microusd"))["held"]
        assert budget.reserved_microusd == (under_way or 0)


def run_at_once(jobs: list[Any]) -> None:
    barrier = threading.Barrier(len(jobs))

    def start(job: Any) -> None:
        barrier.wait()
        job()

    threads = [threading.Thread(target=start, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)


def _complete_with_interruption(request: Any, meanwhile: Any, told: list[Reply]) -> Reply:
    """A call during whose answer something happens to its ledger row."""
    rows: list[Call] = []
    return complete(
        request,
        in_reserve=rows.append,
        on_delta=lambda _: meanwhile(rows[0]) if rows[0].status == Call.Status.RESERVED else None,
        in_settle=told.append,
    )
