"""Durable runs: a Run executes a flow, its Steps are what it has done, Signals are what it was told."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from apps.core.models import Timestamped
from apps.core.tenancy import visible_to

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

JOIN = "join:"  # begins the names of steps that ask whether a child has ended
CHILD = "child:"  # begins the names of signals by which children tell that they have ended
ANY_CHILD = "child:any"  # what a run waits for that wants to hear of any of its children


class RunQuerySet(models.QuerySet["Run"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> RunQuerySet:
        """Runs of the organizations the user belongs to; those of none are for superusers only."""
        return visible_to(user, self, "organization_id")

    def due(self, now: datetime) -> RunQuerySet:
        """Runs a worker may take: ready, woken by the clock, or held by a lease that ran out."""
        return self.filter(
            Q(status=Run.Status.READY)
            | Q(status=Run.Status.WAITING, wake_at__lte=now)
            | Q(status=Run.Status.RUNNING, lease_until__lt=now)
        )

    def unfinished(self) -> RunQuerySet:
        return self.filter(status__in=Run.UNFINISHED)

    def locked(self) -> RunQuerySet:
        """The rows with their locks taken; rows that point at them can be inserted meanwhile.

        A plain FOR UPDATE would not allow that, and a child's last signal to its parent would then wait for
        whoever cancels the parent and next the child.
        """
        return self.select_for_update(no_key=True).order_by("pk")


class Run(Timestamped):
    class Status(models.TextChoices):
        READY = "ready"
        RUNNING = "running"
        WAITING = "waiting"
        PAUSED = "paused"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    UNFINISHED = (Status.READY, Status.RUNNING, Status.WAITING, Status.PAUSED)

    key = models.CharField(max_length=160, unique=True)
    flow = models.CharField(max_length=80)
    version = models.PositiveIntegerField(default=1)
    generation = models.PositiveIntegerField(
        default=1, help_text="How many histories it has had; it began the others as new."
    )
    input: models.JSONField[Any, Any] = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.READY)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="children")
    organization_id = models.BigIntegerField(null=True)
    project_id = models.BigIntegerField(null=True, db_index=True)
    bead_id = models.BigIntegerField(null=True, db_index=True)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0, help_text="Grows with each lease; every write checks it.")
    wake_at = models.DateTimeField(
        null=True, help_text="When to wake a waiting run, or ring again for a ready one."
    )
    waits_for = models.CharField(max_length=120, blank=True, help_text="The signal that wakes it.")
    cancel_requested = models.BooleanField(default=False)
    pause_requested = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0, help_text="How often a worker took it.")
    output: models.JSONField[Any, Any] = models.JSONField(null=True)
    error = models.TextField(blank=True)
    failed_seq = models.PositiveIntegerField(
        null=True, help_text="The step it failed of; a retry goes on there."
    )
    ended_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # Not only of unfinished runs: SQLite does not see that a query asks for no others.
            models.Index(fields=["status", "wake_at"], name="run_due"),
        ]

    def __str__(self) -> str:
        return f"{self.flow} {self.key}"


class Step(models.Model):
    class Status(models.TextChoices):
        RUNNING = "running"
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    # No index of its own: that of the constraint begins with it, and one more is written with every step.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    seq = models.PositiveIntegerField()
    name = models.CharField(max_length=120)
    attempt = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=10, choices=Status.choices)
    output: models.JSONField[Any, Any] = models.JSONField(null=True)
    error = models.TextField(blank=True)
    policy: models.JSONField[Any, Any] = models.JSONField(
        null=True, help_text="How it is tried again; kept from its first failure on."
    )
    failures: models.JSONField[Any, Any] = models.JSONField(
        null=True, help_text="Its attempts that failed, the last ones of many."
    )
    wake_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="step_seq_once")]

    def __str__(self) -> str:
        return f"{self.seq} {self.name} ({self.status})"


class Signal(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="signals")
    name = models.CharField(max_length=120)
    data: models.JSONField[Any, Any] = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    consumed_at = models.DateTimeField(null=True)
    consumed_seq = models.PositiveIntegerField(null=True, help_text="The step that took it.")

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["run", "name"], condition=Q(consumed_at=None), name="signal_pending")]

    def __str__(self) -> str:
        return self.name
