"""The hard stop for many at once: threads that reserve, settle and set limits on the same rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from apps.accounts.models import Organization
from apps.core.errors import BudgetExceeded
from apps.core.together import flush
from apps.providers import ledger, statements
from apps.providers.errors import Usage
from apps.providers.gateway import Payer, complete
from apps.providers.models import Budget, Call, Provider
from apps.providers.scripted import ScriptedReply
from apps.providers.services import budget_set
from tests.core.processes import wait_until
from tests.providers.conftest import (
    MakeProvider,
    MakeRequest,
    assert_counters_match_the_ledger,
    spent_and_reserved,
)
from tests.providers.script_server import ScriptServer


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


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_a_row_made_while_the_first_reservation_waits_is_neither_missed_nor_given_back(
    make_provider: MakeProvider,
    make_request: MakeRequest,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call finds no lock, then waits in the middle of its charge for whoever makes rows."""
    provider = make_provider("http://127.0.0.1:9/v1")
    locked = threading.Event()
    waits = threading.Event()

    def make_the_project_row() -> None:
        try:
            with transaction.atomic():
                ledger.budget_row(organization_id=organization.pk, scope="project", scope_id=7)
                locked.set()
                assert waits.wait(10)
                wait_until(somebody_waits, seconds=10, what="the charge waits for this transaction")
        finally:
            connection.close()

    maker = threading.Thread(target=make_the_project_row)
    charge = statements.set_aside

    def charge_late(payer: Payer, amount: int) -> Callable[[], set[str]]:
        if not maker.ident:
            flush()  # the look for the lock ran: there was none
            in_thread(lambda: ledger._make_row(organization.pk, "organization", organization.pk))
            maker.start()
            assert locked.wait(10)
            waits.set()
        return charge(payer, amount)

    monkeypatch.setattr(statements, "set_aside", charge_late)
    asked = make_request(payer=Payer(organization.pk, project_id=7))
    call = ledger.reserve(asked, provider, key=asked.key, amount=100)
    maker.join(10)
    assert dict(Budget.objects.values_list("scope", "reserved_microusd")) == {
        "organization": 100,
        "project": 100,
    }
    ledger.settle(call, Usage(completion=60), provider, latency_ms=1)
    assert_counters_match_the_ledger()


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


def in_thread(job: Callable[[], None]) -> None:
    """Do it on a connection of its own."""

    def work() -> None:
        try:
            job()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database() LIMIT 1"
        )
        return cursor.fetchone() is not None
