"""Rules of a project on commands, and a record of what was run."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.commands.rules import Rule
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project

PATTERN_CHARS = 500


class CommandRuleQuerySet(models.QuerySet["CommandRule"]):
    def for_user(self, user: Any) -> CommandRuleQuerySet:
        return visible_to(user, self, "project__organization_id")


class CommandRule(Timestamped):
    """Comes before the rules of every project; the most exact of a project's patterns decides."""

    class Verdict(models.TextChoices):
        ALLOW = "allow"
        ASK = "ask", "ask a person"
        DENY = "deny"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="command_rules")
    pattern = models.CharField(
        max_length=PATTERN_CHARS,
        help_text="Matched against each simple command; * is any text, ? one character, [*] a star itself.",
    )
    verdict = models.CharField(max_length=5, choices=Verdict.choices)
    reason = models.CharField(max_length=300, blank=True, help_text="Told to the agent.")
    created_by = models.CharField(max_length=150, blank=True, editable=False)

    objects = CommandRuleQuerySet.as_manager()

    class Meta:
        ordering = ["project", "pattern"]
        constraints = [models.UniqueConstraint(fields=["project", "pattern"], name="command_rule_once")]

    def __str__(self) -> str:
        return f"{self.verdict} {self.pattern}"

    @property
    def rule(self) -> Rule:
        return Rule(self.verdict, self.pattern, self.reason)


class CommandRunQuerySet(models.QuerySet["CommandRun"]):
    def for_user(self, user: Any) -> CommandRunQuerySet:
        return visible_to(user, self, "project__organization_id")


class CommandRun(Timestamped):
    """A command line that a person or a program had run in a project's sandbox, and what came of it.

    Ids of agents and beads are plain: those tables stand above this one.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        ASKING = "asking", "a person is asked"
        RUNNING = "running"
        DONE = "done", "done: it ended, well or not"
        REFUSED = "refused"
        FAILED = "failed", "failed: it could not be run"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="command_runs")
    agent_id = models.BigIntegerField(null=True, blank=True)
    bead_id = models.BigIntegerField(null=True, blank=True)
    bead_key = models.CharField(max_length=40, blank=True)
    requester = models.CharField(max_length=150, blank=True)
    command = models.TextField(help_text="As it was given; one with a known secret is refused.")
    working_dir = models.CharField(max_length=1000, blank=True)
    timeout_seconds = models.PositiveIntegerField(default=300)
    verdict = models.CharField(max_length=5, choices=CommandRule.Verdict.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    decision_id = models.BigIntegerField(null=True, blank=True)
    run_id = models.BigIntegerField(null=True, blank=True)
    commit = models.CharField(max_length=64, blank=True, help_text="Whose files it ran on.")
    exit_code = models.IntegerField(null=True, blank=True)
    output = models.TextField(blank=True, help_text="Both streams in the order they came; bounded, masked.")
    error = models.TextField(blank=True)
    duration_ms = models.PositiveBigIntegerField(default=0)
    context: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = CommandRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "-id"])]

    def __str__(self) -> str:
        return self.command[:80]
