"""What the texts of personas cost, which go with every call of their agents, and how they could be shorter.

A finding is a text as it is and as it could be; `PUT /personas/{group}/{name}` takes it. How often it was
sent and what its tokens cost stand in the ledger. Whether agents do as well with it is known only after it
was tried, and a finding says so.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from apps.agents.models import Persona, Session
from apps.agents.replies.language import strip
from apps.analytics.caching import MONTH
from apps.analytics.ledger import MICRO
from apps.analytics.wording import resolute, shortened, unrepeated
from apps.providers.models import Call, Provider
from apps.providers.pricing import MILLION

BYTES_A_TOKEN = 4  # as the ledger estimates where a server does not say
SURE_CALLS = 100  # from so many on, what it saves is sure
PERSONA = Subquery(
    Session.objects.filter(pk=OuterRef("session_id")).order_by().values("agent__persona_id")[:1]
)


@dataclass(frozen=True)
class Kind:
    type: str
    edit: Callable[[str], str]
    recommendation: str
    quality: str


KINDS = (
    Kind(
        "repetition", unrepeated,
        "Say it once: these sentences stand before in the text, or the platform tells them to every agent.",
        "none expected: nothing is left out",
    ),
    Kind("verbosity", shortened, "Say it in fewer words.", "none expected: the words say nothing"),
    Kind(
        "instruction-clarity", resolute,
        "Say what is to be done: models take a way out where one is offered.",
        "not measured: it asks for more than before",
    ),
)  # fmt: skip


@dataclass
class Use:
    """How often a persona's text was sent, and what a token of it cost all those times, in micro-USD."""

    calls: int = 0
    token: float = 0.0


@dataclass(frozen=True)
class Finding:
    kind: Kind
    persona: Persona
    use: Use
    text: str
    better: str

    @property
    def saved(self) -> int:
        """Tokens of each call."""
        return tokens_of(self.text) - tokens_of(self.better)

    @property
    def cost(self) -> float:
        """Micro-USD in the time that was looked at."""
        return self.saved * self.use.token

    def body(self, window: timedelta, now: datetime) -> dict[str, Any]:
        name = f"{self.kind.type}:{self.persona.pk}:{self.persona.sha256}"
        tokens = tokens_of(self.text)
        return {
            "id": f"prompt-{zlib.crc32(name.encode()):08x}",
            "type": self.kind.type,
            "persona": self.persona.name,
            "original_prompt": self.text,
            "optimized_prompt": self.better,
            "original_tokens": tokens,
            "estimated_tokens": tokens_of(self.better),
            "token_savings": self.saved,
            "token_savings_percent": round(100 * self.saved / tokens, 2),
            "cost_savings_usd": _usd(self.cost),
            "monthly_cost_savings_usd": _usd(self.cost * (MONTH / window)),
            "recommendation": self.kind.recommendation,
            "quality_impact": self.kind.quality,
            "confidence": round(min(1.0, self.use.calls / SURE_CALLS), 2),
            "request_count": self.use.calls,
            "detected_at": now,
        }


def tokens_of(text: str) -> int:
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def prompt_analysis(calls: QuerySet[Call], personas: QuerySet[Persona], window: timedelta) -> dict[str, Any]:
    """Of the personas whose agents made the calls, as far as they are among `personas`; three queries."""
    now = timezone.now()
    uses = _uses(calls.filter(created_at__gte=now - window))
    at_work = list(personas.filter(pk__in=uses))
    found = [one for persona in at_work for one in findings_of(persona, uses[persona.pk])]
    found.sort(key=lambda one: (-one.cost, -one.saved * one.use.calls, one.persona.name))
    whole = [_all_of(persona, uses[persona.pk]) for persona in at_work]
    cost = sum(one.cost for one in whole)
    return {
        "analyzed_at": now,
        "time_window": int(window.total_seconds()) * 1_000_000_000,
        "total_prompts": len(at_work),
        "optimizable_prompts": len({one.persona.pk for one in found}),
        "optimizations": [one.body(window, now) for one in found],
        "total_token_savings": sum(one.saved * one.use.calls for one in whole),
        "total_cost_savings_usd": _usd(cost),
        "monthly_projection_usd": _usd(cost * (MONTH / window)),
    }


def findings_of(persona: Persona, use: Use) -> list[Finding]:
    text = strip(persona.instructions).strip()
    made = [Finding(kind, persona, use, text, kind.edit(text)) for kind in KINDS]
    return [one for one in made if one.saved > 0]


def _all_of(persona: Persona, use: Use) -> Finding:
    """All of it done at once: a sentence that goes as a whole saves its words only once."""
    text = better = strip(persona.instructions).strip()
    for kind in KINDS:
        better = kind.edit(better)
    return Finding(KINDS[0], persona, use, text, better)


def _uses(calls: QuerySet[Call]) -> dict[int, Use]:
    """By persona. What a provider had in its cache costs what that costs, and nominal calls nothing."""
    answered = calls.filter(status=Call.Status.SETTLED).exclude(session_id=None).order_by()
    rows: Any = answered.annotate(persona=PERSONA).exclude(persona=None)
    rows = rows.values("persona", "provider_id", "nominal").annotate(
        calls=Count("pk"), prompt=Sum("prompt_tokens"), cached=Sum("cached_tokens")
    )
    rows = list(rows)
    providers = Provider.objects.in_bulk({row["provider_id"] for row in rows})
    uses: defaultdict[int, Use] = defaultdict(Use)
    for row in rows:
        use = uses[row["persona"]]
        use.calls += row["calls"]
        provider = providers.get(row["provider_id"])
        if provider is not None and not row["nominal"]:
            use.token += row["calls"] * _price(provider, row["prompt"], row["cached"]) / MILLION
    return dict(uses)


def _price(provider: Provider, prompt: int, cached: int) -> float:
    """Micro-USD of a million tokens that are sent, as much from the cache as those were."""
    kept = provider.price_in if provider.price_cached is None else provider.price_cached
    part = min(1.0, cached / prompt) if prompt else 0.0
    return provider.price_in * (1 - part) + kept * part


def _usd(microusd: float) -> float:
    return round(microusd / MICRO, 6)
