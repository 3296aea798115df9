"""Motivations: why an agent gets to work of its own accord, and the history of when it did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django_celery_beat.models import PeriodicTask

from apps.accounts.models import Organization
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project


class MotivationQuerySet(models.QuerySet["Motivation"]):
    def for_user(self, user: Any) -> MotivationQuerySet:
        return visible_to(user, self, "organization_id")

    def active(self) -> MotivationQuerySet:
        """Switched on, and not of a project that is closed."""
        rows = self.filter(status=Motivation.Status.ACTIVE)
        return rows.exclude(project__status=Project.Status.CLOSED)

    def rested(self, now: datetime) -> MotivationQuerySet:
        """Those whose cooldown is over."""
        return self.filter(Q(rests_until=None) | Q(rests_until__lte=now))


class Motivation(Timestamped):
    class Type(models.TextChoices):
        CALENDAR = "calendar"
        EVENT = "event"
        EXTERNAL = "external"
        THRESHOLD = "threshold"
        IDLE = "idle"

    class Status(models.TextChoices):
        ACTIVE = "active"
        DISABLED = "disabled"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="motivations")
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="motivations",
        help_text="Empty: of the whole organization; work then goes to the project of the event, else to the "
        "newest perpetual project, else to the newest open one.",
    )  # fmt: skip
    name = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    type = models.CharField(max_length=10, choices=Type.choices)
    condition = models.CharField(max_length=40)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    agent_role = models.CharField(max_length=60, blank=True)
    agent = models.ForeignKey(Agent, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    parameters: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    cooldown_minutes = models.PositiveIntegerField(default=5)
    priority = models.PositiveSmallIntegerField(default=2, help_text="0 critical to 4 backlog")
    create_bead = models.BooleanField(default=True)
    bead_template: models.JSONField[Any, Any] = models.JSONField(
        default=dict, blank=True, help_text='{"title", "description", "acceptance", "type", "labels"}'
    )
    wake_agent = models.BooleanField(default=False)
    is_built_in = models.BooleanField(default=False)
    last_triggered_at = models.DateTimeField(null=True, blank=True)
    rests_until = models.DateTimeField(null=True, blank=True, help_text="The end of its cooldown.")
    trigger_count = models.PositiveIntegerField(default=0)
    told: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text="What it has fired for and does not fire for again."
    )
    clock = models.OneToOneField(
        PeriodicTask, on_delete=models.SET_NULL, null=True, blank=True, related_name="motivation",
        help_text="The row of beat that rings it, where a clock is meant.",
    )  # fmt: skip

    objects = MotivationQuerySet.as_manager()

    class Meta:
        ordering = ["organization", "agent_role", "name"]
        indexes = [models.Index(fields=["organization", "status", "condition"], name="motivation_heard")]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="motivation_once_in_project"),
            models.UniqueConstraint(
                fields=["organization", "name"],
                condition=Q(project=None),
                name="motivation_once_in_organization",
            ),
            models.CheckConstraint(condition=Q(priority__lte=4), name="motivation_priority_0_to_4"),
        ]

    def __str__(self) -> str:
        return self.name


class TriggerQuerySet(models.QuerySet["MotivationTrigger"]):
    def for_user(self, user: Any) -> TriggerQuerySet:
        return visible_to(user, self, "motivation__organization_id")


class MotivationTrigger(models.Model):
    """One reason to act: pending until a tick takes it, then history."""

    class Result(models.TextChoices):
        PENDING = "pending", "waits for its turn or for the cooldown"
        BEAD_CREATED = "bead_created"
        AGENT_WOKEN = "agent_woken"
        ALREADY_OPEN = "already_open", "its earlier bead is still open"
        TOLD = "told", "an event only"
        FAILED = "failed"

    motivation = models.ForeignKey(Motivation, on_delete=models.CASCADE, related_name="triggers")
    cause = models.CharField(max_length=12, help_text="clock, event, sense or person")
    key = models.CharField(max_length=120, help_text="What caused it; the same cause counts once.")
    data: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    result = models.CharField(max_length=14, choices=Result.choices, default=Result.PENDING)
    error = models.TextField(blank=True)
    bead = models.ForeignKey(Bead, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    agent_woken = models.CharField(max_length=120, blank=True)
    actor = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    triggered_at = models.DateTimeField(null=True, blank=True)

    objects = TriggerQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], condition=Q(result="pending"), name="motivation_trigger_pending"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["motivation", "key"], name="motivation_cause_once"),
        ]

    def __str__(self) -> str:
        return f"{self.motivation_id} {self.cause} {self.result}"
