"""How a project's work gets to its target: the rules of merging, and pull requests."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project

SHA = 64
BATCH, MOST = 8, 50


class ProjectRowQuerySet(models.QuerySet[Any]):
    def for_user(self, user: Any) -> ProjectRowQuerySet:
        return visible_to(user, self, "project__organization_id")


class MergePolicy(Timestamped):
    """A project's rules of merging; a project without a row goes by the defaults."""

    class Strategy(models.TextChoices):
        DIRECT = "direct", "direct: what is proven is merged"
        BRANCH_PR = "branch-pr", "branch-pr: a branch is pushed, and a person merges it"

    class Tampering(models.TextChoices):
        WARN = "warn", "warn: the reviewer is told"
        BLOCK = "block", "block: a person must accept it, with a reason"

    class Overlap(models.TextChoices):
        SERIALIZE = "serialize", "serialize: beads that touch the same files wait for each other"
        PARALLEL = "parallel", "parallel: the merge queue sorts it out"

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="merge_policy")
    strategy = models.CharField(max_length=10, choices=Strategy.choices, default=Strategy.DIRECT)
    tampering = models.CharField(max_length=10, choices=Tampering.choices, default=Tampering.WARN)
    overlap = models.CharField(max_length=10, choices=Overlap.choices, default=Overlap.SERIALIZE)
    batch_size = models.PositiveSmallIntegerField(
        default=BATCH,
        validators=[MinValueValidator(1), MaxValueValidator(MOST)],
        help_text="How many waiting merges are verified together.",
    )
    remote = models.CharField(
        max_length=1000, blank=True, help_text="Address of the repository that work is pushed to."
    )
    username = models.CharField(max_length=200, blank=True, help_text="For addresses that begin with https.")
    credential_sealed = models.TextField(
        blank=True, editable=False, help_text="A token or a private SSH key, encrypted."
    )
    public_key = models.CharField(
        max_length=500, blank=True, editable=False, help_text="Of the deploy key that was made here."
    )
    webhook_secret_sealed = models.TextField(
        blank=True, editable=False, help_text="What GitHub signs its deliveries with, encrypted."
    )

    objects = ProjectRowQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "merge policies"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(batch_size__gte=1, batch_size__lte=MOST), name="merge_batch_size"
            ),
            models.CheckConstraint(
                condition=~models.Q(strategy="branch-pr", remote=""), name="branch_pr_has_a_remote"
            ),
        ]

    def __str__(self) -> str:
        return f"merging of project {self.project_id}: {self.strategy}"


def policy_of(project_id: int) -> MergePolicy:
    """The project's rules, or the defaults, not saved."""
    found: MergePolicy | None = MergePolicy.objects.filter(project_id=project_id).first()
    return found or MergePolicy(project_id=project_id)


class PullRequest(Timestamped):
    """A proven branch that waits on the project's remote for a person to merge it, in Loom or there."""

    class Status(models.TextChoices):
        OPEN = "open"
        MERGED = "merged"
        CLOSED = "closed"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pull_requests")
    bead = models.ForeignKey("beads.Bead", on_delete=models.CASCADE, related_name="pull_requests")
    claim = models.OneToOneField("agents.Claim", on_delete=models.CASCADE, related_name="pull_request")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    branch = models.CharField(max_length=200)
    target = models.CharField(max_length=120)
    base = models.CharField(max_length=SHA, help_text="The target's commit when it was opened.")
    commit = models.CharField(max_length=SHA, help_text="What was pushed: the claim on top of the target.")
    tree = models.CharField(max_length=SHA)
    merged_commit = models.CharField(max_length=SHA, blank=True)
    closed_by = models.CharField(max_length=150, blank=True)
    decision_id = models.BigIntegerField(null=True, blank=True, help_text="The question whether to merge it.")
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = ProjectRowQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "status"])]

    def __str__(self) -> str:
        return f"{self.branch} into {self.target} ({self.status})"
