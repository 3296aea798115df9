"""The questions that wait for an answer, as pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from apps.accounts.permissions import organizations_with
from apps.decisions.forms import AnswerForm
from apps.decisions.models import Decision
from apps.projects.models import Project

DECISIONS = 20
# What cards show of a question.
ASKED = (
    "kind", "question", "options", "recommendation", "context", "requester", "needs_person", "deadline",
    "status", "project__name", "project__organization_id", "bead__key",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    decision: Decision
    form: AnswerForm | None  # what was answered before, where it is asked for once more
    may_answer: bool

    @property
    def is_overdue(self) -> bool:
        return self.decision.deadline < timezone.now()


def questions_of(user: Any, project: Project | None = None) -> list[Question]:
    """Open decisions, those that need a person first."""
    decisions = Decision.objects.for_user(user).open().select_related("project", "bead")
    decisions = decisions.only(*ASKED)
    if project is not None:
        decisions = decisions.filter(project=project)
    answering = organizations_answered_by(user)
    return [
        Question(
            decision=decision,
            form=None,
            may_answer=user.is_superuser or decision.project.organization_id in answering,
        )
        for decision in decisions.order_by("-needs_person", "deadline", "id")[:DECISIONS]
    ]


def organizations_answered_by(user: Any) -> set[int]:
    """Where the user may answer decisions."""
    return set(organizations_with(user, "decisions:write"))


def waiting_count(user: Any) -> int:
    """How many open decisions wait for a person."""
    return Decision.objects.for_user(user).open().filter(needs_person=True).count()
