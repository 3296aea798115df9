"""When providers fail: who is asked next, how long we wait, what is booked, and when a broken one rests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.errors import BudgetExceeded
from apps.events.models import Event
from apps.providers import errors, gateway, health, ledger, pool
from apps.providers.gateway import Reply, complete
from apps.providers.models import Budget, Call, Provider
from apps.providers.pricing import worst_case
from apps.providers.scripted import ScriptedReply
from apps.providers.services import budget_set
from tests.providers.conftest import HELLO, TOOLS, MakeProvider, MakeRequest
from tests.providers.script_server import ScriptServer


@pytest.fixture
def backup() -> Iterator[ScriptServer]:
    with ScriptServer(lambda *_: ScriptedReply("from the backup")) as running:
        yield running


@pytest.fixture
def pair(
    make_provider: MakeProvider, server: ScriptServer, backup: ScriptServer
) -> tuple[Provider, Provider]:
    return make_provider(server), make_provider(backup, name="backup", price_in=2_000_000)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_MODEL_TIMEOUT", "1.5")


@pytest.mark.parametrize("kind", ["500", "503", "close", "drop", "garbage", "hang", "401", "402", "404"])
def test_another_provider_takes_over_within_the_turn(
    pair: tuple[Provider, Provider], server: ScriptServer, make_request: MakeRequest, kind: str
) -> None:
    server.fail_next(kind)
    reply = complete(make_request(key="turn#1", policy="minimize_cost"))
    assert (reply.text, reply.provider_name) == ("from the backup", "backup")
    rows = list(Call.objects.order_by("id").values_list("key", "provider_name", "status"))
    assert rows == [("turn#1", "primary", "failed"), ("turn#1.1", "backup", "settled")]
    failed = Provider.objects.get(name="primary")
    assert failed.status == Provider.Status.FAILED
    assert failed.last_error
    assert complete(make_request(policy="minimize_cost")).provider_name == "backup", "failed ones come last"


@pytest.mark.parametrize(
    ("kind", "error", "cost_is"),
    [
        ("close", errors.Unreachable, "prompt"),
        ("drop", errors.Unreachable, "prompt"),
        ("hang", errors.TimedOut, "prompt"),
        ("garbage", errors.Garbage, "prompt"),
        ("shape", errors.Garbage, "nothing"),
        ("500", errors.ServerFailed, "nothing"),
        ("401", errors.Unauthorized, "nothing"),
        ("404", errors.ModelMissing, "nothing"),
        ("418", errors.Rejected, "nothing"),
    ],
)
def test_the_ledger_books_what_the_model_may_have_worked_and_frees_the_rest(
    provider: Provider,
    server: ScriptServer,
    make_request: MakeRequest,
    kind: str,
    error: type[errors.CallFailed],
    cost_is: str,
) -> None:
    server.fail_next(kind)
    with pytest.raises(error) as caught:
        complete(make_request("word " * 100))
    row = Call.objects.get()
    assert (row.status, row.error, row.error_text) == (Call.Status.FAILED, error.code, str(caught.value))
    assert row.reserved_microusd > row.cost_microusd
    assert (row.cost_microusd > 100) is (cost_is == "prompt")
    assert row.estimated is (cost_is == "prompt")
    budget = Budget.objects.get()
    assert (budget.spent_microusd, budget.reserved_microusd) == (row.cost_microusd, 0)


def test_text_that_came_before_a_stream_broke_is_booked(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("drop")
    heard: list[str] = []
    with pytest.raises(errors.Unreachable):
        complete(make_request(), on_delta=heard.append)
    assert heard
    assert Call.objects.get().completion_tokens == -(-len("".join(heard)) // 4)


def test_a_short_retry_after_is_waited_out_in_place(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("429", retry_after="0.3")
    started = time.monotonic()
    assert complete(make_request()).text == HELLO
    assert time.monotonic() - started >= 0.3
    assert Call.objects.count() == 1, "one reservation for the whole wait"


def test_a_long_retry_after_is_handed_to_the_caller(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("429", retry_after="40")
    started = time.monotonic()
    with pytest.raises(errors.RateLimited) as caught:
        complete(make_request())
    assert time.monotonic() - started < 30
    assert caught.value.retry_after == 40
    assert caught.value.retryable
    with pytest.raises(errors.Resting, match="limits the rate") as resting:
        complete(make_request())
    assert 35 < (resting.value.retry_after or 0) <= 40
    assert len(server.requests) == 1, "it asked to be left alone"
    assert Budget.objects.get().reserved_microusd == 0


def test_a_rate_limited_provider_is_passed_over_for_another(
    pair: tuple[Provider, Provider], server: ScriptServer, backup: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("429", retry_after="40")
    for _ in range(3):
        assert complete(make_request(policy="minimize_cost")).provider_name == "backup"
    assert len(server.requests) == 1
    assert Provider.objects.get(name="primary").consecutive_failures == 0, "a limit is no defect"


def test_a_rate_limit_without_a_hint_ends_with_a_wait_to_tell(
    provider: Provider, server: ScriptServer, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "INLINE_PATIENCE", 0.2)
    server.fail_next("429")
    with pytest.raises(errors.RateLimited) as caught:
        complete(make_request())
    assert caught.value.retry_after == gateway.DEFAULT_RETRY_AFTER


def test_an_empty_account_is_not_waited_for(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("429", body="You exceeded your current quota", retry_after="1")
    with pytest.raises(errors.OutOfCredit) as caught:
        complete(make_request())
    assert not caught.value.retryable


def test_too_long_a_conversation_goes_to_a_larger_window_only(
    make_provider: MakeProvider, server: ScriptServer, backup: ScriptServer, make_request: MakeRequest
) -> None:
    make_provider(server, context_window=8000)
    make_provider(backup, name="smaller", context_window=4000, price_in=2_000_000)
    server.switches.max_bytes = 500
    with pytest.raises(errors.ContextTooLong):
        complete(make_request("x" * 1000, policy="minimize_cost"))
    assert backup.requests == []
    make_provider(backup, name="larger", context_window=100_000, price_in=3_000_000)
    assert complete(make_request("x" * 1000, policy="minimize_cost")).provider_name == "larger"
    assert Provider.objects.get(name="primary").status != Provider.Status.FAILED


def test_a_refused_tool_is_the_callers_to_answer_not_another_providers(
    pair: tuple[Provider, Provider], server: ScriptServer, backup: ScriptServer, make_request: MakeRequest
) -> None:
    server.switches.tools = False
    with pytest.raises(errors.ToolsUnsupported):
        complete(make_request(tools=TOOLS, policy="minimize_cost"))
    assert backup.requests == []
    assert complete(make_request(tools=TOOLS, policy="minimize_cost")).provider_name == "backup"


def test_when_all_fail_the_one_that_may_pass_is_raised_and_the_others_are_told(
    pair: tuple[Provider, Provider], server: ScriptServer, backup: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("401")
    backup.fail_next("500")
    with pytest.raises(errors.ServerFailed) as caught:
        complete(make_request(policy="minimize_cost"))
    assert "primary refused the API key" in caught.value.details["others"][0]


def test_the_budget_stops_the_next_provider_too(
    pair: tuple[Provider, Provider], server: ScriptServer, backup: ScriptServer, make_request: MakeRequest
) -> None:
    wanted = make_request("word " * 100, policy="minimize_cost")
    amount = worst_case(wanted, max_output=wanted.max_tokens, price=pair[0].price)
    budget_set(scope="organization", scope_id=wanted.payer.organization_id, limit_usd=amount / 1e6)
    server.fail_next("drop")
    with pytest.raises(BudgetExceeded):
        complete(wanted)
    assert backup.requests == []


def test_three_failures_in_a_row_open_the_circuit(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("500", times=3)
    for _ in range(3):
        with pytest.raises(errors.ServerFailed):
            complete(make_request())
    with pytest.raises(errors.Resting, match=r"primary failed \(500\)") as caught:
        complete(make_request())
    assert 0 < (caught.value.retry_after or 0) <= health.FIRST_REST
    assert len(server.requests) == 3
    assert Call.objects.count() == 3, "a call that is not made is not in the ledger"


def open_circuit(provider: Provider, *, failures: int = 3, rests: float) -> None:
    until = timezone.now() + timedelta(seconds=rests)
    Provider.objects.filter(pk=provider.pk).update(
        consecutive_failures=failures, cool_until=until, status="failed", last_error="it broke"
    )
    pool.forget()


def test_after_its_rest_one_trial_is_made_and_success_closes_the_circuit(
    provider: Provider, make_request: MakeRequest
) -> None:
    open_circuit(provider, rests=-1)
    assert complete(make_request()).text == HELLO
    provider.refresh_from_db()
    assert (provider.status, provider.consecutive_failures, provider.cool_until) == ("healthy", 0, None)
    assert provider.last_error == ""


def test_a_failed_trial_doubles_the_rest(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    open_circuit(provider, failures=4, rests=-1)
    server.fail_next("500")
    with pytest.raises(errors.ServerFailed):
        complete(make_request())
    provider.refresh_from_db()
    assert provider.consecutive_failures == 5
    assert provider.cool_until is not None
    rest = (provider.cool_until - timezone.now()).total_seconds()
    assert 4 * health.FIRST_REST - 2 < rest <= 4 * health.FIRST_REST


def test_of_several_callers_one_makes_the_trial(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    open_circuit(provider, rests=-1)
    stale = Provider.objects.get(pk=provider.pk)
    assert health.may_try(stale)
    assert not health.may_try(stale), "another process that read the row before"
    with pytest.raises(errors.Resting):
        complete(make_request())
    assert server.requests == []


def test_a_change_of_state_is_an_event_and_its_repetition_is_not(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    complete(make_request())
    complete(make_request())
    server.fail_next("500", times=2)
    for _ in range(2):
        with pytest.raises(errors.ServerFailed):
            complete(make_request())
    complete(make_request())
    events = Event.objects.filter(kind="provider.updated").order_by("id")
    assert [event.data["status"] for event in events] == ["healthy", "failed", "healthy"]


def test_latency_is_averaged_on_the_row(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.switches.latency = 0.12
    reply = complete(make_request())
    provider.refresh_from_db()
    assert 120 <= reply.latency_ms < 1000
    assert provider.latency_ms == pytest.approx(reply.latency_ms, abs=2)


def test_no_more_calls_go_to_a_provider_than_it_may_get_at_once(
    make_provider: MakeProvider,
    server: ScriptServer,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "INLINE_PATIENCE", 0.3)
    narrow = make_provider(server, max_concurrency=1)
    other = make_request()
    under_way = ledger.reserve(other, narrow, key=other.key, amount=1)
    with pytest.raises(errors.Busy) as caught:
        complete(make_request())
    assert caught.value.retry_after
    assert server.requests == []
    narrow.refresh_from_db()
    assert narrow.cool_until is None, "our own limit is no reason to leave it alone"
    ledger.lose([under_way])
    assert complete(make_request()).text == HELLO


def test_a_busy_provider_is_passed_over_without_waiting(
    make_provider: MakeProvider,
    server: ScriptServer,
    backup: ScriptServer,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.providers.gateway.INLINE_PATIENCE", 60)
    narrow = make_provider(server, max_concurrency=1)
    make_provider(backup, name="backup", price_in=2_000_000)
    other = make_request()
    ledger.reserve(other, narrow, key=other.key, amount=1)
    started = time.monotonic()
    assert complete(make_request(policy="minimize_cost")).provider_name == "backup"
    assert time.monotonic() - started < 30


def test_an_interrupted_call_is_lost_at_its_full_reservation(
    provider: Provider, make_request: MakeRequest
) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(make_request(), on_delta=interrupt)
    row = Call.objects.get()
    assert (row.status, row.cost_microusd) == (Call.Status.LOST, row.reserved_microusd)
    assert Budget.objects.get().reserved_microusd == 0


def test_a_key_that_cannot_be_read_is_said_and_nothing_is_sent(
    make_provider: MakeProvider,
    server: ScriptServer,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "first")
    make_provider(server, key="sk-secret-123456")
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "second")
    with pytest.raises(errors.Unauthorized, match="cannot be read"):
        complete(make_request())
    assert server.requests == []
    assert not Call.objects.exists()


def test_keys_are_in_no_log_line(
    make_provider: MakeProvider,
    server: ScriptServer,
    make_request: MakeRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    server.switches.key = "sk-the-right-one-1234"
    made = make_provider(server, key="sk-the-wrong-one-1234")
    with pytest.raises(errors.Unauthorized):
        complete(make_request())
    made.refresh_from_db()
    assert "primary refused the API key" in caplog.text
    assert "wrong-one" not in caplog.text + made.last_error + repr(made) + str(vars(made))


def test_hooks_see_each_provider_that_is_tried(
    pair: tuple[Provider, Provider], server: ScriptServer, make_request: MakeRequest
) -> None:
    server.fail_next("500")
    reserved: list[str] = []
    settled: list[Reply] = []
    complete(
        make_request(policy="minimize_cost"),
        in_reserve=lambda call: reserved.append(call.provider_name),
        in_settle=settled.append,
    )
    assert reserved == ["primary", "backup"]
    assert [reply.provider_name for reply in settled] == ["backup"]
