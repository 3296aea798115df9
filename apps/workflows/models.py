"""Workflow definitions of organizations and projects, and what each run has been through in one."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from apps.accounts.models import Organization
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project

SHA = 64


class DefinitionQuerySet(models.QuerySet["WorkflowDefinition"]):
    def for_user(self, user: Any) -> DefinitionQuerySet:
        return visible_to(user, self, "organization_id")


class WorkflowDefinition(Timestamped):
    """A workflow of an organization, or of one of its projects; the built-in ones are files."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="workflows")
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="workflows"
    )
    name = models.CharField(max_length=60)
    content: models.JSONField[Any, Any] = models.JSONField(help_text="The graph; see docs/workflows.md.")
    sha256 = models.CharField(max_length=SHA)
    version = models.PositiveIntegerField(default=1, help_text="Grows with each change.")
    is_default = models.BooleanField(default=False, help_text="For beads that no rule matches.")

    objects = DefinitionQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], condition=Q(project=None), name="workflow_once_in_org"
            ),
            models.UniqueConstraint(
                fields=["project", "name"], condition=~Q(project=None), name="workflow_once_in_project"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WorkflowContent(models.Model):
    """A graph that runs are pinned to, by the hash of what it says; never changed."""

    sha256 = models.CharField(max_length=SHA, primary_key=True)
    content: models.JSONField[Any, Any] = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256[:12]


class ExecutionQuerySet(models.QuerySet["WorkflowExecution"]):
    def for_user(self, user: Any) -> ExecutionQuerySet:
        return visible_to(user, self, "project__organization_id")


class WorkflowExecution(Timestamped):
    """One run's way through a workflow."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        BLOCKED = "blocked", "blocked: waits for a person"
        COMPLETED = "completed"
        FAILED = "failed"
        ESCALATED = "escalated"

    OPEN = (Status.ACTIVE, Status.BLOCKED, Status.ESCALATED)

    run_id = models.BigIntegerField(unique=True, null=True, help_text="Empty only until its run is started.")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="workflow_executions")
    bead = models.ForeignKey(
        Bead, on_delete=models.CASCADE, null=True, blank=True, related_name="workflow_executions"
    )
    name = models.CharField(max_length=60)
    definition = models.ForeignKey(
        WorkflowDefinition, on_delete=models.SET_NULL, null=True, blank=True, related_name="executions"
    )
    content = models.ForeignKey(WorkflowContent, on_delete=models.PROTECT, related_name="+")
    current_node = models.CharField(max_length=60, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    cycle_count = models.PositiveIntegerField(default=0, help_text="Ways back that were taken.")
    node_attempt_count = models.PositiveIntegerField(
        default=0, help_text="How often the current node was entered."
    )
    started_at = models.DateTimeField()
    last_node_at = models.DateTimeField()
    escalated_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "status"], name="workflow_execution_status")]

    def __str__(self) -> str:
        return f"{self.name} of run {self.run_id}"


class WorkflowHistory(models.Model):
    """One visit to a node and how it ended."""

    execution = models.ForeignKey(WorkflowExecution, on_delete=models.CASCADE, related_name="history")
    number = models.PositiveIntegerField()
    node_key = models.CharField(max_length=60)
    agent = models.ForeignKey(Agent, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    condition = models.CharField(max_length=12)
    result_data: models.JSONField[Any, Any] = models.JSONField(default=dict)
    attempt_number = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["execution", "number"]
        verbose_name_plural = "workflow history"
        constraints = [models.UniqueConstraint(fields=["execution", "number"], name="workflow_visit_once")]

    def __str__(self) -> str:
        return f"{self.node_key}: {self.condition}"
