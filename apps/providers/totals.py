"""What calls came to by provider, model and outcome, without adding up the whole ledger each time.

Calls that ended never change, so they are added to totals once, in the order of their ids, up to the first
that is under way or so young that one with a lower id may still be on its way into the table. Whoever reads
adds the few that came after.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from apps.core.errors import Unavailable
from apps.providers.models import Call, CallTotal

YOUNG = timedelta(minutes=10)  # longer than any transaction that reserves a call
CHUNK = 20_000  # ids in one transaction
TRIES = 5
FIGURES = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_microusd", "latency_ms")
KEY = ("provider_name", "model", "status")
OWN = ("organization_id", *KEY)

Key = tuple[str, str, str]  # provider, model, status


def totals_fold() -> None:
    """Add the calls that ended to the totals."""
    while _fold_some():
        pass


def totals_read() -> dict[Key, Counter[str]]:
    """Figures of all calls by provider, model and status; its cost depends on the newest calls only."""
    for _ in range(TRIES):
        folded = _folded()
        found: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        for rows in (CallTotal.objects.values(*OWN, *FIGURES), _summed(Call.objects.filter(pk__gt=folded))):
            for row in rows:
                key = row["provider_name"], row["model"], row["status"]
                found[key].update({name: row[name] for name in FIGURES})
        if _folded() == folded:  # else some of them were counted twice, or not at all
            return dict(found)
    raise Unavailable("The ledger's totals changed all the time while they were read.")


def _folded() -> int:
    """The last call that the totals have: nothing is left out before it."""
    return CallTotal.objects.aggregate(up_to=Max("up_to"))["up_to"] or 0


def _summed(calls: QuerySet[Call]) -> Iterable[dict[str, Any]]:
    sums = {name: Sum(name) for name in FIGURES if name != "calls"}
    rows: Any = calls.order_by().values(*OWN).annotate(calls=Count("pk"), **sums)
    return list(rows)


@transaction.atomic
def _fold_some() -> bool:
    """False when nothing is left that may be added."""
    if connection.vendor == "postgresql":  # SQLite's transactions are one at a time anyway
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {CallTotal._meta.db_table} IN EXCLUSIVE MODE")
    rows = Call.objects.filter(pk__gt=_folded()).order_by("pk")
    ids = rows.values_list("pk", flat=True)
    if (last := ids[CHUNK - 1 : CHUNK].first() or ids.last()) is None:
        return False
    waits = Q(status=Call.Status.RESERVED) | Q(created_at__gte=timezone.now() - YOUNG)
    first = rows.filter(waits, pk__lte=last).aggregate(first=Min("pk"))["first"]
    ended = rows.filter(pk__lte=last) if first is None else rows.filter(pk__lt=first)
    if (up_to := ended.aggregate(up_to=Max("pk"))["up_to"]) is None:
        return False
    for row in _summed(ended):
        _add(row, up_to)
    return True


def _add(row: dict[str, Any], up_to: int) -> None:
    mine = {name: row[name] for name in OWN}
    CallTotal.objects.bulk_create([CallTotal(**mine)], ignore_conflicts=True)
    sums = {name: F(name) + row[name] for name in FIGURES}
    CallTotal.objects.filter(**mine).update(**sums, up_to=up_to)
