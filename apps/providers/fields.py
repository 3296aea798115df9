"""What a provider row may hold, and what follows from its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apps.core.errors import BadInput
from apps.providers.discovery import facts_of, normal_url
from apps.providers.keys import is_sendable
from apps.providers.models import Provider
from apps.providers.pricing import Price, guess_quality

EDITABLE: Final = frozenset(
    {
        "name", "kind", "endpoint", "model", "context_window", "max_output", "supports_tools",
        "supports_streaming", "supports_vision", "price_in", "price_out", "price_cached", "price_known",
        "quality", "max_concurrency", "tags", "enabled",
    }
)  # fmt: skip


def known_of(provider: Provider) -> dict[str, Any]:
    """Fields that follow from the model: what the price map says, or what has to be assumed."""
    facts = facts_of(provider.model, provider.endpoint)
    return {
        "context_window": facts.context_window,
        "max_output": facts.max_output,
        "supports_tools": facts.tools,
        "supports_vision": facts.vision,
        **price_fields(facts.price),
    }


def price_fields(price: Price) -> dict[str, Any]:
    return {
        "price_in": price.input,
        "price_out": price.output,
        "price_cached": price.cached,
        "price_known": price.known,
        "quality": guess_quality(price),
    }


def with_known_price(fields: dict[str, Any]) -> dict[str, Any]:
    """A price that somebody states is known, unless they say it is not."""
    stated = fields.keys() & {"price_in", "price_out"}
    return {"price_known": True, **fields} if stated else fields


def check_fields(fields: Mapping[str, Any]) -> None:
    if unknown := sorted(fields.keys() - EDITABLE):
        raise BadInput(f"A provider has no field {unknown[0]!r} to set.", details={"fields": unknown})
    for name in ("price_in", "price_out", "context_window", "max_output", "max_concurrency"):
        if not isinstance(fields.get(name, 0), int) or fields.get(name, 0) < 0:
            raise BadInput(f"{name} must be a whole number, zero or more.")


def check_key(key: str) -> None:
    if not is_sendable(key.strip()):
        raise BadInput(
            "The API key holds characters that cannot be sent.", hint="Copy it again, without spaces."
        )


def check_row(provider: Provider) -> None:
    """Refuse a row that could never be called."""
    if not provider.name:
        raise BadInput("A provider needs a name.")
    if provider.kind not in Provider.Kind.values:
        kinds = ", ".join(Provider.Kind.values)
        raise BadInput(f"{provider.kind!r} is no kind of provider.", hint=f"Use one of: {kinds}.")
    if provider.kind == Provider.Kind.OPENAI:
        provider.endpoint = normal_url(provider.endpoint)
    if provider.kind == Provider.Kind.SCRIPTED and provider.organization_id is not None:
        raise BadInput("A scripted provider reads files of this machine, so only operators add one, for all.")
    if not provider.model and provider.kind != Provider.Kind.SCRIPTED:
        raise BadInput(
            "A provider needs the name of a model.", hint="The server's /models page lists what it has."
        )
