"""Files and folders that somebody keeps for a while."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project


class FileLockQuerySet(models.QuerySet["FileLock"]):
    def for_user(self, user: Any) -> FileLockQuerySet:
        return visible_to(user, self, "project__organization_id")

    def live(self) -> FileLockQuerySet:
        return self.filter(expires_at__gt=timezone.now())


class FileLock(Timestamped):
    """Advisory: beads that are about this path are not dispatched until it is released or has run out."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="file_locks")
    file_path = models.CharField(max_length=1000, help_text="A file or a folder; * stands for any name.")
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.CASCADE, null=True, blank=True, related_name="file_locks"
    )
    bead = models.ForeignKey(
        "beads.Bead", on_delete=models.CASCADE, null=True, blank=True, related_name="file_locks"
    )
    holder = models.CharField(max_length=150, help_text="The agent's name, or the person's.")
    expires_at = models.DateTimeField()

    objects = FileLockQuerySet.as_manager()

    class Meta:
        ordering = ["project", "file_path"]
        constraints = [models.UniqueConstraint(fields=["project", "file_path"], name="file_lock_once")]

    def __str__(self) -> str:
        return f"{self.file_path} by {self.holder}"
