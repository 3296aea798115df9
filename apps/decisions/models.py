"""Decisions: questions with options that a person or an agent with authority must answer."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.beads.models import Bead
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project


class DecisionQuerySet(models.QuerySet["Decision"]):
    def for_user(self, user: Any) -> DecisionQuerySet:
        return visible_to(user, self, "project__organization_id")

    def open(self) -> DecisionQuerySet:
        return self.filter(status=Decision.Status.OPEN)


class Decision(Timestamped):
    class Status(models.TextChoices):
        OPEN = "open"
        DECIDED = "decided"
        EXPIRED = "expired"
        CANCELED = "canceled"

    class Kind(models.TextChoices):
        QUESTION = "question", "asked by an agent"
        PLAN = "plan", "approval of a plan"
        STUCK = "stuck", "a bead that cannot go on"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="decisions")
    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, null=True, blank=True, related_name="decisions")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.QUESTION)
    question = models.TextField()
    options: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text='[{"key", "label", "detail"}]; empty: a free answer'
    )
    recommendation = models.CharField(max_length=200, blank=True)
    context = models.TextField(blank=True)
    requester = models.CharField(max_length=120, blank=True)
    needs_person = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    choice = models.TextField(blank=True)
    rationale = models.TextField(blank=True)
    decider = models.CharField(max_length=120, blank=True)
    deadline = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    run_id = models.BigIntegerField(
        null=True, blank=True, help_text="The durable run that waits for the answer."
    )
    origin = models.CharField(max_length=120, blank=True)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "origin"], condition=~models.Q(origin=""), name="decision_origin_once"
            ),
        ]

    def __str__(self) -> str:
        return self.question[:80]
