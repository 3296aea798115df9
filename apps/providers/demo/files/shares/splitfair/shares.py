"""Divide an amount among people so that the shares add up to it, to the cent.

Cents that do not divide evenly go to those whose exact share was cut most (the largest remainder).
Where that is equal, the people listed first take them. The rule needs no memory: the same input gives
the same shares, always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from splitfair.errors import SplitfairError


class SplitError(SplitfairError):
    """A split that cannot be made."""


def split_equally(cents: int, people: Iterable[str]) -> dict[str, int]:
    """Return the share of each person in cents; shares differ by one cent at most."""
    weights: dict[str, int] = {}
    for name in people:
        if name in weights:
            raise SplitError(f"{name} is listed twice")
        weights[name] = 1
    return split_by_weight(cents, weights)


def split_by_weight(cents: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Return shares in cents in proportion to whole weights; with 2 for Ann and 1 for Bob, Ann bears 2/3."""
    if not weights:
        raise SplitError("an expense must be shared by somebody")
    for name, weight in weights.items():
        if weight < 1:
            raise SplitError(f"the weight of {name} must be a whole number from 1 up, not {weight}")
    total = sum(weights.values())
    shares = {name: cents * weight // total for name, weight in weights.items()}
    leftover = cents - sum(shares.values())
    # sorted() is stable, so people with the same remainder stay in the order listed.
    cut_most = sorted(weights, key=lambda name: cents * weights[name] % total, reverse=True)
    for name in cut_most[:leftover]:
        shares[name] += 1
    return shares
