"""Firing: once it has rested, a motivation makes a bead or wakes an agent; one such bead is open at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import Conflict, LoomError
from apps.core.storable import storable
from apps.motivations.conditions import LABEL
from apps.motivations.models import Motivation, MotivationTrigger
from apps.motivations.services import tell
from apps.projects.models import Project

Result = MotivationTrigger.Result
SHOWN_CHARS = 2_000
KEY_CHARS = 120


@transaction.atomic
def pending_fire(trigger_id: int, now: datetime) -> MotivationTrigger | None:
    """Act on a pending trigger; None if its motivation rests or somebody else did."""
    trigger = MotivationTrigger.objects.filter(pk=trigger_id).first()
    if trigger is None or not _begin(trigger.motivation_id, now):
        return None
    # The motivation's row is held from here on: the trigger is read again under it.
    trigger = MotivationTrigger.objects.filter(pk=trigger_id, result=Result.PENDING).first()
    if trigger is None:
        transaction.set_rollback(True)
        return None
    return _fire(trigger, now)


@transaction.atomic
def sensed_fire(
    motivation: Motivation, now: datetime, *, key: str, data: dict[str, Any], told: list[str] | None = None
) -> MotivationTrigger | None:
    """Act on what a tick has sensed; None if another tick was first. `told` is what not to fire for again."""
    if not _begin(motivation.pk, now, **({"told": told} if told is not None else {})):
        return None
    trigger, created = motivation.triggers.get_or_create(
        key=key[:KEY_CHARS], defaults={"cause": "sense", "data": storable(data)}
    )
    if not created:
        transaction.set_rollback(True)  # it has been acted on before: the cooldown is not used up
        return None
    return _fire(trigger, now)


@transaction.atomic
def motivation_trigger(
    *, motivation: Motivation, actor: str, data: dict[str, Any] | None = None
) -> MotivationTrigger:
    """A person wants it now, cooldown or not."""
    row = Motivation.objects.select_for_update(no_key=True, of=("self",)).get(pk=motivation.pk)
    if row.status != Motivation.Status.ACTIVE:
        raise Conflict(f"{row.name} is disabled.", hint="Enable it first.")
    now = timezone.now()
    _note(Motivation.objects.filter(pk=row.pk), row.cooldown_minutes, now)
    trigger = row.triggers.create(
        cause="person",
        key=f"person:{actor}:{now.isoformat()}"[:KEY_CHARS],
        data=storable(data or {}),
        actor=actor,
    )
    return _fire(trigger, now)


def _begin(motivation_id: int, now: datetime, **fields: Any) -> bool:
    """Take the motivation's cooldown: of two that try at once one succeeds."""
    row = Motivation.objects.active().filter(pk=motivation_id).values("cooldown_minutes").first()
    if row is None:
        return False
    rested = Motivation.objects.filter(pk=motivation_id, status=Motivation.Status.ACTIVE).rested(now)
    return _note(rested, row["cooldown_minutes"], now, **fields)


def _note(rows: Any, cooldown: int, now: datetime, **fields: Any) -> bool:
    changed: int = rows.update(
        last_triggered_at=now,
        rests_until=now + timedelta(minutes=cooldown),
        trigger_count=F("trigger_count") + 1,
        updated_at=now,
        **fields,
    )
    return changed == 1


def _fire(trigger: MotivationTrigger, now: datetime) -> MotivationTrigger:
    motivation = Motivation.objects.select_related("project", "agent").get(pk=trigger.motivation_id)
    trigger.triggered_at = now
    try:
        with transaction.atomic():
            _act(motivation, trigger)
    except LoomError as error:
        trigger.result, trigger.error = Result.FAILED, f"{error.message} {error.hint}".strip()
    trigger.save()
    tell(
        motivation,
        "motivation.fired",
        actor=trigger.actor or "loom",
        project_id=trigger.bead.project_id if trigger.bead else trigger.data.get("project_id"),
        trigger_id=trigger.pk,
        result=trigger.result,
        bead=trigger.bead.key if trigger.bead else "",
        role=motivation.agent_role,
    )
    return trigger


def _act(motivation: Motivation, trigger: MotivationTrigger) -> None:
    if not motivation.create_bead and not motivation.wake_agent:
        trigger.result = Result.TOLD
        return
    if (still := open_bead(motivation)) is not None:
        trigger.bead, trigger.result = still, Result.ALREADY_OPEN
        return
    project = target_project(motivation, trigger.data)
    if project is None:
        raise Conflict("There is no open project to do it in.")
    trigger.bead = _bead(motivation, trigger, project)
    trigger.result = Result.BEAD_CREATED if motivation.create_bead else Result.AGENT_WOKEN
    if motivation.wake_agent:
        trigger.agent_woken = motivation.agent.name if motivation.agent else trigger.bead.role


def open_bead(motivation: Motivation) -> Bead | None:
    """The bead of an earlier firing that is not closed yet."""
    made = Bead.objects.filter(pk__in=motivation.triggers.exclude(bead=None).values("bead_id"))
    return made.exclude(status=Bead.Status.CLOSED).order_by("-id").first()


def target_project(motivation: Motivation, data: dict[str, Any]) -> Project | None:
    """Its own project, else that of the event, else the newest perpetual one, else the newest open one."""
    projects = Project.objects.filter(organization_id=motivation.organization_id)
    projects = projects.exclude(status=Project.Status.CLOSED).defer("prd")
    if (wanted := motivation.project_id or data.get("project_id")) is not None:
        return projects.filter(pk=wanted).first()
    return projects.order_by("-is_perpetual", "-id").first()


def _bead(motivation: Motivation, trigger: MotivationTrigger, project: Project) -> Bead:
    template = motivation.bead_template if motivation.create_bead else {}
    about = trigger.data.get("about") or {}
    words = {"name": motivation.name, "project": project.name, **about}
    text = template.get("description") or motivation.description
    causes = [about, *(one.get("about") or {} for one in trigger.data.get("joined", []))]
    cause = "\n\n".join(filter(None, map(_shown, causes)))
    return bead_create(
        project=project,
        title=_filled(template.get("title") or motivation.name, words),
        type=template.get("type", Bead.Type.CHORE),
        description=_filled(text, words) + (f"\n\n## What moved this\n{cause}" if cause else ""),
        acceptance=template.get("acceptance", []),
        priority=motivation.priority,
        role=motivation.agent.role if motivation.agent else motivation.agent_role,
        labels=[LABEL, *template.get("labels", [])],
        origin=f"motivation:{motivation.pk}:{trigger.pk}",
        actor=f"motivation {motivation.name}"[:120],
    )


def _shown(about: dict[str, Any]) -> str:
    return "\n".join(f"- {key}: {str(value)[:SHOWN_CHARS]}" for key, value in about.items())


def _filled(text: str, words: dict[str, Any]) -> str:
    """`{title}` and the like by what is known; other braces stay as they are."""
    for key, value in words.items():
        text = text.replace("{" + key + "}", str(value)[:200])
    return text
