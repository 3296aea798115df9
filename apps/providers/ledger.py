"""Reserve before a call, settle after it: the counters of every budget and the row of the ledger, together.

Of one organization all reservations and settlements take the lock on its own budget row before any other
budget's (on SQLite: the write lock), so several rows are counted as one and no two transactions can wait for
each other. It is the last they do: everybody waits for this lock, and each holds it only to commit, which
PostgreSQL does without asking back if nothing unusual came (`at_once`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, connection, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from apps.core.errors import BudgetExceeded, Conflict
from apps.core.together import at_once, together
from apps.providers import statements
from apps.providers.errors import Busy, CallFailed, Usage
from apps.providers.models import Budget, Call, Provider
from apps.providers.pricing import cost_of, usd
from apps.providers.statements import Closing
from apps.providers.terms import Payer, Request

InReserve = Callable[[Call], None]
ERROR_TEXT_LIMIT = 500
SLOT_HORIZON = timedelta(hours=1)  # a reservation older than this no longer holds a slot


def reserve(
    request: Request, provider: Provider, *, key: str, amount: int, in_reserve: InReserve | None = None
) -> Call:
    """Set `amount` aside under every budget that applies and open the ledger row, in one transaction.

    `in_reserve` may be called twice: then what it did first was rolled back.

    Raises BudgetExceeded, Busy when the provider's slots are taken, and Conflict for a key used before.
    """
    call = _call(request, provider, key, amount)
    if not request.is_first and (died := statements.open_calls(call.stem)):
        lose(Call.objects.filter(pk__in=died))

    def begin(set_aside: Callable[[Payer, int], object]) -> None:
        _take_slot(provider, call.created_at)
        with together():
            statements.open_call(call)
            if in_reserve is not None:
                in_reserve(call)
            set_aside(request.payer, amount)

    try:
        if not at_once(partial(begin, _set_aside_at_once)):
            with transaction.atomic(durable=True):
                begin(_set_aside)
    except IntegrityError:
        if Call.objects.filter(key=key).exists():
            raise Conflict(f"A call with the key {key!r} is in the ledger already.") from None
        raise
    return call


def settle(
    call: Call,
    usage: Usage,
    provider: Provider,
    *,
    latency_ms: int,
    finish_reason: str = "",
    in_settle: Callable[[], None] | None = None,
) -> int:
    """Book an answered call and return its cost in micro-USD; `in_settle` runs in the transaction.

    It may be called twice: then what it did first was rolled back.
    """
    cost = cost_of(usage, provider.price)
    closing = _closing(
        Call.Status.SETTLED, cost, usage, latency_ms=latency_ms, finish_reason=finish_reason[:40]
    )
    given_up = Conflict(
        "This model call was given up as lost while it was under way.",
        hint="Another worker has taken the work over; its result counts.",
    )

    def end() -> Callable[[], bool]:
        closed = statements.close_call(call.pk, closing)
        if in_settle is not None:
            in_settle()
        _book(call, closing)
        return closed

    try:
        if not at_once(end):
            with transaction.atomic(durable=True), together():
                if not end()():
                    raise given_up
    except IntegrityError:  # what the other worker wrote may stand in the way of ours
        if Call.objects.filter(pk=call.pk, status=Call.Status.RESERVED).exists():
            raise
        raise given_up from None
    return cost


def fail(call: Call, failure: CallFailed, usage: Usage, provider: Provider, *, latency_ms: int) -> None:
    """Book a failed call; what the model may have worked is on the bill, the rest is free again."""
    closing = _closing(
        Call.Status.FAILED,
        cost_of(usage, provider.price),
        usage,
        latency_ms=latency_ms,
        error=failure.code[:40],
        error_text=failure.message[:ERROR_TEXT_LIMIT],
    )
    with transaction.atomic(durable=True):
        _close(call, closing)


def lose(calls: Iterable[Call]) -> int:
    """Book reservations whose process died at their full amount; how many."""
    lost = 0
    for call in calls:
        with transaction.atomic(durable=True):
            lost += _close(call, Closing(Call.Status.LOST.value, call.reserved_microusd, error="lost"))
    return lost


def budget_row(*, organization_id: int, scope: str, scope_id: int) -> Budget:
    """The budget of that scope, locked; a new one starts from what the ledger says was spent so far.

    Needs a transaction.
    """
    _lock(organization_id)
    known = Budget.objects.filter(scope=scope, scope_id=scope_id).first()
    if known is not None:
        return known
    calls = Call.objects.filter(organization_id=organization_id).filter(**{f"{scope}_id": scope_id})
    is_open = Q(status=Call.Status.RESERVED)
    sums = calls.aggregate(spent=Sum("cost_microusd"), reserved=Sum("reserved_microusd", filter=is_open))
    return Budget.objects.create(
        organization_id=organization_id,
        scope=scope,
        scope_id=scope_id,
        spent_microusd=sums["spent"] or 0,
        reserved_microusd=sums["reserved"] or 0,
    )


def calls_under_way(provider: Provider, now: datetime) -> int:
    rows = Call.objects.filter(provider_id=provider.pk, status=Call.Status.RESERVED)
    return rows.filter(created_at__gt=now - SLOT_HORIZON).count()


def stem_of(key: str) -> str:
    """The part of an idempotency key that all attempts share."""
    return key.rpartition("#")[0] or key


def _call(request: Request, provider: Provider, key: str, amount: int) -> Call:
    payer = request.payer
    return Call(
        key=key,
        stem=stem_of(request.key),
        organization_id=payer.organization_id,
        project_id=payer.project_id,
        bead_id=payer.bead_id,
        session_id=payer.session_id,
        run_id=payer.run_id,
        user_id=payer.user_id,
        purpose=payer.purpose[:60],
        provider_id=provider.pk,
        provider_name=provider.name,
        model=provider.model,
        nominal=provider.is_demo,
        status=Call.Status.RESERVED.value,
        reserved_microusd=amount,
        created_at=timezone.now(),
    )


def _closing(status: Call.Status, cost: int, usage: Usage, *, latency_ms: int, **texts: str) -> Closing:
    return Closing(
        status=status.value,
        cost_microusd=cost,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        cached_tokens=usage.cached,
        estimated=usage.estimated,
        latency_ms=latency_ms,
        **texts,
    )


def _close(call: Call, closing: Closing) -> bool:
    """End the call and book its cost; False if somebody else has ended it. Needs a transaction."""
    if not statements.close_call(call.pk, closing)():
        return False
    _book(call, closing)
    return True


def _book(call: Call, closing: Closing) -> None:
    statements.lock_organization(call.organization_id)
    statements.book(call, reserved=call.reserved_microusd, cost=closing.cost_microusd)


def _set_aside_at_once(payer: Payer, amount: int) -> None:
    """Reserve where all rows are there and have the room; else the server refuses."""
    statements.lock_organization(payer.organization_id)
    statements.set_aside(payer, amount)


def _set_aside(payer: Payer, amount: int) -> None:
    """Reserve under all budgets at once; organization and project get their rows here if missing."""
    wanted = {"organization"} if payer.project_id is None else {"organization", "project"}
    is_locked = statements.lock_organization(payer.organization_id)
    charging = statements.set_aside(payer, amount)
    if not is_locked():  # it ran beside whoever made rows meanwhile, and may have missed some of them
        statements.give_back(payer, amount, charging())
        _lock(payer.organization_id)
        charging = statements.set_aside(payer, amount)
    charged = charging()
    if wanted <= charged:
        return
    if charged:  # but not all: take it back, make the missing row, and do it again with all of them
        statements.give_back(payer, amount, charged)
    elif lacking := _lacking(payer, amount):
        raise _exceeded(lacking, amount)
    _make_row(payer.organization_id, Budget.Scope.ORGANIZATION, payer.organization_id)
    if payer.project_id is not None:
        _make_row(payer.organization_id, Budget.Scope.PROJECT, payer.project_id)
    if not wanted <= statements.set_aside(payer, amount)():
        raise _exceeded(_lacking(payer, amount), amount)


def _lock(organization_id: int) -> None:
    """Take the organization's lock; whoever holds it makes the other rows, so nobody waits in a circle."""
    if not statements.lock_organization(organization_id)():
        _make_row(organization_id, Budget.Scope.ORGANIZATION, organization_id)
        statements.lock_organization(organization_id)()


def _make_row(organization_id: int, scope: str, scope_id: int) -> None:
    row = Budget(organization_id=organization_id, scope=scope, scope_id=scope_id)
    Budget.objects.bulk_create([row], ignore_conflicts=True)


def _lacking(payer: Payer, amount: int) -> list[Budget]:
    """The payer's budgets without room for the amount."""
    scopes = {
        Budget.Scope.ORGANIZATION: payer.organization_id,
        Budget.Scope.PROJECT: payer.project_id,
        Budget.Scope.BEAD: payer.bead_id,
        Budget.Scope.RUN: payer.run_id,
    }
    theirs = Q()
    for scope, scope_id in scopes.items():
        theirs |= Q(scope=scope, scope_id=scope_id) if scope_id is not None else Q()
    return [row for row in Budget.objects.filter(theirs) if row.left is not None and row.left < amount]


def _exceeded(lacking: list[Budget], amount: int) -> BudgetExceeded:
    tightest = min(lacking, key=lambda row: row.left or 0)
    limit, spent, reserved = tightest.limit_microusd or 0, tightest.spent_microusd, tightest.reserved_microusd
    return BudgetExceeded(
        f"The budget of this {tightest.scope} is used up: of {usd(limit)}, {usd(spent)} are spent and "
        f"{usd(reserved)} set aside for calls under way; this call may cost {usd(amount)}.",
        hint="Raise the limit and resume.",
        details={
            "scope": tightest.scope,
            "scope_id": tightest.scope_id,
            "limit_microusd": limit,
            "spent_microusd": spent,
            "reserved_microusd": reserved,
            "asked_microusd": amount,
            # Calls under way set aside their worst case; when they settle there may be room again.
            "may_free_up": all((row.left or 0) + row.reserved_microusd >= amount for row in lacking),
        },
    )


def _take_slot(provider: Provider, now: datetime) -> None:
    """Refuse the call if the provider's slots are taken; the lock makes the count exact."""
    if not provider.max_concurrency:
        return
    if connection.features.has_select_for_update:
        Provider.objects.select_for_update().filter(pk=provider.pk).values_list("pk").first()
    if calls_under_way(provider, now) >= provider.max_concurrency:
        raise Busy(
            f"{provider.name} is busy: its {provider.max_concurrency} calls at once are taken.",
            retry_after=2.0,
        )
