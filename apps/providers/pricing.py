"""Money in whole micro-USD: what models cost, what a call cost, and the most that a call can cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import log10
from pathlib import Path
from typing import Any

from apps.providers.errors import Usage
from apps.providers.terms import Request

MILLION = 1_000_000
PRICE_MAP = "model_prices_and_context_window_backup.json"  # shipped inside the litellm package
ASSUMED_IN, ASSUMED_OUT = 1 * MILLION, 4 * MILLION  # for a paid model whose price nobody told us
MESSAGE_TOKENS = 16  # what a chat template may add around one message


@dataclass(frozen=True)
class Price:
    """Micro-USD per million tokens. `known`: from the price map or the operator, not assumed."""

    input: int
    output: int
    cached: int | None = None  # input the provider had in its cache; None: costs like other input
    known: bool = True


FREE = Price(0, 0)
ASSUMED = Price(ASSUMED_IN, ASSUMED_OUT, known=False)


@dataclass(frozen=True)
class ModelFacts:
    """What the price map says of a model; zero and None: it does not say."""

    price: Price
    context_window: int = 0
    max_output: int = 0
    tools: bool | None = None
    vision: bool = False


def model_facts(model: str, vendor: str = "") -> ModelFacts | None:
    """What the map has for `vendor/model`, also where it lists the vendor's model under its bare name."""
    if not vendor and "/" in model:
        vendor, _, model = model.partition("/")
    entry = _price_map().get(f"{vendor}/{model}" if vendor else model)
    if entry is None:
        bare = _price_map().get(model)
        entry = bare if bare and bare.get("litellm_provider") == vendor else None
    if entry is None or entry.get("input_cost_per_token") is None:
        return None
    cached = entry.get("cache_read_input_token_cost")
    return ModelFacts(
        price=Price(
            input=_per_million(entry["input_cost_per_token"]),
            output=_per_million(entry.get("output_cost_per_token") or 0),
            cached=None if cached is None else _per_million(cached),
        ),
        context_window=_whole(entry.get("max_input_tokens")),
        max_output=_whole(entry.get("max_output_tokens")),
        tools=True if entry.get("supports_function_calling") else None,
        vision=bool(entry.get("supports_vision")),
    )


def knows_vendor(vendor: str) -> bool:
    """Whether the price map has models that LiteLLM reaches as `vendor/...`."""
    return any(entry.get("litellm_provider") == vendor for entry in _price_map().values())


def cost_of(usage: Usage, price: Price) -> int:
    """What these tokens cost in micro-USD, rounded up."""
    cached = min(usage.cached, usage.prompt)
    cached_price = price.input if price.cached is None else price.cached
    total = (usage.prompt - cached) * price.input + cached * cached_price + usage.completion * price.output
    return -(-total // MILLION)


def worst_case(request: Request, *, max_output: int, price: Price) -> int:
    """The most this call can cost: reported tokens for the known prefix, a bound by bytes for the rest."""
    new = _unknown(request)
    prompt = request.known_tokens + sum(map(len, new)) // 2 + MESSAGE_TOKENS * len(new)
    if request.tools and not request.known_tokens:
        prompt += len(request.tools) // 2
    return cost_of(Usage(prompt=prompt, completion=max_output), price)


def estimate(request: Request, *, reply_bytes: int = 0) -> Usage:
    """Likely tokens of a call whose server reported none: about four bytes each."""
    prompt = request.known_tokens + sum(map(len, _unknown(request))) // 4
    if request.tools and not request.known_tokens:
        prompt += len(request.tools) // 4
    return Usage(prompt=prompt, completion=-(-reply_bytes // 4), estimated=True)


def guess_quality(price: Price) -> int:
    """0 to 100, from the price of output: vendors price their models by what they can do.

    A starting point for routing that a person may correct, not a measurement.
    """
    if not price.known:
        return 50
    if price.output <= 0:
        return 30
    return max(30, min(95, round(60 + 30 * log10(price.output / (4 * MILLION)))))


def usd(microusd: int) -> str:
    """`1.25 USD`; as many digits as small amounts need."""
    amount = microusd / MILLION
    digits = 2 if microusd % 10_000 == 0 or amount >= 100 else 4 if amount >= 0.01 else 6
    return f"{amount:.{digits}f} USD"


def microusd(amount: float) -> int:
    """USD as micro-USD; also USD per million tokens as the unit of Price."""
    return round(amount * MILLION)


def _unknown(request: Request) -> Sequence[bytes]:
    return request.messages[request.known_messages :] if request.known_tokens else request.messages


def _per_million(per_token: float) -> int:
    return round(float(per_token) * MILLION * MILLION)


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


@cache
def _price_map() -> dict[str, dict[str, Any]]:
    """LiteLLM's price map, read as a file: importing the package costs seconds and 200 MB."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / PRICE_MAP
        if path.is_file():
            entries: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
            return entries
    return {}
