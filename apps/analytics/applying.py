"""Applying a recommendation: the work it is about prefers the cheaper model from then on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.agents.models import Session
from apps.analytics.optimizing import Substitution, substitutions_of
from apps.core.errors import Conflict, Forbidden, LoomError, NotFound
from apps.projects.models import Project
from apps.providers.models import Call, Preference, Provider
from apps.providers.pool import Work
from apps.providers.preferences import preferences_set

LONGEST = 40  # characters of an id that is told back

ROLE = Subquery(Session.objects.filter(pk=OuterRef("session_id")).order_by().values("agent__role")[:1])

MayWrite = Callable[[int, int], bool]


def optimization_apply(
    *,
    calls: QuerySet[Call],
    window: timedelta,
    optimization_id: str,
    others: Callable[[], set[str]],
    may_write: MayWrite,
    project_id: int | None = None,
    role: str | None = None,
    actor: str = "",
) -> list[Preference]:
    """Have the roles and projects whose calls the recommendation is about prefer its model.

    All of them where `may_write(organization, project)` holds, or only those of a project or role.
    `others` are the ids of recommendations that are not Loom's to carry out.
    """
    found = {one.id: one for one in substitutions_of(calls, window)}
    if optimization_id not in found:
        raise _unknown(optimization_id, others())
    one = found[optimization_id]
    provider = Provider.objects.filter(pk=one.best.provider_id, enabled=True, model=one.best.model).first()
    if provider is None:
        raise Conflict(f"{one.best.provider_name} is gone, switched off or has another model by now.")
    works = _works(calls, one, project_id, role)
    if not works:
        raise Conflict(
            "No project and role that may be chosen made these calls.", hint="Calls outside projects stay."
        )
    allowed = {work for work in works if may_write(work[0], work[1][0])}
    if not allowed:
        raise Forbidden("You may not choose models for the work this is about.")
    return _set(provider, allowed, one, actor)


def _unknown(optimization_id: str, others: set[str]) -> LoomError:
    if optimization_id in others:
        return Conflict(
            "Only another model or provider can be applied here.",
            hint="Caches and batch endpoints are switched on at the provider.",
        )
    return NotFound(
        f"There is no recommendation {optimization_id[:LONGEST]!r} in this time.",
        hint="Ask /optimizations with the same time_window and project_id.",
    )


def _works(
    calls: QuerySet[Call], one: Substitution, project_id: int | None, role: str | None
) -> set[tuple[int, Work]]:
    """Who made the calls that the recommendation would replace: organization, and the work."""
    record = one.record
    rows = calls.filter(
        created_at__gte=timezone.now() - one.window,
        provider_id=record.provider_id,
        model=record.model,
        purpose=record.purpose,
        project_id__in=Project.objects.values("pk"),  # the ledger outlives projects
    )
    rows = rows.filter(project_id=project_id) if project_id else rows
    found = rows.order_by().annotate(at_work=Coalesce(ROLE, Value("")))
    pairs: Any = found.values_list("organization_id", "project_id", "at_work").distinct()
    return {
        (organization, (project, name, record.purpose))
        for organization, project, name in pairs
        if role is None or name == role
    }


def _set(provider: Provider, works: set[tuple[int, Work]], one: Substitution, actor: str) -> list[Preference]:
    by_organization: defaultdict[int, set[Work]] = defaultdict(set)
    for organization_id, work in works:
        by_organization[organization_id].add(work)
    usable = {
        organization_id
        for organization_id in by_organization
        if provider.organization_id in (None, organization_id)
    }
    if not usable:
        raise Conflict(f"{provider.name} belongs to another organization.")
    return [
        row
        for organization_id in sorted(usable)
        for row in preferences_set(
            provider=provider,
            organization_id=organization_id,
            works=by_organization[organization_id],
            optimization=one.id,
            reason=one.reason,
            actor=actor,
        )
    ]
