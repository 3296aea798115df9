"""What teaches a lesson: a rejected review, a failed check that was mended, a person's answer."""

from __future__ import annotations

from apps.agents.lesson_models import Lesson
from apps.agents.lessons import lesson_learn
from apps.agents.models import Claim, Evidence, Review
from apps.decisions.models import Decision
from apps.events.bus import on
from apps.events.models import Event

TOLD_CHARS = 260


@on("review.rejected")
def learn_from_review(event: Event) -> None:
    rows = Review.objects.select_related("bead__project", "session__agent")
    rejected = rows.filter(
        bead_id=event.bead_id or 0, claim__number=event.data.get("claim"), verdict=Review.Verdict.REJECT
    )
    for review in rejected.exclude(comments=""):
        lesson_learn(
            project=review.bead.project,
            text=f"Reviewers ask for this: {review.comments}",
            kind=Lesson.Kind.REVIEW,
            origin=f"review:{review.pk}",
            about=review.bead.title,
            bead=review.bead,
            session=review.session,
        )


@on("evidence.passed")
def learn_from_repair(event: Event) -> None:
    """The claim before this one failed a check, and this one does not."""
    if event.data.get("of") != Evidence.Kind.CLAIM:
        return
    claims = Claim.objects.select_related("bead__project", "session__agent")
    mended = claims.filter(bead_id=event.bead_id or 0, number=event.data.get("claim")).first()
    failed = (
        Evidence.objects.filter(
            bead_id=event.bead_id or 0,
            kind=Evidence.Kind.CLAIM,
            passed=False,
            claim__number=int(event.data.get("claim", 0)) - 1,
        )
        .order_by("id")
        .first()
    )
    if mended is None or failed is None:
        return
    lesson_learn(
        project=mended.bead.project,
        text=f"{failed.check_name} failed: {_error(failed)} What mended it: {_cut(mended.summary)}",
        kind=Lesson.Kind.CHECK,
        origin=f"evidence:{failed.pk}",
        about=mended.bead.title,
        bead=mended.bead,
        session=mended.session,
    )


@on("decision.resolved")
def learn_from_answer(event: Event) -> None:
    """What a person said to an agent's question holds for later work too."""
    number = event.subject.removeprefix("decision:")
    rows = Decision.objects.select_related("project", "bead").filter(
        kind=Decision.Kind.QUESTION, decided_by=Decision.Way.PERSON
    )
    decision = rows.filter(pk=int(number)).first() if number.isdecimal() else None
    if decision is None or decision.project is None:
        return
    labels = {option["key"]: option.get("label", "") for option in decision.options}
    answer = labels.get(decision.choice) or decision.choice
    why = f" ({_cut(decision.rationale)})" if decision.rationale else ""
    lesson_learn(
        project=decision.project,
        text=f"A person was asked: {_cut(decision.question)} The answer: {_cut(answer)}{why}",
        kind=Lesson.Kind.ANSWER,
        origin=f"decision:{decision.pk}",
        about=decision.bead.title if decision.bead else "",
        bead=decision.bead,
    )


def _error(failed: Evidence) -> str:
    first = str(failed.counts.get("first_error") or "") or " ".join(failed.counts.get("failures", ())[:3])
    return _cut(first or failed.output.strip()[-TOLD_CHARS:])


def _cut(text: str) -> str:
    text = " ".join(text.split())
    text = text if len(text) <= TOLD_CHARS else f"{text[:TOLD_CHARS]}..."
    return text if text.endswith((".", "!", "?")) else f"{text}."
