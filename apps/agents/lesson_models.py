"""What a project's agents have learned: shown to those who work on something alike."""

from __future__ import annotations

from django.db import models

from apps.agents.models import TenantQuerySet
from apps.core.models import Timestamped


class Lesson(Timestamped):
    """One thing worth knowing about a project. It fades unless it is learned again, used or pinned."""

    class Kind(models.TextChoices):
        AGENT = "agent", "an agent asked to remember it"
        REVIEW = "review", "from a rejected review"
        CHECK = "check", "from a failed check that was mended"
        ANSWER = "answer", "from a person's answer"
        PERSON = "person", "written by a person"

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="lessons")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    text = models.TextField()
    about = models.TextField(blank=True, help_text="Words of the work that taught it; searched, not shown.")
    fingerprint = models.CharField(max_length=64, editable=False)
    is_active = models.BooleanField(default=True, help_text="Off: shown to nobody, and not learned again.")
    is_pinned = models.BooleanField(default=False, help_text="Shown to everybody, and never fades.")
    learned = models.PositiveIntegerField(default=1, help_text="How often it was learned.")
    used = models.PositiveIntegerField(default=0, help_text="Merged sessions that it was shown to.")
    refreshed_at = models.DateTimeField(help_text="Last learned, used or edited; it fades from then on.")

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["project", "fingerprint"], name="lesson_once")]

    def __str__(self) -> str:
        return self.text[:80]


class LessonSource(models.Model):
    """One time that a lesson was learned, and from what."""

    lesson = models.ForeignKey(Lesson, on_delete=models.CASCADE, related_name="sources")
    origin = models.CharField(max_length=120, unique=True, help_text="Such as review:12.")
    bead = models.ForeignKey("beads.Bead", on_delete=models.SET_NULL, null=True, related_name="+")
    session = models.ForeignKey("agents.Session", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.origin
