"""Writing down which provider some work prefers, and taking that back; routing reads it at every call."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from apps.core.errors import Conflict, NotFound
from apps.events.bus import Fact, emit_all
from apps.providers.models import Preference, Provider
from apps.providers.pool import Work, forget


def preferences_set(
    *,
    provider: Provider,
    organization_id: int,
    works: Iterable[Work],
    optimization: str = "",
    reason: str = "",
    actor: str = "",
) -> list[Preference]:
    """This work asks the provider first from now on, instead of what it preferred before."""
    if not Provider.objects.usable_by(organization_id).filter(pk=provider.pk).exists():
        raise Conflict(f"{provider.name} is switched off, or belongs to another organization.")
    with transaction.atomic():
        rows = [
            Preference.objects.update_or_create(
                project_id=project_id,
                role=role,
                purpose=purpose,
                defaults={
                    "organization_id": organization_id,
                    "provider": provider,
                    "model": provider.model,
                    "optimization": optimization,
                    "reason": reason,
                    "made_by": actor[:150],
                },
            )[0]
            for project_id, role, purpose in sorted(works)
        ]
        emit_all(_fact("routing.preferred", row, actor) for row in rows)
    forget()
    return rows


@transaction.atomic
def preference_remove(*, preference_id: int, actor: str = "") -> None:
    """The policy decides again."""
    row = Preference.objects.select_related("provider").filter(pk=preference_id).first()
    if row is None:
        raise NotFound(f"There is no preference {preference_id}.")
    emit_all([_fact("routing.preference_removed", row, actor)])
    row.delete()
    forget()


def _fact(kind: str, row: Preference, actor: str) -> Fact:
    return Fact(
        kind,
        organization_id=row.organization_id,
        project_id=row.project_id,
        subject=f"preference:{row.pk}",
        actor=actor,
        data={
            "role": row.role,
            "purpose": row.purpose,
            "provider_id": row.provider_id,
            "provider": row.provider.name,
            "model": row.model,
            "optimization": row.optimization,
        },
    )
