"""Turn balances into few transfers.

People whose balances cancel out among themselves form a group, and k people of a group are settled by
k - 1 transfers. So the more groups, the fewer transfers: we look for the most groups, exactly where that
is affordable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The search looks at every subset of people: 4096 of them for twelve, in a few hundredths of a second.
EXACT_UP_TO = 12


@dataclass(frozen=True)
class Transfer:
    """A payment that is proposed, in cents."""

    sender: str
    receiver: str
    cents: int


def settle(nets: Mapping[str, int]) -> list[Transfer]:
    """Return transfers that bring every net balance (cents; positive is owed money) to zero.

    As few as possible for up to EXACT_UP_TO people who are not even; above that still fewer than people.
    Raises ValueError if the balances do not add up to zero.
    """
    if sum(nets.values()) != 0:
        raise ValueError(f"balances must add up to zero, not to {sum(nets.values())} cents")
    uneven = {name: cents for name, cents in nets.items() if cents != 0}
    groups = _most_groups(uneven) if len(uneven) <= EXACT_UP_TO else [uneven]
    return [transfer for group in groups for transfer in _settle_group(group)]


def _most_groups(nets: Mapping[str, int]) -> list[dict[str, int]]:
    """Part people into as many groups as possible of which each adds up to zero.

    A set of people is a bit mask. The best parting of a set is the best one of the set without some member,
    plus one group if the set itself adds up to zero.
    """
    names = list(nets)
    total = [0] * (1 << len(names))
    groups = [0] * len(total)
    leaver = [0] * len(total)
    for mask in range(1, len(total)):
        members = [i for i in range(len(names)) if mask >> i & 1]
        total[mask] = total[mask & (mask - 1)] + nets[names[members[0]]]
        leaver[mask] = max(members, key=lambda i: groups[mask ^ (1 << i)])
        groups[mask] = groups[mask ^ (1 << leaver[mask])] + (total[mask] == 0)

    parts: list[dict[str, int]] = []
    mask = len(total) - 1
    while mask:
        if total[mask] == 0:
            parts.append({})
        name = names[leaver[mask]]
        parts[-1][name] = nets[name]
        mask ^= 1 << leaver[mask]
    return parts


def _settle_group(nets: Mapping[str, int]) -> list[Transfer]:
    """Let the largest debt meet the largest claim until all is even; each transfer evens somebody out."""
    open_nets = dict(nets)
    transfers: list[Transfer] = []
    while open_nets:
        sender = min(open_nets, key=lambda name: open_nets[name])
        receiver = max(open_nets, key=lambda name: open_nets[name])
        cents = min(-open_nets[sender], open_nets[receiver])
        transfers.append(Transfer(sender, receiver, cents))
        open_nets[sender] += cents
        open_nets[receiver] -= cents
        open_nets = {name: net for name, net in open_nets.items() if net != 0}
    return transfers
