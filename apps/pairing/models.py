"""People who talk with agents: each message, and the pieces of what answers it, as they were streamed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from apps.accounts.models import Organization
from apps.agents.models import Session
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project


class ExchangeQuerySet(models.QuerySet["Exchange"]):
    def for_user(self, user: Any) -> ExchangeQuerySet:
        return visible_to(user, self, "organization_id")


class Exchange(Timestamped):
    """A message of a person and everything that answers it: replies, actions, an end.

    Within a session it is pair programming; without one, the messages of `request` alone are answered.
    """

    class Status(models.TextChoices):
        ANSWERING = "answering"
        DONE = "done"
        STOPPED = "stopped"
        FAILED = "failed"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="exchanges")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="exchanges")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, null=True, related_name="exchanges")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="exchanges"
    )
    access: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="How far the credential reached that asked."
    )
    text = models.TextField()
    request: models.JSONField[Any, Any] = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ANSWERING)
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    answer = models.TextField(blank=True, help_text="The last words of the reply.")
    model = models.CharField(max_length=200, blank=True)
    run_id = models.BigIntegerField(null=True)
    pieces_count = models.PositiveIntegerField(default=0)
    heard_at = models.DateTimeField(null=True, help_text="When somebody last began to listen.")
    ended_at = models.DateTimeField(null=True)

    objects = ExchangeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["session"], condition=models.Q(status="answering"), name="exchange_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return self.text[:80]


class Piece(models.Model):
    """One thing that a stream told: some text, actions with their results, an error, the end."""

    class Kind(models.TextChoices):
        CHUNK = "chunk"
        RESET = "reset", "reset: the text since the last actions is told anew"
        ACTIONS = "actions"
        ERROR = "error"
        DONE = "done"

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="pieces")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    data: models.JSONField[Any, Any] = models.JSONField(default=dict)

    class Meta:
        ordering = ["exchange", "seq"]
        constraints = [models.UniqueConstraint(fields=["exchange", "seq"], name="piece_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq} of {self.exchange_id}"
