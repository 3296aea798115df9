"""Event: one fact, appended in the transaction of its change; audit log, outbox and stream in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from apps.core.tenancy import visible_to

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


SUBJECT_CHARS = 120


class EventQuerySet(models.QuerySet["Event"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> EventQuerySet:
        """Events of the organizations the user belongs to; those of none are for superusers only."""
        return visible_to(user, self, "organization_id")

    def of_requests(self) -> EventQuerySet:
        """The audit trail: what came from outside, by people or programs."""
        return self.exclude(request_id="")

    def undelivered(self) -> EventQuerySet:
        return self.filter(delivered_at=None).order_by("id")


class Event(models.Model):
    """Appended, never changed but for its delivery, never deleted.

    `organization_id` and `project_id` are plain ids: those tables stand above this one in the layers.
    """

    kind = models.CharField(max_length=80)
    organization_id = models.BigIntegerField(null=True)
    project_id = models.BigIntegerField(null=True)
    bead_id = models.BigIntegerField(null=True)
    subject = models.CharField(max_length=SUBJECT_CHARS, blank=True)
    actor = models.CharField(max_length=SUBJECT_CHARS, blank=True)
    data: models.JSONField[Any, Any] = models.JSONField(default=dict)
    # Of the request it came from (apps.core.origin); all empty where the platform did it by itself.
    user_id = models.BigIntegerField(null=True)
    credential = models.CharField(max_length=60, blank=True, help_text="session, login:<id> or key:<id>")
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["project_id", "id"]),
            models.Index(fields=["bead_id", "id"]),
            models.Index(fields=["kind", "id"]),
            models.Index(fields=["id"], condition=models.Q(delivered_at=None), name="event_undelivered"),
            models.Index(
                fields=["organization_id", "id"], condition=~models.Q(request_id=""), name="event_audit"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()
