"""One call through the door: reserved, answered, settled, and what the caller's hooks see of it."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction

from apps.accounts.models import Organization
from apps.core.errors import Conflict
from apps.providers.errors import NoProvider, ToolsUnsupported
from apps.providers.gateway import Payer, Reply, complete, takes_tools
from apps.providers.models import Budget, Call, Provider
from apps.providers.scripted import ScriptedReply
from apps.providers.services import provider_update
from tests.providers.completions import usage_of
from tests.providers.conftest import HELLO, TOOLS, MakeProvider, MakeRequest, message
from tests.providers.script_server import ScriptServer


def test_a_reply_carries_text_tokens_and_cost(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    reply = complete(make_request())
    assert (reply.text, reply.finish_reason, reply.tool_calls) == (HELLO, "stop", ())
    assert reply.provider_id == provider.pk
    assert (reply.provider_name, reply.model) == ("primary", "script")
    assert reply.prompt_tokens == server.counters.prompt_tokens > 0
    assert reply.cost_microusd == reply.prompt_tokens * 1 + reply.completion_tokens * 4
    assert reply.native_tools is False


def test_the_ledger_row_tells_the_whole_call(provider: Provider, make_request: MakeRequest) -> None:
    payer = Payer(
        provider.organization_id or 0, project_id=2, bead_id=3, session_id=4, run_id=5, purpose="work"
    )
    reply = complete(make_request(payer=payer, key="run-5-step-9#1"))
    row = Call.objects.get(pk=reply.call_id)
    assert (row.key, row.stem, row.status) == ("run-5-step-9#1", "run-5-step-9", Call.Status.SETTLED)
    assert (row.project_id, row.bead_id, row.session_id, row.run_id, row.purpose) == (2, 3, 4, 5, "work")
    assert (row.provider_name, row.model, row.prompt_tokens) == ("primary", "script", reply.prompt_tokens)
    assert row.reserved_microusd >= row.cost_microusd == reply.cost_microusd > 0
    assert row.ended_at is not None
    assert not row.estimated
    assert not row.nominal


def test_budgets_of_organization_and_project_are_charged_and_nothing_stays_reserved(
    provider: Provider, make_request: MakeRequest
) -> None:
    organization_id = provider.organization_id or 0
    replies = [complete(make_request(payer=Payer(organization_id, project_id=7))) for _ in range(3)]
    total = sum(reply.cost_microusd for reply in replies)
    rows = Budget.objects.values_list("scope", "scope_id", "spent_microusd", "reserved_microusd")
    assert set(rows) == {("organization", organization_id, total, 0), ("project", 7, total, 0)}


def test_tools_are_offered_and_calls_come_back_in_openai_form(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    reply = complete(make_request(tools=TOOLS))
    assert reply.native_tools is True
    assert reply.tool_calls == (
        {
            "id": "call_2",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path": "a.py"}'},
        },
    )
    assert server.requests[0].body["tools"] == json.loads(TOOLS)


def test_messages_reach_the_server_byte_for_byte_in_order(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    messages = [message("user", f"Nachricht {n} äöü 🧵") for n in range(300)]
    complete(make_request(messages=messages, max_tokens=77, temperature=0.5))
    sent = server.requests[0].body
    assert sent["messages"] == [json.loads(one) for one in messages]
    assert (sent["max_tokens"], sent["temperature"], sent["model"]) == (77, 0.5, "script")
    assert "stream" not in sent


def test_hooks_run_inside_the_transactions_of_reservation_and_settlement(
    provider: Provider, make_request: MakeRequest
) -> None:
    seen: list[tuple[str, bool, str]] = []

    def in_reserve(call: Call) -> None:
        seen.append(("reserve", connection.in_atomic_block, Call.objects.get(key=call.key).status))

    def in_settle(reply: Reply) -> None:
        seen.append(("settle", connection.in_atomic_block, Call.objects.get(pk=reply.call_id).status))

    complete(make_request(), in_reserve=in_reserve, in_settle=in_settle)
    assert seen == [("reserve", True, "reserved"), ("settle", True, "settled")]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_model_thinks(
    make_provider: MakeProvider, make_request: MakeRequest
) -> None:
    inside: list[bool] = []

    def deltas(_: str) -> None:
        inside.append(connection.in_atomic_block)

    with ScriptServer(lambda *_: ScriptedReply("Hello.")) as server:
        make_provider(server)
        complete(make_request(), on_delta=deltas)
    assert inside
    assert not any(inside)


@pytest.mark.django_db(transaction=True)
def test_a_call_inside_a_transaction_is_refused(provider: Provider, make_request: MakeRequest) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        complete(make_request())
    assert not Call.objects.exists()


def test_a_hook_that_fails_before_the_call_leaves_nothing(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    def in_reserve(_: Call) -> None:
        raise RuntimeError("the step belongs to another worker")

    with pytest.raises(RuntimeError):
        complete(make_request(), in_reserve=in_reserve)
    assert not Call.objects.exists()
    assert not Budget.objects.exclude(reserved_microusd=0).exists()
    assert server.requests == []


def test_an_answer_the_caller_cannot_use_is_booked_at_its_true_cost(
    provider: Provider, make_request: MakeRequest
) -> None:
    def in_settle(_: Reply) -> None:
        raise RuntimeError("the run was canceled")

    with pytest.raises(RuntimeError, match="canceled"):
        complete(make_request(), in_settle=in_settle)
    row = Call.objects.get()
    assert row.status == Call.Status.SETTLED
    budget = Budget.objects.get()
    assert (budget.spent_microusd, budget.reserved_microusd) == (row.cost_microusd, 0)


def test_a_key_is_used_once(provider: Provider, server: ScriptServer, make_request: MakeRequest) -> None:
    complete(make_request(key="step#1"))
    with pytest.raises(Conflict, match="step#1"):
        complete(make_request(key="step#1"))
    assert len(server.requests) == 1


def test_usage_the_server_does_not_report_is_estimated_and_marked(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.switches.usage = False
    reply = complete(make_request("x" * 4000))
    assert reply.estimated
    assert 1000 <= reply.prompt_tokens <= 1100
    assert reply.completion_tokens == -(-len(HELLO.encode()) // 4)
    assert Call.objects.get().estimated


def test_output_is_bounded_by_what_the_model_can_write(
    make_provider: MakeProvider, server: ScriptServer, make_request: MakeRequest
) -> None:
    make_provider(server, max_output=500)
    complete(make_request(max_tokens=4096))
    assert server.requests[0].body["max_tokens"] == 500


def test_without_any_provider_the_error_says_how_to_connect_one(
    organization: object, make_request: MakeRequest
) -> None:
    with pytest.raises(NoProvider) as caught:
        complete(make_request())
    for name in ("LOOM_PROVIDER_URL", "LOOM_MODEL", "LOOM_API_KEY", "OPENAI_API_KEY"):
        assert name in caught.value.hint


def test_another_organizations_provider_is_not_called(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    Provider.objects.update(organization=_other_organization())
    with pytest.raises(NoProvider):
        complete(make_request())
    with pytest.raises(NoProvider, match="not available"):
        complete(make_request(provider_id=provider.pk))
    assert server.requests == []


def test_a_shared_provider_serves_every_organization(
    make_provider: MakeProvider, server: ScriptServer, make_request: MakeRequest
) -> None:
    make_provider(server, organization_id=None)
    assert complete(make_request()).text == HELLO
    assert complete(make_request(payer=Payer(_other_organization()))).text == HELLO


def test_a_pinned_provider_is_the_only_one_asked(
    make_provider: MakeProvider, server: ScriptServer, make_request: MakeRequest
) -> None:
    make_provider("http://127.0.0.1:9/v1", name="cheap", price_in=0, price_out=0)
    pinned = make_provider(server, name="dear", price_in=9_000_000)
    assert complete(make_request(provider_id=pinned.pk)).provider_name == "dear"


def test_a_model_without_tools_is_remembered_and_the_caller_told(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.switches.tools = False
    assert takes_tools(Payer(provider.organization_id or 0))
    with pytest.raises(ToolsUnsupported):
        complete(make_request(tools=TOOLS))
    provider.refresh_from_db()
    assert provider.supports_tools is False
    assert not takes_tools(Payer(provider.organization_id or 0))
    with pytest.raises(ToolsUnsupported):
        complete(make_request(tools=TOOLS))
    assert len(server.requests) == 1, "once known, nothing is sent to find out again"
    assert complete(make_request()).text == HELLO


def test_a_changed_provider_is_used_at_once_in_this_process(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    complete(make_request())
    server.switches.models = ("script", "other")
    provider_update(provider_id=provider.pk, model="other")
    assert complete(make_request()).model == "other"


def test_the_api_key_travels_in_the_header_and_nowhere_else(
    make_provider: MakeProvider, server: ScriptServer, make_request: MakeRequest
) -> None:
    server.switches.key = "sk-secret-123456"
    make_provider(server, key="sk-secret-123456")
    complete(make_request())
    recorded = server.requests[0]
    assert recorded.headers["authorization"] == "Bearer sk-secret-123456"
    assert "sk-secret" not in json.dumps(recorded.body)
    assert "sk-secret" not in recorded.path


def test_reported_tokens_of_the_prefix_make_the_reservation_tighter(
    provider: Provider, make_request: MakeRequest
) -> None:
    history = [message("user", "word " * 400) for _ in range(20)]
    wide = complete(make_request(messages=history))
    tight = complete(make_request(messages=history, known_tokens=8000, known_messages=19))
    reserved = dict(Call.objects.values_list("pk", "reserved_microusd"))
    assert reserved[tight.call_id] < reserved[wide.call_id]
    assert reserved[tight.call_id] >= 8000 + 4 * 4096


def test_the_scripted_servers_own_figures_are_what_is_booked(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    reply = complete(make_request())
    assert reply.prompt_tokens == usage_of(server.requests[0].size, ScriptedReply(HELLO))["prompt_tokens"]


def _other_organization() -> int:
    return Organization.objects.create(name="Other", slug="other").pk
