"""Every write to providers and budgets that people and the start of the installation make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import Organization
from apps.core.errors import BadInput, Conflict, LoomError, NotFound
from apps.events.bus import emit
from apps.providers import gateway, ledger, wire
from apps.providers.discovery import ASK_PATIENCE, Found, providers_detect
from apps.providers.errors import CallFailed, ModelMissing, Rejected, ToolsUnsupported
from apps.providers.fields import check_fields, check_key, check_row, known_of, price_fields, with_known_price
from apps.providers.health import failed, succeeded
from apps.providers.models import Budget, Call, Provider
from apps.providers.pool import forget, weaves_played
from apps.providers.pricing import MILLION, Price
from apps.providers.speakers import server_of
from apps.providers.terms import Payer, Reply, Request

DEMO_NAME: Final = "demo"
DEMO_PRICE = Price(250_000, 1_250_000, known=False)  # nominal, so that budgets can be seen at work
LARGEST_BUDGET = Decimal(1_000_000_000)
_WHERE: Final = frozenset(
    {"kind", "endpoint", "model", "sealed_key"}
)  # a change of these makes health old news
_UNTRIED: Final[Mapping[str, Any]] = {
    "status": Provider.Status.PENDING,
    "last_error": "",
    "consecutive_failures": 0,
    "cool_until": None,
    "latency_ms": 0,
}


@dataclass(frozen=True)
class Probe:
    """What a test of a provider showed; `message` is one sentence for people."""

    ok: bool
    message: str
    hint: str = ""
    latency_ms: int = 0


def provider_create(
    *,
    name: str,
    organization_id: int | None,
    kind: str = Provider.Kind.OPENAI,
    endpoint: str = "",
    model: str = "",
    key: str = "",
    source: str = Provider.Source.MANUAL,
    actor: str = "",
    **fields: Any,
) -> Provider:
    """Register a provider; what is not given comes from the price map. No organization: shared by all."""
    provider = Provider(organization_id=organization_id, name=name.strip(), kind=kind, source=source)
    provider.endpoint, provider.model = endpoint.strip(), model.strip()
    check_fields(fields)
    check_key(key)
    check_row(provider)
    for field, value in {**known_of(provider), **with_known_price(fields)}.items():
        setattr(provider, field, value)
    provider.set_key(key)
    with transaction.atomic():
        if Provider.objects.filter(Q(organization_id=organization_id), name=provider.name).exists():
            raise Conflict(
                f"There is a provider called {provider.name!r} already.", hint="Choose another name."
            )
        provider.save(force_insert=True)
        _emit("provider.registered", provider, actor)
    forget()
    return provider


def provider_update(*, provider_id: int, key: str | None = None, actor: str = "", **fields: Any) -> Provider:
    """Change fields of a provider; a `key` replaces the old one, an empty one removes it.

    A key goes to no other server than it was given for: whoever moves the endpoint says it again.
    """
    check_fields(fields)
    check_key(key or "")
    fields = with_known_price(fields)
    with transaction.atomic():
        provider = Provider.objects.select_for_update().filter(pk=provider_id).first()
        if provider is None:
            raise NotFound(f"There is no provider {provider_id}.")
        before = {name: getattr(provider, name) for name in (*fields, *_WHERE)}
        to = fields.get("endpoint", provider.endpoint)
        if key is None and provider.has_key and _server(to) != _server(provider.endpoint):
            raise BadInput(
                f"The API key of {provider.name} was given for another server.",
                hint="Give the key again with the new endpoint, or an empty one to have none.",
                details={"field": "api_key"},
            )
        for field, value in fields.items():
            setattr(provider, field, value)
        if key is not None:
            provider.set_key(key)
        check_row(provider)
        changed = {
            name: getattr(provider, name) for name in before if before[name] != getattr(provider, name)
        }
        if _WHERE & changed.keys():
            changed |= _UNTRIED
        if changed:
            Provider.objects.filter(pk=provider_id).update(**changed, updated_at=timezone.now())
            provider.refresh_from_db()
            _emit("provider.updated", provider, actor)
    forget()
    return provider


def _server(endpoint: str) -> tuple[str, str] | None:
    """Who is reached there."""
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return None
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def provider_enable(*, provider_id: int, actor: str = "") -> Provider:
    """Let calls go to it again, with a clean slate."""
    Provider.objects.filter(pk=provider_id, enabled=False).update(**_UNTRIED)
    return provider_update(provider_id=provider_id, enabled=True, actor=actor)


def provider_disable(*, provider_id: int, actor: str = "") -> Provider:
    return provider_update(provider_id=provider_id, enabled=False, actor=actor)


@transaction.atomic
def provider_delete(*, provider_id: int, actor: str = "") -> None:
    """Remove a provider; what it was paid stays in the ledger."""
    provider = Provider.objects.filter(pk=provider_id).first()
    if provider is None:
        raise NotFound(f"There is no provider {provider_id}.")
    _emit("provider.deleted", provider, actor)
    provider.delete()
    forget()


# What agents do with tools, as small as can be: a model that refuses it has none.
_TOOL = orjson.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "say",
                "description": "Say a word.",
                "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
            },
        }
    ]
)


def provider_test(*, provider: Provider, organization_id: int, purpose: str = "test") -> Probe:
    """Make one tiny call that offers a tool, booked like any other, and say what came of it."""
    messages = [
        orjson.dumps({"role": "system", "content": "You answer with one word."}),
        orjson.dumps({"role": "user", "content": "Say OK."}),
    ]
    if provider.kind == Provider.Kind.SCRIPTED:
        return Probe(
            True, f"{provider.name} is the scripted demo; it plays its bundled sample and costs nothing."
        )
    request = Request(
        messages=messages,
        payer=Payer(organization_id=organization_id, purpose=purpose),
        key=f"test:{provider.pk}:{timezone.now().isoformat()}#1",
        max_tokens=64,
        tools=None if provider.supports_tools is False else _TOOL,
        provider_id=provider.pk,
    )
    try:
        reply = _asked(request)
    except LoomError as failure:
        return Probe(False, failure.message, failure.hint)
    told = f"{provider.name} answered with {reply.model} in {reply.latency_ms / 1000:.1f} s."
    return Probe(
        True,
        told if reply.native_tools else f"{told} It has no tools: agents write their actions as JSON.",
        latency_ms=reply.latency_ms,
    )


def _asked(request: Request) -> Reply:
    """The reply; of a model that refuses tools, the one it gives without."""
    forget()
    try:
        return gateway.complete(request)
    except ToolsUnsupported:
        forget()
        return gateway.complete(replace(request, key=f"{request.key[:-1]}2", tools=None))


def provider_probe(*, provider: Provider) -> tuple[Probe, CallFailed | None]:
    """Ask an OpenAI-compatible server for its models, which costs nothing; what it said, and what was wrong.

    Other kinds have no such question.
    """
    if provider.kind != Provider.Kind.OPENAI:
        return Probe(True, f"{provider.name} shows only at a call how it is."), None
    started = timezone.now()
    server = server_of(provider)
    try:
        listed = [str(model["id"]) for model in wire.models(server, limits=ASK_PATIENCE)]
        known = not listed or provider.model in listed
        known = known or wire.has_model(server, provider.model, limits=ASK_PATIENCE) is not False
    except (ModelMissing, Rejected):
        return Probe(True, f"{provider.name} does not list its models."), None  # many good servers do not
    except CallFailed as failure:
        return Probe(False, failure.message, failure.hint), failure
    if not known:
        has = ", ".join(listed[:5])
        missing = ModelMissing(f"{provider.name} has no model {provider.model!r}; it has {has}.")
        return Probe(False, missing.message, missing.hint), missing
    latency_ms = max(1, round((timezone.now() - started).total_seconds() * 1000))
    return Probe(True, f"{provider.name} answers.", latency_ms=latency_ms), None


def provider_check(*, provider: Provider) -> Probe:
    """Ask a provider how it is, and write it down."""
    probe, failure = provider_probe(provider=provider)
    if failure is not None:
        failed(provider, failure)
    elif probe.latency_ms and provider.status != Provider.Status.HEALTHY:
        succeeded(provider, provider.latency_ms or probe.latency_ms)
    return probe


def provider_sync_environment(env: Mapping[str, str] = os.environ, *, keep: bool = False) -> list[Provider]:
    """Make the shared providers match the environment; the demo stands in when nothing else is connected.

    With `keep`, those that an earlier environment named stay, and the demo for the weaves that it began.
    Returns the enabled shared providers. Raises BadInput for a variable that makes no sense.
    """
    found = providers_detect(env)
    with transaction.atomic():
        shared = Provider.objects.filter(organization=None)
        own = {row.name: row for row in shared.exclude(source=Provider.Source.MANUAL)}
        taken = set(shared.filter(source=Provider.Source.MANUAL).values_list("name", flat=True))
        wanted = {item.name: item for item in found if item.name not in taken}
        for name, row in own.items():
            if not keep and name not in wanted and row.source != Provider.Source.DEMO:
                provider_delete(provider_id=row.pk, actor="environment")
        for name, item in wanted.items():
            _apply(own.get(name), item)
        _place_demo(own.get(DEMO_NAME), keep=keep)
    forget()
    return list(Provider.objects.filter(organization=None, enabled=True))


def budget_set(
    *,
    scope: str,
    scope_id: int,
    limit_usd: Decimal | float | str | None,
    organization_id: int | None = None,
    actor: str = "",
) -> Budget:
    """Set or lift (None) the limit of an organization, project, bead or run.

    What was spent before counts. `organization_id` may be left out for the scope "organization".
    """
    if scope not in Budget.Scope.values:
        raise BadInput(
            f"{scope!r} is no scope of a budget.", hint="Use " + ", ".join(Budget.Scope.values) + "."
        )
    organization_id = scope_id if scope == Budget.Scope.ORGANIZATION else organization_id
    if organization_id is None or not Organization.objects.filter(pk=organization_id).exists():
        raise BadInput("A budget belongs to an organization that exists.")
    limit = _microusd(limit_usd)
    with transaction.atomic():
        budget = ledger.budget_row(organization_id=organization_id, scope=scope, scope_id=scope_id)
        if budget.organization_id != organization_id:
            raise NotFound(f"There is no {scope} {scope_id} in this organization.")
        Budget.objects.filter(pk=budget.pk).update(limit_microusd=limit, updated_at=timezone.now())
        emit(
            "budget.updated",
            organization_id=organization_id,
            project_id=scope_id if scope == Budget.Scope.PROJECT else None,
            bead_id=scope_id if scope == Budget.Scope.BEAD else None,
            subject=f"budget:{scope}:{scope_id}",
            actor=actor,
            scope=scope,
            scope_id=scope_id,
            limit_microusd=limit,
            spent_microusd=budget.spent_microusd,
        )
    budget.refresh_from_db()
    return budget


def calls_sweep() -> int:
    """Book calls as lost whose process died and whose work nobody has taken up again; how many."""
    oldest = timezone.now() - timedelta(seconds=2 * wire.patience().total + 60)
    return ledger.lose(Call.objects.filter(status=Call.Status.RESERVED, created_at__lt=oldest)[:200])


def _apply(row: Provider | None, item: Found) -> None:
    """Create or update one row; what an operator or experience changed on it stays where it still holds."""
    fields: dict[str, Any] = {
        "kind": item.kind,
        "endpoint": item.endpoint,
        "model": item.model,
        "context_window": item.context_window,
        "max_output": item.max_output,
        "supports_streaming": item.supports_streaming,
        "supports_vision": item.supports_vision,
        **price_fields(item.price),
    }
    if row is None:
        fields |= {"supports_tools": item.supports_tools, "tags": list(item.tags)}
        provider_create(
            name=item.name,
            organization_id=None,
            key=item.key,
            source=item.source,
            actor="environment",
            **fields,
        )
        return
    moved = (row.kind, row.endpoint, row.model) != (item.kind, item.endpoint, item.model)
    if moved or item.supports_tools is not None:
        fields["supports_tools"] = item.supports_tools
    # Who runs Loom gives both together: the key is also given for a server that has moved.
    key = None if _same_key(row, item.key) and row.endpoint == item.endpoint else item.key
    provider_update(provider_id=row.pk, key=key, actor="environment", **fields)


def _same_key(row: Provider, key: str) -> bool:
    try:
        return row.reveal_key() == key
    except CallFailed:
        return False  # sealed with an encryption key that is gone; seal it anew


def _place_demo(row: Provider | None, *, keep: bool) -> None:
    others = Provider.objects.filter(organization=None, enabled=True).exclude(kind=Provider.Kind.SCRIPTED)
    if others.exists():
        if row is not None and not (keep and weaves_played([row.pk])):
            provider_delete(provider_id=row.pk, actor="environment")
    elif row is None and not Provider.objects.filter(organization=None, name=DEMO_NAME).exists():
        provider_create(
            name=DEMO_NAME,
            organization_id=None,
            kind=Provider.Kind.SCRIPTED,
            source=Provider.Source.DEMO,
            model="scripted sample",
            supports_tools=True,
            actor="environment",
            **price_fields(DEMO_PRICE),
        )


def _emit(kind: str, provider: Provider, actor: str) -> None:
    emit(
        kind,
        organization_id=provider.organization_id,
        subject=f"provider:{provider.pk}",
        actor=actor,
        provider_id=provider.pk,
        name=provider.name,
        endpoint=provider.endpoint,
        model=provider.model,
        status=provider.status,
        enabled=provider.enabled,
    )


def _microusd(amount: Decimal | float | str | None) -> int | None:
    if amount is None:
        return None
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= LARGEST_BUDGET:
        raise BadInput(f"{amount!r} is no amount of USD.", hint="Use a number such as 2 or 0.50.")
    return int(value * MILLION)
