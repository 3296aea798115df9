"""The cast: an organization, a model server on a socket, and a provider that points at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import Sum

from apps.accounts.models import Organization
from apps.providers import health, link, pool, wire
from apps.providers.gateway import Payer, Request
from apps.providers.models import Budget, Call, Provider
from apps.providers.scripted import ScriptedReply
from apps.providers.services import provider_create
from tests.providers.script_server import ScriptServer

HELLO = "Grüße, 世界! One turn done. 🧵"


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """What the process remembers between calls: provider rows, latency, dialects, connections."""
    pool.forget()
    wire._dialects.clear()
    health._latency.clear()
    yield
    pool.forget()
    link.forget_connections()


@pytest.fixture
def organization(db: None) -> Organization:
    return Organization.objects.create(name="Acme", slug="acme")


def hello(messages: list[dict[str, Any]], tools: bool) -> ScriptedReply:
    """Text, and a tool call if tools are offered."""
    if not tools:
        return ScriptedReply(HELLO)
    function = {"name": "read_file", "arguments": json.dumps({"path": "a.py"})}
    call = {"id": f"call_{len(messages)}", "type": "function", "function": function}
    return ScriptedReply(HELLO, (call,), finish_reason="tool_calls")


@pytest.fixture
def server() -> Iterator[ScriptServer]:
    with ScriptServer(hello) as running:
        yield running


MakeProvider = Callable[..., Provider]


@pytest.fixture
def make_provider(organization: Organization) -> MakeProvider:
    """Registers a provider for a server; price 1 and 4 USD per million tokens unless told otherwise."""

    def make(server: ScriptServer | str, name: str = "primary", **fields: Any) -> Provider:
        url = server if isinstance(server, str) else server.url
        fields = {"price_in": 1_000_000, "price_out": 4_000_000, "model": "script", **fields}
        fields.setdefault("organization_id", organization.pk)
        return provider_create(name=name, endpoint=url, **fields)

    return make


@pytest.fixture
def provider(make_provider: MakeProvider, server: ScriptServer) -> Provider:
    return make_provider(server)


MakeRequest = Callable[..., Request]


@pytest.fixture
def make_request(organization: Organization) -> MakeRequest:
    """A request of the organization with a key of its own; keyword arguments override."""
    numbers = iter(range(1, 10_000))

    def make(text: str = "Write a poem.", **fields: Any) -> Request:
        payer = fields.pop("payer", Payer(organization_id=organization.pk, purpose="test"))
        messages = [message("system", "You are brief."), message("user", text)]
        return Request(**{"messages": messages, "payer": payer, "key": f"step-{next(numbers)}#1", **fields})

    return make


def message(role: str, content: str) -> bytes:
    return json.dumps({"role": role, "content": content}, ensure_ascii=False).encode()


TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {"name": "read_file", "parameters": {"type": "object", "properties": {}}},
        }
    ]
).encode()


def spent_and_reserved() -> dict[str, tuple[int, int]]:
    rows = Budget.objects.values_list("scope", "spent_microusd", "reserved_microusd")
    return {scope: (spent, reserved) for scope, spent, reserved in rows}


def assert_counters_match_the_ledger() -> None:
    for budget in Budget.objects.all():
        calls = Call.objects.filter(**{f"{budget.scope}_id": budget.scope_id})
        assert budget.spent_microusd == (calls.aggregate(cost=Sum("cost_microusd"))["cost"] or 0)
        under_way = calls.filter(status=Call.Status.RESERVED).aggregate(held=Sum("reserved_microusd"))["held"]
        assert budget.reserved_microusd == (under_way or 0)
