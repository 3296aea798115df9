"""Writes to motivations: make, change, switch, delete, and note that there is a reason to act."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import Organization
from apps.core.errors import BadInput, Conflict, Forbidden
from apps.core.states import move
from apps.core.storable import storable
from apps.events.bus import emit
from apps.motivations.checking import fields_check
from apps.motivations.clocks import clock_remove, clock_sync
from apps.motivations.conditions import EXTERNAL, condition_of
from apps.motivations.models import Motivation, MotivationTrigger
from apps.projects.models import Project

KEPT_EVENTS = 20


def tell(
    motivation: Motivation, kind: str, *, actor: str = "", project_id: int | None = None, **data: Any
) -> None:
    emit(
        kind,
        organization_id=motivation.organization_id,
        project_id=project_id or motivation.project_id,
        subject=f"motivation:{motivation.pk}",
        actor=actor,
        name=motivation.name,
        condition=motivation.condition,
        **data,
    )


@transaction.atomic
def motivation_create(
    *,
    organization: Organization,
    name: str,
    type: str,  # noqa: A002 - the field's own word
    condition: str,
    project: Project | None = None,
    actor: str = "",
    is_built_in: bool = False,
    **fields: Any,
) -> Motivation:
    """A new motivation, active at once; Conflict if there is one of that name."""
    expected = condition_of(condition).type
    if type != expected:
        raise BadInput(f"{condition} is of type {expected}, not {type!r}.")
    if project is not None and project.organization_id != organization.pk:
        raise BadInput("The project belongs to another organization.")
    fields = {"name": name, "parameters": {}, **fields}
    checked = fields_check(organization, project, condition, fields)
    try:
        with transaction.atomic():
            motivation = Motivation.objects.create(
                organization=organization, project=project, type=type, condition=condition,
                is_built_in=is_built_in, **checked,
            )  # fmt: skip
    except IntegrityError as error:
        raise Conflict(f"There is a motivation named {name!r} already.") from error
    clock_sync(motivation)
    tell(motivation, "motivation.created", actor=actor)
    return motivation


@transaction.atomic
def motivation_update(*, motivation: Motivation, actor: str = "", **changes: Any) -> Motivation:
    """Change what may be changed; type and condition make another motivation."""
    row = (
        Motivation.objects.select_for_update(no_key=True, of=("self",))
        .select_related("project", "organization")
        .get(pk=motivation.pk)
    )
    checked = fields_check(row.organization, row.project, row.condition, changes)
    if "cooldown_minutes" in checked and row.last_triggered_at is not None:
        checked["rests_until"] = row.last_triggered_at + timedelta(minutes=checked["cooldown_minutes"])
    try:
        with transaction.atomic():
            Motivation.objects.filter(pk=row.pk).update(**checked, updated_at=timezone.now())
    except IntegrityError as error:
        raise Conflict(f"There is a motivation named {checked['name']!r} already.") from error
    row = _fresh(row)
    clock_sync(row)
    tell(row, "motivation.updated", actor=actor, fields=sorted(changes))
    return row


def _fresh(motivation: Motivation) -> Motivation:
    return Motivation.objects.select_related("project", "organization", "agent").get(pk=motivation.pk)


@transaction.atomic
def motivation_switch(*, motivation: Motivation, active: bool, actor: str = "") -> Motivation:
    """Enable or disable; a second time changes nothing and tells nobody."""
    to, was = (Motivation.Status.ACTIVE, Motivation.Status.DISABLED)[:: 1 if active else -1]
    changed = move(Motivation.objects.filter(pk=motivation.pk), to=to, allowed={was})
    row = _fresh(motivation)
    if changed:
        if not active:
            row.triggers.filter(result=MotivationTrigger.Result.PENDING).delete()
        clock_sync(row)
        tell(row, "motivation.enabled" if active else "motivation.disabled", actor=actor)
    return row


@transaction.atomic
def motivation_delete(*, motivation: Motivation, actor: str = "") -> None:
    """Built-in ones are disabled instead: deleted, they would come back."""
    if motivation.is_built_in:
        raise Forbidden(f"{motivation.name} is built in.", hint="Disable it instead.")
    tell(motivation, "motivation.deleted", actor=actor)
    clock_remove(motivation)
    Motivation.objects.filter(pk=motivation.pk).delete()


@transaction.atomic
def trigger_add(*, motivation_id: int, cause: str, key: str, data: dict[str, Any] | None = None) -> bool:
    """Note a reason to act; False if it is known. What comes before the last was acted on is joined to it."""
    row = (
        Motivation.objects.active()
        .select_for_update(no_key=True, of=("self",))
        .filter(pk=motivation_id)
        .first()
    )
    if row is None or row.triggers.filter(key=key).exists():
        return False
    pending = row.triggers.filter(result=MotivationTrigger.Result.PENDING).first()
    if pending is None:
        row.triggers.create(motivation=row, cause=cause, key=key, data=storable(data or {}))
        return True
    joined = pending.data.get("joined", [])
    if key in {one.get("key") for one in joined}:
        return False
    more = {"joined": [*joined, storable({"key": key, **(data or {})})][-KEPT_EVENTS:]}
    row.triggers.filter(pk=pending.pk).update(data={**pending.data, **more})
    return True


@transaction.atomic
def external_tell(
    *, organization: Organization, kind: str, project: Project | None, data: dict[str, Any], actor: str = ""
) -> int:
    """Let something outside be known as an event; its id."""
    if kind not in EXTERNAL:
        raise BadInput(f"{kind!r} is no external event.", hint="Use one of: " + ", ".join(EXTERNAL) + ".")
    reserved = {"kind", "organization_id", "project_id", "bead_id", "subject", "actor"} & data.keys()
    if reserved:
        raise BadInput(f"data must not hold {', '.join(sorted(reserved))}.")
    event = emit(
        kind,
        organization_id=organization.pk,
        project_id=project.pk if project else None,
        subject="external",
        actor=actor,
        **data,
    )
    return event.pk
