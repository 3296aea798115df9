"""Personas, agents, their sessions and turns; claims, evidence, reviews and the merge queue."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.agents.merge_models import MergePolicy, PullRequest
from apps.agents.team_models import OrgChart, Persona, PersonaVersion, Position
from apps.beads.models import Bead
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project

__all__ = [
    "Agent", "Claim", "Evidence", "MergePolicy", "MergeRequest", "Message", "OrgChart", "Persona",
    "PersonaVersion", "Position", "PullRequest", "Review", "Session", "Trouble", "TroubleStop", "Turn",
]  # fmt: skip

SHA = 64


class TenantQuerySet(models.QuerySet[Any]):
    """Rows that hang off a project directly."""

    def for_user(self, user: Any) -> TenantQuerySet:
        return visible_to(user, self, "project__organization_id")


class Agent(Timestamped):
    """A persona at work in a project; `working` is held by compare-and-swap, one session at a time."""

    class Status(models.TextChoices):
        PAUSED = "paused"
        IDLE = "idle"
        WORKING = "working"
        DECIDING = "deciding"
        BLOCKED = "blocked"
        STOPPED = "stopped", "stopped: takes no more work"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="agents")
    persona = models.ForeignKey(Persona, on_delete=models.PROTECT, related_name="agents")
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=60)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.IDLE)
    current_bead = models.ForeignKey(Bead, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    current_action = models.CharField(max_length=200, blank=True)
    hands_over = models.BooleanField(
        default=False, help_text="Stopped, and its session is to be gone on with by somebody else."
    )
    last_active_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True, help_text="Left the team for good.")

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["project", "id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="agent_name_once")]

    def __str__(self) -> str:
        return self.name


class Session(Timestamped):
    """One agent's conversation about one piece of work."""

    class Kind(models.TextChoices):
        EXPAND = "expand"
        PLAN = "plan"
        DECIDE = "decide"
        WORK = "work"
        REVIEW = "review"
        PAIR = "pair"

    class Status(models.TextChoices):
        OPEN = "open"
        ENDED = "ended"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sessions")
    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, null=True, blank=True, related_name="sessions")
    agent = models.ForeignKey(Agent, on_delete=models.RESTRICT, related_name="sessions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    reason = models.CharField(max_length=40, blank=True, help_text="Why it ended, by name.")
    reason_detail = models.TextField(blank=True)
    origin = models.CharField(max_length=120, unique=True, help_text="Run and step that opened it.")
    opening: models.JSONField[Any, Any] = models.JSONField(
        default=list, help_text="The pinned messages: system and task."
    )
    actions: models.JSONField[Any, Any] = models.JSONField(
        default=list, help_text="Names of the allowed actions."
    )
    base_commit = models.CharField(max_length=SHA, blank=True)
    head_commit = models.CharField(
        max_length=SHA, blank=True, help_text="Newest snapshot, kept in a ref of the hub."
    )
    decision_id = models.BigIntegerField(null=True, blank=True)
    native_tools = models.BooleanField(default=True)
    lessons: models.JSONField[Any, Any] = models.JSONField(
        default=list, help_text="Ids of the lessons that its task tells."
    )
    compacted_to = models.PositiveIntegerField(
        default=0, help_text="Turns before this one are retold by the newest compaction."
    )
    turn_count = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cost_microusd = models.PositiveBigIntegerField(default=0)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["status"], name="session_status")]

    def __str__(self) -> str:
        return f"{self.kind} session {self.pk}"


class Turn(models.Model):
    """One model reply and what came of it; the rows of a session, in order, are its conversation."""

    # No index of its own: that of the constraint begins with it.
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="turns", db_index=False)
    number = models.PositiveIntegerField()
    reply = models.TextField(help_text="The assistant message as JSON, in a form strict servers accept.")
    actions: models.JSONField[Any, Any] = models.JSONField(default=list, help_text="[{id, name, arguments}]")
    notes = models.TextField(blank=True)
    error = models.TextField(blank=True, help_text="What was not understood of the reply.")
    raw: models.JSONField[Any, Any] = models.JSONField(
        null=True, blank=True, help_text="{text, tool_calls} as it came, where it was not understood."
    )
    results: models.JSONField[Any, Any] = models.JSONField(
        null=True, help_text="Messages appended after the reply; null until acted on."
    )
    outcome: models.JSONField[Any, Any] = models.JSONField(
        default=list, help_text="[{name, ok, data, ms}] per action"
    )
    commit = models.CharField(max_length=SHA, blank=True)
    model = models.CharField(max_length=200, blank=True)
    call_id = models.BigIntegerField(null=True, help_text="The ledger row that paid for it.")
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_microusd = models.PositiveBigIntegerField(default=0)
    latency_ms = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    acted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["session", "number"]
        constraints = [models.UniqueConstraint(fields=["session", "number"], name="turn_number_once")]

    def __str__(self) -> str:
        return f"turn {self.number} of session {self.session_id}"


class Claim(models.Model):
    """What an agent says it did; worth nothing until evidence stands beside it."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="claims")
    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="claims")
    number = models.PositiveIntegerField()
    commit = models.CharField(max_length=SHA)
    tree = models.CharField(max_length=SHA)
    summary = models.TextField(blank=True)
    turn = models.PositiveIntegerField(default=0, help_text="The turn of the session that claimed.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["bead", "number"], name="claim_number_once")]

    def __str__(self) -> str:
        return f"claim {self.number} on {self.bead_id}"


class Evidence(models.Model):
    """What the platform itself saw when it ran a check on a clean checkout."""

    class Kind(models.TextChoices):
        CLAIM = "claim", "the claimed commit"
        MERGE = "merge", "the commit about to become main"

    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="evidence")
    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="evidence")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    commit = models.CharField(max_length=SHA)
    tree = models.CharField(max_length=SHA)
    check_name = models.CharField(max_length=80)
    command = models.TextField()
    exit_code = models.IntegerField()
    passed = models.BooleanField()
    output = models.TextField(blank=True)
    counts: models.JSONField[Any, Any] = models.JSONField(default=dict)
    flags: models.JSONField[Any, Any] = models.JSONField(
        default=list, help_text="Tests deleted, skipped or weakened by the change itself."
    )
    sandbox = models.CharField(max_length=40, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "evidence"

    def __str__(self) -> str:
        return f"{self.check_name} {'passed' if self.passed else 'failed'} on {self.commit[:10]}"


class Review(models.Model):
    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="reviews")
    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="reviews")
    session = models.OneToOneField(Session, on_delete=models.CASCADE, related_name="review")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    comments = models.TextField(blank=True)
    criteria: models.JSONField[Any, Any] = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.verdict} of claim {self.claim_id}"


class MergeRequest(Timestamped):
    """A place in the project's merge queue; at most one is `merging`."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        MERGING = "merging"
        MERGED = "merged"
        CONFLICT = "conflict"
        RED = "red"
        CANCELED = "canceled"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="merge_requests")
    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, related_name="merge_requests")
    claim = models.OneToOneField(Claim, on_delete=models.CASCADE, related_name="merge_request")
    run_id = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    commit = models.CharField(max_length=SHA, blank=True, help_text="What stands, or will stand, on main.")
    tip = models.CharField(
        max_length=SHA, blank=True, help_text="The newest commit of its batch: the one that was verified."
    )
    detail = models.TextField(blank=True)
    outcome: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="What came of it, for the run of its bead."
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=models.Q(status="merging"), name="one_merge_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"merge of {self.bead_id} ({self.status})"


class Message(models.Model):
    """A note to a role or an agent; the next prompt of one of that role holds it, once."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="messages")
    session = models.ForeignKey(
        Session,
        on_delete=models.CASCADE,
        null=True,
        related_name="messages_sent",
        help_text="Of who sent it.",
    )
    sender = models.CharField(max_length=150, blank=True, help_text="An agent's name or a person's.")
    bead = models.ForeignKey(
        "beads.Bead",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="messages",
        help_text="Whoever works on it is meant, whatever their role.",
    )
    to_role = models.CharField(max_length=60)
    to_agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="messages_to"
    )
    subject = models.CharField(max_length=200)
    body = models.TextField()
    origin = models.CharField(max_length=120, blank=True, help_text="What sent it; makes sending repeatable.")
    delivered_to = models.ForeignKey(
        Session, on_delete=models.SET_NULL, null=True, blank=True, related_name="messages_got"
    )
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["project", "to_role"],
                condition=models.Q(delivered_at=None),
                name="message_undelivered",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "origin"], condition=~models.Q(origin=""), name="message_origin_once"
            )
        ]

    def __str__(self) -> str:
        return self.subject


class Trouble(Timestamped):
    """One error that stops work, however many beads it stops: people are asked about it once."""

    class Status(models.TextChoices):
        OPEN = "open"
        SOLVED = "solved"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="troubles")
    fingerprint = models.CharField(max_length=64)
    text = models.TextField(help_text="As it was reported first.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    decision_id = models.BigIntegerField(unique=True, help_text="The question that settles it.")
    count = models.PositiveIntegerField(default=1, help_text="How often it stopped work.")
    solved_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "fingerprint"], condition=models.Q(status="open"), name="trouble_open_once"
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class TroubleStop(models.Model):
    """Work that a trouble stopped, and that is told when it is settled."""

    trouble = models.ForeignKey(Trouble, on_delete=models.CASCADE, related_name="stops")
    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, null=True, related_name="troubles")
    run_id = models.BigIntegerField()
    origin = models.CharField(max_length=120, unique=True, help_text="Run and step that were stopped.")
    is_first = models.BooleanField(default=False, help_text="The question is about this one.")
    is_dead = models.BooleanField(default=False, help_text="The run has failed and does not wait.")
    told_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.origin} stopped by trouble {self.trouble_id}"


from apps.agents import lesson_models, lock_models, memory_models  # noqa: E402, F401 - Django finds models in this module only
