"""Counting votes: each weighs as much as its voter is sure, and an option needs its part of the weight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from apps.decisions.models import Decision, Vote

ROUNDING = 1e-9


@dataclass(frozen=True)
class Tally:
    weights: dict[str, float]  # by option, heaviest first
    cast: int
    missing: list[str]
    threshold: float
    labels: dict[str, str] = field(default_factory=dict)  # the words of the options that have any

    @property
    def total(self) -> float:
        return sum(self.weights.values())

    @property
    def leader(self) -> str | None:
        """The option with most weight; None in a tie or without any weight."""
        first, second = ([*self.weights.items(), ("", 0.0), ("", 0.0)])[:2]
        return first[0] if first[1] > second[1] + ROUNDING else None

    def reached(self, *, final: bool = False) -> str | None:
        """The option that has won: at once if votes to come cannot change that, `final` by those cast.

        At the end a quorum must have voted: the same part of the voters as an option needs of the weight.
        """
        if self.leader is None:
            return None
        voters = self.cast + len(self.missing)
        if final and self.cast + ROUNDING < self.threshold * voters:
            return None
        against = 0 if final else len(self.missing)
        share = self.weights[self.leader] / (self.total + against)
        return self.leader if share + ROUNDING >= self.threshold else None

    @property
    def decider(self) -> str:
        return f"{self.cast} votes"

    def body(self) -> dict[str, Any]:
        total = self.total
        return {
            "cast": self.cast,
            "missing": self.missing,
            "threshold": self.threshold,
            "weights": {key: round(weight, 6) for key, weight in self.weights.items()},
            "shares": {key: round(weight / total, 6) if total else 0 for key, weight in self.weights.items()},
            "leader": self.leader,
        }

    def words(self) -> str:
        told = [f"{self.labels.get(key, key)} {weight:g}" for key, weight in self.weights.items()]
        shares = ", ".join(told) or "none"
        missing = f"; no vote from {', '.join(self.missing)}" if self.missing else ""
        return f"Votes by weight: {shares} (needed: {self.threshold:.0%}){missing}."


def tally_of(decision: Decision, votes: Iterable[Vote] | None = None) -> Tally:
    weights: dict[str, float] = {}
    rows = list(decision.votes.all() if votes is None else votes)
    for vote in rows:
        weights[vote.choice] = weights.get(vote.choice, 0.0) + vote.confidence
    voted = {vote.voter.casefold() for vote in rows}
    return Tally(
        weights=dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))),
        cast=len(rows),
        missing=[voter for voter in decision.voters if voter.casefold() not in voted],
        threshold=decision.threshold,
        labels={key: decision.label(key) for key in decision.keys},
    )
