"""Decisions: questions with options that a person or an agent with authority must answer; votes on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from apps.beads.models import Bead
from apps.core.models import Timestamped
from apps.core.tenancy import visible_to
from apps.projects.models import Project

DEADLINE = timedelta(hours=48)
THRESHOLD = 2 / 3


def person_names(username: str) -> tuple[str, str]:
    """How a person may be named as a voter."""
    return username, f"user-{username}"


class DecisionQuerySet(models.QuerySet["Decision"]):
    def for_user(self, user: Any) -> DecisionQuerySet:
        return visible_to(user, self, "project__organization_id")

    def open(self) -> DecisionQuerySet:
        return self.filter(status=Decision.Status.OPEN)

    def unvoted_by(self, username: str) -> list[int]:
        """Ids of those put to the vote on which this person, who is one of the voters, has not voted."""
        rows, names = self.exclude(voters=[]).prefetch_related("votes"), person_names(username)
        asked = {row.pk: voter.casefold() for row in rows if (voter := row.voter_among(*names))}
        said = {row.pk: {vote.voter.casefold() for vote in row.votes.all()} for row in rows}
        return [pk for pk, voter in asked.items() if voter not in said[pk]]


class Decision(Timestamped):
    class Status(models.TextChoices):
        OPEN = "open"
        DECIDED = "decided"
        EXPIRED = "expired", "expired: nobody answered in time"
        CANCELED = "canceled"

    class Kind(models.TextChoices):
        QUESTION = "question", "asked by an agent"
        PLAN = "plan", "approval of a plan"
        APPROVAL = "approval", "approval of a piece of work"
        STUCK = "stuck", "a bead that cannot go on"
        ESCALATION = "escalation", "a bead put before the CEO"
        INFORMATION = "information", "facts that are missing; nothing is decided"

    class Way(models.TextChoices):
        PERSON = "person"
        AGENT = "agent"
        VOTES = "votes"
        DEADLINE = "deadline", "the option declared for that case"

    class Rung(models.TextChoices):
        """Whom it was passed on to because those asked first did not answer."""

        NONE = "", "nobody else"
        DECISION_MAKER = "decision-maker"
        CEO = "ceo", "CEO: a person"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="decisions")
    bead = models.ForeignKey(Bead, on_delete=models.CASCADE, null=True, blank=True, related_name="decisions")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.QUESTION)
    priority = models.PositiveSmallIntegerField(default=2, help_text="0 critical: only a person answers")
    question = models.TextField()
    options: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text='[{"key", "label", "detail"}]; empty: a free answer'
    )
    recommendation = models.CharField(max_length=200, blank=True)
    context = models.TextField(blank=True)
    requester = models.CharField(max_length=120, blank=True)
    asked_of = models.CharField(max_length=60, blank=True, help_text="A role; empty: the decision-maker.")
    needs_person = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    choice = models.TextField(blank=True)
    rationale = models.TextField(blank=True)
    decider = models.CharField(max_length=120, blank=True)
    decided_by = models.CharField(max_length=10, choices=Way.choices, blank=True)
    deadline = models.DateTimeField()
    answer_within = models.DurationField(
        default=DEADLINE, help_text="How long each of those asked in turn has for an answer."
    )
    default_choice = models.TextField(blank=True, help_text="Taken at the deadline instead of escalating.")
    lapses = models.BooleanField(
        default=False, help_text="At the deadline who waits goes on without an answer."
    )
    escalated_to = models.CharField(max_length=20, choices=Rung.choices, default=Rung.NONE, blank=True)
    voters: models.JSONField[Any, Any] = models.JSONField(
        default=list, blank=True, help_text="People, agents or roles who must vote; empty: one decides alone."
    )
    threshold = models.FloatField(default=THRESHOLD, help_text="Part of the weight that an option needs.")
    decided_at = models.DateTimeField(null=True, blank=True)
    run_id = models.BigIntegerField(
        null=True, blank=True, help_text="The durable run that waits for the answer."
    )
    origin = models.CharField(max_length=120, blank=True)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "deadline"])]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "origin"], condition=~Q(origin=""), name="decision_origin_once"
            ),
            models.CheckConstraint(condition=Q(priority__lte=4), name="decision_priority_0_to_4"),
            models.CheckConstraint(
                condition=Q(threshold__gt=0) & Q(threshold__lte=1), name="decision_threshold"
            ),
        ]

    def __str__(self) -> str:
        return self.question[:80]

    @property
    def keys(self) -> list[str]:
        return [option["key"] for option in self.options]

    def label(self, choice: str) -> str:
        """An answer by the words that its option has; a free answer, or an option without, by itself."""
        labels = (option.get("label") for option in self.options if option["key"] == choice)
        return next(labels, "") or choice

    @property
    def chosen(self) -> str:
        return self.label(self.choice)

    @property
    def is_vote(self) -> bool:
        """Whether its voters decide it, and not a person alone."""
        return bool(self.voters) and not self.needs_person

    def voter_among(self, *names: str) -> str | None:
        """The voter that one of these names is, as the decision spells it."""
        known = {name.casefold() for name in names}
        return next((str(voter) for voter in self.voters if voter.casefold() in known), None)

    @property
    def is_routine(self) -> bool:
        """What an agent with some authority may settle: nothing urgent, no plan, no work to let through."""
        return self.priority >= 2 and self.kind == self.Kind.QUESTION


class VoteQuerySet(models.QuerySet["Vote"]):
    def for_user(self, user: Any) -> VoteQuerySet:
        return visible_to(user, self, "decision__project__organization_id")


class Vote(Timestamped):
    """What one of the required voters says; may be changed until the decision is closed."""

    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="votes")
    voter = models.CharField(max_length=120)
    choice = models.CharField(max_length=200)
    confidence = models.FloatField(default=1.0, help_text="0 to 1; how much the vote weighs.")
    rationale = models.TextField(blank=True)

    objects = VoteQuerySet.as_manager()

    class Meta:
        ordering = ["decision", "id"]
        constraints = [
            models.UniqueConstraint(fields=["decision", "voter"], name="vote_once"),
            models.CheckConstraint(
                condition=Q(confidence__gte=0) & Q(confidence__lte=1), name="vote_confidence_0_to_1"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.voter}: {self.choice}"


class ChatGatewayQuerySet(models.QuerySet["ChatGateway"]):
    def for_user(self, user: Any) -> ChatGatewayQuerySet:
        return visible_to(user, self, "project__organization_id")


class ChatGateway(Timestamped):
    """A project's decisions may be answered through an OpenClaw gateway that signs with this secret."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="chat_gateway")
    secret_sealed = models.TextField(editable=False)

    objects = ChatGatewayQuerySet.as_manager()

    class Meta:
        ordering = ["project"]

    def __str__(self) -> str:
        return f"of {self.project}"
