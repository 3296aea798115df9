"""Notifications of people, what they want to hear of and how, what was sent, and the log they may read."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.tenancy import visible_to


class OwnQuerySet(models.QuerySet[Any]):
    """Rows of one person, which nobody else sees."""

    def for_user(self, user: Any) -> Any:
        if not user.is_active:
            return self.none()
        return self.filter(user_id=user.pk)


class Priority(models.TextChoices):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Priority).index(self)


class NotificationQuerySet(OwnQuerySet):
    def for_user(self, user: Any) -> Any:
        """One's own, of organizations and shared projects in which one still is."""
        return visible_to(user, super().for_user(user), "organization_id")


class Notification(models.Model):
    """One event that concerns a person; `rule` says why."""

    class Status(models.TextChoices):
        UNREAD = "unread"
        READ = "read"
        ARCHIVED = "archived"

    class Rule(models.TextChoices):
        ASSIGNED = "assigned", "assigned to me"
        DECISION = "decision", "a decision for me"
        CRITICAL = "critical", "something critical"
        MENTION = "mention", "I was mentioned"
        SYSTEM = "system", "about the installation"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    organization_id = models.BigIntegerField(null=True)
    project_id = models.BigIntegerField(null=True)
    event_id = models.BigIntegerField()
    event_type = models.CharField(max_length=80)
    rule = models.CharField(max_length=10, choices=Rule.choices)
    title = models.CharField(max_length=200)
    message = models.TextField(blank=True)
    link = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UNREAD)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["user", "status", "id"])]
        constraints = [
            models.UniqueConstraint(fields=["user", "event_id", "rule"], name="notification_once"),
        ]

    def __str__(self) -> str:
        return self.title


class NotificationPreferences(models.Model):
    """What a person wants to hear of, by which ways, and when; without a row the defaults hold."""

    class Digest(models.TextChoices):
        REALTIME = "realtime"
        HOURLY = "hourly"
        DAILY = "daily"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_preferences"
    )
    enable_in_app = models.BooleanField(default=True)
    enable_email = models.BooleanField(default=False)
    enable_webhook = models.BooleanField(default=False)
    subscribed_events: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text="Types of events, also such as decision.*; empty: all."
    )
    project_filters: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text="Ids of projects; empty: all."
    )
    min_priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.LOW)
    digest_mode = models.CharField(max_length=10, choices=Digest.choices, default=Digest.REALTIME)
    quiet_hours_start = models.TimeField(null=True, blank=True)
    quiet_hours_end = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=60, default="UTC")
    webhook_url = models.CharField(max_length=500, blank=True)
    webhook_secret_sealed = models.TextField(blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "notification preferences"
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_hours_start=None, quiet_hours_end=None)
                | Q(quiet_hours_start__isnull=False, quiet_hours_end__isnull=False),
                name="quiet_hours_both",
            ),
        ]

    def __str__(self) -> str:
        return f"of {self.user}"


class Delivery(models.Model):
    """One message by e-mail or webhook with one or several notifications, and what came of sending it."""

    class Channel(models.TextChoices):
        EMAIL = "email", "e-mail"
        WEBHOOK = "webhook"

    class About(models.TextChoices):
        NOTIFICATIONS = ""
        CONFIRM = "confirm", "to confirm the address"
        CHANGED = "changed", "about the change of the address"

    class Status(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"
        CANCELED = "canceled"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    notifications = models.ManyToManyField(Notification, blank=True, related_name="deliveries")
    is_test = models.BooleanField(default=False)
    about = models.CharField(max_length=10, choices=About.choices, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    slot = models.CharField(max_length=60, help_text="Digests of one slot are one message.")
    due_at = models.DateTimeField(help_text="When it is sent, or tried again.")
    attempts = models.PositiveSmallIntegerField(default=0)
    handed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When this attempt was given to the other side."
    )
    target = models.CharField(max_length=300, blank=True)
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = OwnQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["status", "due_at"])]
        constraints = [
            models.UniqueConstraint(fields=["user", "channel", "slot"], name="delivery_slot_once"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.user}, {self.status}"

    @property
    def is_digest(self) -> bool:
        mode = self.slot.partition(":")[0]
        return mode in {NotificationPreferences.Digest.HOURLY, NotificationPreferences.Digest.DAILY}


class LogEntryQuerySet(models.QuerySet["LogEntry"]):
    def for_user(self, user: Any) -> LogEntryQuerySet:
        """Entries of one's organizations; those of none are about the installation: superusers' alone."""
        return visible_to(user, self, "organization_id")


class LogEntry(models.Model):
    """A line of the platform's log that people may read; the oldest go first."""

    class Level(models.TextChoices):
        DEBUG = "debug"
        INFO = "info"
        WARN = "warn"
        ERROR = "error"

    timestamp = models.DateTimeField()
    level = models.CharField(max_length=5, choices=Level.choices)
    source = models.CharField(max_length=80)
    message = models.TextField()
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    organization_id = models.BigIntegerField(null=True)
    project_id = models.BigIntegerField(null=True)
    agent_id = models.BigIntegerField(null=True)
    bead_id = models.BigIntegerField(null=True)

    objects = LogEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "log entries"
        indexes = [
            models.Index(fields=["organization_id", "id"]),
            models.Index(fields=["level", "id"]),
            models.Index(fields=["timestamp"]),
        ]

    def __str__(self) -> str:
        return f"{self.level} {self.source}: {self.message[:80]}"
