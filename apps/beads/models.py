"""Beads: units of work with dependencies."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef

from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project, Requirement


class BeadQuerySet(models.QuerySet["Bead"]):
    def for_user(self, user: Any) -> BeadQuerySet:
        return visible_to(user, self, "project__organization_id")

    def ready(self) -> BeadQuerySet:
        """Open work (no epics, no decisions) whose blockers are all closed."""
        open_blockers = Dependency.objects.filter(bead=OuterRef("pk"), kind=Dependency.Kind.BLOCKS).exclude(
            blocker__status=Bead.Status.CLOSED
        )
        return self.filter(status=Bead.Status.OPEN, type__in=WORKABLE).exclude(Exists(open_blockers))

    def stories(self) -> BeadQuerySet:
        return self.filter(type__in=WORKABLE)


class Bead(Timestamped):
    class Type(models.TextChoices):
        TASK = "task"
        BUG = "bug"
        FEATURE = "feature"
        STORY = "story"
        EPIC = "epic"
        CHORE = "chore"
        DECISION = "decision"

    class Status(models.TextChoices):
        OPEN = "open"
        IN_PROGRESS = "in_progress"
        BLOCKED = "blocked", "blocked: waits for a person"
        DEFERRED = "deferred"
        CLOSED = "closed"

    class Stage(models.TextChoices):
        """Where the bead's work stands, for people; the run's steps are the truth."""

        NONE = ""
        WORKING = "working"
        ASKING = "asking", "waiting for an answer"
        VERIFYING = "verifying"
        REVIEWING = "reviewing"
        QUEUED = "queued", "in the merge queue"
        MERGING = "merging"
        WAITING = "waiting", "waiting for its time"
        MERGED = "merged"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="beads")
    key = models.CharField(max_length=40, unique=True)
    type = models.CharField(max_length=12, choices=Type.choices, default=Type.TASK)
    title = models.CharField(max_length=500)
    description = models.TextField(blank=True)
    acceptance: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    paths: models.JSONField[Any, Any] = models.JSONField(
        default=list,
        blank=True,
        help_text="Files and folders it will probably change; * stands for any name.",
    )
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.OPEN)
    stage = models.CharField(max_length=12, choices=Stage.choices, default=Stage.NONE, blank=True)
    priority = models.PositiveSmallIntegerField(default=2, help_text="0 critical to 4 backlog")
    role = models.CharField(max_length=60, blank=True)
    parent = models.ForeignKey(
        "self", on_delete=models.RESTRICT, null=True, blank=True, related_name="children"
    )
    requirements = models.ManyToManyField(Requirement, blank=True, related_name="beads")
    labels: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    assigned_to = models.CharField(max_length=120, blank=True)
    attempts = models.PositiveIntegerField(default=0, help_text="How often work on it was started.")
    blocked_reason = models.TextField(blank=True)
    close_reason = models.TextField(blank=True)
    merged_commit = models.CharField(max_length=64, blank=True)
    origin = models.CharField(
        max_length=120, blank=True, help_text="What created it; makes creation repeatable."
    )
    draft: models.JSONField[Any, Any] = models.JSONField(
        default=dict, blank=True, help_text="References by title of a plan that is not checked yet."
    )
    context: models.JSONField[Any, Any] = models.JSONField(
        default=dict, blank=True, help_text="Texts by name that clients keep with the bead."
    )
    due_date = models.DateTimeField(null=True, blank=True)
    estimated_minutes = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = BeadQuerySet.as_manager()

    class Meta:
        ordering = ["priority", "id"]
        indexes = [
            models.Index(fields=["project", "status", "priority"]),
            models.Index(fields=["project", "created_at"]),
            models.Index(fields=["status"], name="bead_status"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(priority__lte=4), name="bead_priority_0_to_4"),
            models.CheckConstraint(
                condition=models.Q(status="closed", closed_at__isnull=False)
                | (~models.Q(status="closed") & models.Q(closed_at__isnull=True)),
                name="bead_closed_at_iff_closed",
            ),
            models.UniqueConstraint(
                fields=["project", "origin"], condition=~models.Q(origin=""), name="bead_origin_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.title}"


WORKABLE = (Bead.Type.TASK, Bead.Type.BUG, Bead.Type.FEATURE, Bead.Type.STORY, Bead.Type.CHORE)


class Dependency(Timestamped):
    """`bead` depends on `blocker`."""

    class Kind(models.TextChoices):
        BLOCKS = "blocks"
        RELATED = "related"
        DISCOVERED = "discovered-from"

    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="dependencies")
    blocker = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="dependents")
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.BLOCKS)

    class Meta:
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(fields=["bead", "blocker", "kind"], name="dependency_once"),
            models.CheckConstraint(
                condition=~models.Q(bead=models.F("blocker")), name="dependency_not_on_itself"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bead_id} {self.kind} {self.blocker_id}"


class CommentQuerySet(models.QuerySet["Comment"]):
    def for_user(self, user: Any) -> CommentQuerySet:
        return visible_to(user, self, "bead__project__organization_id")


class Comment(Timestamped):
    """What a person says about a bead, or about a line of its change.

    `mentions` are the names after an @ that are somebody's here.
    """

    class Side(models.TextChoices):
        OLD = "old", "before the change"
        NEW = "new", "after the change"

    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="comments")
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="replies"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    author_name = models.CharField(max_length=150)
    content = models.TextField()
    mentions: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    path = models.CharField(max_length=500, blank=True, help_text="The file it is about.")
    line = models.PositiveIntegerField(null=True, blank=True)
    side = models.CharField(max_length=3, blank=True, choices=Side.choices)
    claim = models.PositiveIntegerField(
        null=True, blank=True, help_text="The claim whose change it is about."
    )
    edited = models.BooleanField(default=False)

    objects = CommentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.author_name} on {self.bead_id}"
