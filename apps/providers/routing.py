"""Which providers may answer a call, and in which order. Pure: rows and a clock in, an order out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.core.errors import BadInput
from apps.providers.terms import Needs

POLICIES = ("balanced", "minimize_cost", "minimize_latency", "maximize_quality")
UNKNOWN_LATENCY_MS = 2000  # an untried provider is neither favored nor buried


@dataclass(frozen=True)
class Candidate:
    """What routing knows of a provider. Prices are micro-USD per million tokens."""

    id: int
    name: str
    price_in: int = 0
    price_out: int = 0
    latency_ms: int = 0  # 0: not measured yet
    quality: int = 50  # 0 to 100
    context_window: int = 0  # 0: unknown
    tools: bool | None = None  # None: not tried yet
    vision: bool = False
    tags: frozenset[str] = frozenset()
    failed: bool = False
    cool_until: datetime | None = None
    is_demo: bool = False

    @property
    def price(self) -> int:
        """Blended: agents send about three tokens for each they receive."""
        return (3 * self.price_in + self.price_out) // 4


@dataclass(frozen=True)
class Choice:
    """Providers to try, best first, and why each of the others is not among them."""

    order: tuple[Candidate, ...]
    refused: tuple[tuple[Candidate, str], ...] = ()

    def reasons(self) -> str:
        return "; ".join(f"{candidate.name}: {why}" for candidate, why in self.refused)

    def rest_until(self) -> datetime | None:
        """When the first of the resting providers may be tried again."""
        return min((c.cool_until for c, _ in self.refused if c.cool_until is not None), default=None)


def choose(
    candidates: Sequence[Candidate],
    *,
    needs: Needs,
    policy: str,
    now: datetime,
    tools_offered: bool = False,
    pinned: int | None = None,
    preferred: int | None = None,
) -> Choice:
    """Order the candidates that fit; ones that failed last time go to the end.

    The `preferred` one comes first if it fits and did not fail last time; else the policy decides.

    A candidate whose circuit was opened and whose rest is over is in the order: trying it is how it recovers.
    The scripted demo takes part only when it is pinned or alone.
    """
    if policy not in POLICIES:
        raise BadInput(f"{policy!r} is no routing policy.", hint="Use one of: " + ", ".join(POLICIES) + ".")
    if pinned is not None:
        candidates = [c for c in candidates if c.id == pinned]
    elif any(not c.is_demo for c in candidates):
        candidates = [c for c in candidates if not c.is_demo]
    judged = [(c, _obstacle(c, needs, tools_offered, now)) for c in candidates]
    fit = [c for c, why in judged if not why]
    refused = tuple((c, why) for c, why in judged if why)
    rank = _ranker(fit, policy)
    return Choice(tuple(sorted(fit, key=lambda c: (c.failed, c.id != preferred, rank(c), c.id))), refused)


def _obstacle(candidate: Candidate, needs: Needs, tools_offered: bool, now: datetime) -> str:
    """Why this candidate cannot take the call; empty if it can."""
    checks: tuple[tuple[bool, str], ...] = (
        ((needs.tools or tools_offered) and candidate.tools is False, "takes no tools"),
        (needs.vision and not candidate.vision, "sees no images"),
        (0 < candidate.context_window < needs.context_window, "context window too small"),
        (needs.max_price is not None and candidate.price > needs.max_price, "too expensive"),
        (0 < needs.max_latency_ms < candidate.latency_ms, "too slow"),
        (not candidate.tags.issuperset(needs.tags), "lacks a tag"),
        (candidate.cool_until is not None and candidate.cool_until > now, "rests after failures"),
    )
    return next((why for hindered, why in checks if hindered), "")


def _ranker(fit: Sequence[Candidate], policy: str) -> Callable[[Candidate], tuple[float, ...]]:
    """A sort key for the policy, best first."""
    if policy == "minimize_cost":
        return lambda c: (c.price, _latency(c), -c.quality)
    if policy == "minimize_latency":
        return lambda c: (_latency(c), c.price, -c.quality)
    if policy == "maximize_quality":
        return lambda c: (-c.quality, c.price, _latency(c))
    lowest_price = min((c.price for c in fit), default=0)
    lowest_latency = min(map(_latency, fit), default=1)
    highest_quality = max((c.quality for c in fit), default=0) or 1

    def balance(c: Candidate) -> tuple[float, ...]:
        cost = (lowest_price + 1) / (c.price + 1)
        speed = lowest_latency / _latency(c)
        return (-(0.3 * cost + 0.3 * speed + 0.4 * c.quality / highest_quality),)

    return balance


def _latency(candidate: Candidate) -> int:
    return candidate.latency_ms or UNKNOWN_LATENCY_MS
