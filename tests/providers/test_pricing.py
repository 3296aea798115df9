"""Prices, costs and bounds in whole micro-USD."""

from __future__ import annotations

import subprocess
import sys

import pytest

from apps.providers.discovery import VENDORS
from apps.providers.errors import Usage
from apps.providers.pricing import (
    FREE,
    MESSAGE_TOKENS,
    Price,
    cost_of,
    estimate,
    guess_quality,
    microusd,
    model_facts,
    usd,
    worst_case,
)
from apps.providers.terms import Payer, Request

PRICE = Price(1_000_000, 4_000_000)  # one and four USD per million tokens: 1 and 4 micro-USD a token


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(), PRICE, 0),
        (Usage(prompt=1000, completion=100), PRICE, 1400),
        (Usage(prompt=1), Price(1, 1), 1),  # never rounded to nothing
        (Usage(prompt=1_000_000), Price(1, 1), 1),
        (Usage(prompt=1000, cached=600), Price(1_000_000, 0, cached=100_000), 460),
        (Usage(prompt=1000, cached=600), PRICE, 1000),  # no price for cached input: like other input
        (
            Usage(prompt=100, cached=600),
            Price(1_000_000, 0, cached=0),
            0,
        ),  # more cached than sent: a server's slip
        (Usage(prompt=10**9, completion=10**9), FREE, 0),
        (Usage(prompt=3, completion=3), Price(333_333, 333_333), 2),
    ],
)
def test_cost_of_tokens(usage: Usage, price: Price, cost: int) -> None:
    assert cost_of(usage, price) == cost


def request(*messages: bytes, **fields: object) -> Request:
    return Request(messages=messages, payer=Payer(1), key="k#1", **fields)  # type: ignore[arg-type]


def test_the_worst_case_counts_every_unknown_byte_and_the_whole_answer() -> None:
    asked = request(b"x" * 1000, b"y" * 500)
    assert worst_case(asked, max_output=100, price=PRICE) == 750 + 2 * MESSAGE_TOKENS + 400


def test_the_worst_case_of_a_known_prefix_is_what_the_model_reported() -> None:
    asked = request(b"x" * 100_000, b"y" * 500, known_tokens=20_000, known_messages=1)
    assert worst_case(asked, max_output=0, price=PRICE) == 20_000 + 250 + MESSAGE_TOKENS


def test_tools_count_until_the_model_has_reported_a_prompt_that_held_them() -> None:
    tools = b"t" * 1000
    first = worst_case(request(b"x" * 100, tools=tools), max_output=0, price=PRICE)
    later = worst_case(
        request(b"x" * 100, tools=tools, known_tokens=600, known_messages=1), max_output=0, price=PRICE
    )
    assert (first, later) == (500 + 50 + MESSAGE_TOKENS, 600)


def test_the_estimate_lies_below_the_worst_case() -> None:
    asked = request(b"x" * 4000, b"y" * 4000, tools=b"t" * 400)
    likely = estimate(asked, reply_bytes=400)
    assert likely == Usage(prompt=2100, completion=100, estimated=True)
    assert cost_of(likely, PRICE) < worst_case(asked, max_output=100, price=PRICE)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_the_default_model_of_every_vendor_has_a_known_price_and_takes_tools(vendor: object) -> None:
    facts = model_facts(vendor.model, vendor.price_prefix)  # type: ignore[attr-defined]
    assert facts is not None
    assert facts.price.known
    assert 0 < facts.price.input <= facts.price.output
    assert facts.tools
    assert facts.context_window >= 100_000


def test_a_price_is_exact_although_the_map_has_floats() -> None:
    facts = model_facts("gpt-5", "openai")
    assert facts is not None
    assert facts.price == Price(1_250_000, 10_000_000, cached=125_000)
    assert (facts.context_window, facts.max_output, facts.vision) == (272_000, 128_000, True)


def test_the_vendors_own_entry_goes_before_the_bare_name() -> None:
    through, bare = model_facts("openai/gpt-oss-120b", "groq"), model_facts("no-such-model-xyz", "groq")
    assert through is not None
    assert through.price.input == 150_000
    assert bare is None


def test_prices_are_read_without_importing_litellm() -> None:
    code = (
        "import sys; from apps.providers.pricing import model_facts; "
        "assert model_facts('gpt-5'); assert 'litellm' not in sys.modules and 'openai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00 USD"),
        (1_250_000, "1.25 USD"),
        (1_234_567, "1.2346 USD"),
        (42, "0.000042 USD"),
        (10**9, "1000.00 USD"),
    ],
)
def test_amounts_are_shown_with_the_digits_they_need(amount: int, text: str) -> None:
    assert usd(amount) == text


def test_usd_become_whole_micro_usd() -> None:
    assert [microusd(amount) for amount in (0.1, 0.25, 3, 1e-6)] == [100_000, 250_000, 3_000_000, 1]


def test_guessed_quality_rises_with_the_price_and_stays_in_bounds() -> None:
    guesses = [guess_quality(Price(0, output)) for output in (0, 100_000, 1_000_000, 10_000_000, 10**9)]
    assert guesses == sorted(guesses)
    assert (guesses[0], guesses[-1]) == (30, 95)
    assert guess_quality(Price(1, 1, known=False)) == 50
