"""The questions that wait for an answer, as pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Q, When
from django.utils import timezone

from apps.accounts.permissions import rows_with
from apps.decisions.forms import AnswerForm
from apps.decisions.models import Decision, DecisionQuerySet, Vote, person_names
from apps.projects.models import Project

DECISIONS = 20
# What cards show of a question.
ASKED = (
    "kind", "question", "options", "recommendation", "context", "requester", "needs_person", "deadline",
    "status", "voters", "project__name", "project__organization_id", "bead__key",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    decision: Decision
    form: AnswerForm | None  # what was answered before, where it is asked for once more
    may_write: bool
    voter: str = ""  # as which of the voters the person may vote
    vote: Vote | None = None  # what they said

    @property
    def may_answer(self) -> bool:
        return self.may_write and (bool(self.voter) or not self.decision.is_vote)

    @property
    def is_mine(self) -> bool:
        """Whether it waits for a person, or for this person's vote, and they may give it."""
        return self.may_write and (self.decision.needs_person or (bool(self.voter) and self.vote is None))

    @property
    def choice(self) -> str:
        """What stands chosen in the form."""
        if self.form is not None and self.form.is_bound:
            return str(self.form["choice"].value() or "")
        return self.vote.choice if self.vote else ""

    @property
    def is_overdue(self) -> bool:
        return self.decision.deadline < timezone.now()


def questions_of(user: Any, project: Project | None = None) -> list[Question]:
    """Open decisions: those that wait for this one's vote, which nobody else can give; then for people."""
    decisions = Decision.objects.for_user(user).open().select_related("project", "bead")
    decisions = decisions.only(*ASKED)
    if project is not None:
        decisions = decisions.filter(project=project)
    answerable = answerable_by(user, Decision.objects.open()).values("pk")
    turn = Case(
        When(pk__in=votable_by(user), then=0), When(needs_person=True, pk__in=answerable, then=1), default=2
    )
    asked = list(decisions.order_by(turn, "-needs_person", "deadline", "id")[:DECISIONS])
    pks = [decision.pk for decision in asked]
    may_write = set(answerable_by(user, Decision.objects.filter(pk__in=pks)).values_list("pk", flat=True))
    votes = votes_of(user, asked)
    return [
        Question(
            decision=decision,
            form=None,
            may_write=decision.pk in may_write,
            voter=_voter(user, decision),
            vote=votes.get(decision.pk),
        )
        for decision in asked
    ]


def question_of(
    user: Any, decision: Decision, *, may_write: bool, form: AnswerForm | None = None
) -> Question:
    """One of them, whoever may answer it."""
    vote = votes_of(user, [decision]).get(decision.pk)
    return Question(decision, form, may_write, voter=_voter(user, decision), vote=vote)


def _voter(user: Any, decision: Decision) -> str:
    is_vote = decision.status == Decision.Status.OPEN and decision.is_vote
    return (decision.voter_among(*person_names(user.username)) or "") if is_vote else ""


def votes_of(user: Any, decisions: list[Decision]) -> dict[int, Vote]:
    """What the person voted, by decision."""
    voters = {decision.pk: voter for decision in decisions if (voter := _voter(user, decision))}
    if not voters:
        return {}
    rows = Vote.objects.filter(decision__in=voters, voter__in=voters.values())
    return {row.decision_id: row for row in rows if row.voter == voters[row.decision_id]}


def answerable_by(user: Any, rows: DecisionQuerySet) -> DecisionQuerySet:
    """Those that the user may answer, or vote on as one of the voters."""
    return rows_with(user, "decisions:write", rows, "project__organization_id")


def votable_by(user: Any) -> list[int]:
    """Ids of the open decisions that wait for the vote of this person, and not for just anybody."""
    asked = answerable_by(user, Decision.objects.open()).filter(needs_person=False)
    return asked.unvoted_by(user.username)


def waiting_count(user: Any) -> int:
    """How many open decisions wait for a person, or for the vote of this one."""
    rows = Decision.objects.for_user(user).open()
    return rows.filter(Q(needs_person=True) | Q(pk__in=votable_by(user))).count()
