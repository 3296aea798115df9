"""Troubles: work that cannot go on becomes one question for a person, however many beads the error stops.

Reports of one error share a fingerprint. The first opens a question; others join it and wait. The answer is
given to all, exactly once: to go on holds for everybody, to drop only for the work the question names; the
others ask again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.agents.models import Evidence, Trouble, TroubleStop
from apps.agents.safety import fingerprint
from apps.agents.story import bead_story
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_close, bead_resume
from apps.core.errors import Conflict
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.engine.models import Run
from apps.engine.services import run_retry, run_signal
from apps.events.bus import emit
from apps.projects.models import Project

RETRY, DROP, AGAIN = "retry", "drop", "again"
STUCK_OPTIONS = [
    {"key": RETRY, "label": "Try again", "detail": "The work goes on where it stopped."},
    {"key": DROP, "label": "Drop it", "detail": "The work is given up; what was merged stays."},
]
OUTPUT = 4_000  # characters of a failed check that tell one failure from another


@dataclass(frozen=True)
class Report:
    """Work that cannot go on: `reason` names why its session ended; empty: the platform failed."""

    project: Project
    text: str
    run_id: int
    origin: str
    bead: Bead | None = None
    reason: str = ""
    is_dead: bool = False  # the run has failed; the answer starts it again


@transaction.atomic
def trouble_report(report: Report) -> int:
    """Stop the work and ask a person, or join the question that is open already; the decision's id."""
    project = Project.objects.locked(report.project.pk)
    if known := TroubleStop.objects.select_related("trouble").filter(origin=report.origin).first():
        return known.trouble.decision_id
    mark = _fingerprint(report)
    trouble = _open_trouble(project, mark)
    if trouble is None:
        decision = _ask(project, report)
        trouble = Trouble.objects.create(
            project=project, fingerprint=mark, text=report.text, decision_id=decision.pk
        )
    else:
        Trouble.objects.filter(pk=trouble.pk).update(count=F("count") + 1, updated_at=timezone.now())
        _tell(trouble, report, count=trouble.count + 1)
    TroubleStop.objects.create(
        trouble=trouble,
        bead=report.bead,
        run_id=report.run_id,
        origin=report.origin,
        is_first=not trouble.stops.exists(),
        is_dead=report.is_dead,
    )
    if report.bead is not None:
        bead_block(bead=report.bead, reason=report.text, actor="loom")
    return trouble.decision_id


def _fingerprint(report: Report) -> str:
    """What the platform suffers, and what a check says, may be the same for many beads; the rest is not."""
    if report.reason == "verification" and report.bead is not None:
        failed = Evidence.objects.filter(bead=report.bead, passed=False).order_by("-id").first()
        if failed is not None and failed.output.strip():
            return fingerprint(f"{failed.check_name}\n{failed.output.strip()[-OUTPUT:]}")
    if report.reason:
        about = report.bead.pk if report.bead is not None else report.run_id
        # A number would be taken for one of those that vary.
        return fingerprint(f"{report.reason}\n{report.text}\n{_lettered(about)}")
    return fingerprint(report.text)


def _lettered(number: int) -> str:
    return "".join(chr(ord("g") + int(digit)) for digit in str(number))


def _open_trouble(project: Project, mark: str) -> Trouble | None:
    """The open trouble with this fingerprint, if its question can still be answered."""
    known = Trouble.objects.filter(project=project, fingerprint=mark, status=Trouble.Status.OPEN)
    trouble: Trouble | None = known.first()
    if trouble is None:
        return None
    # Held until we commit: whoever answers meanwhile sees who joined.
    open_ones = Decision.objects.select_for_update(of=("self",), no_key=True).open()
    if open_ones.filter(pk=trouble.decision_id).first() is None:
        _solved(trouble)
        return None
    return trouble


def _solved(trouble: Trouble) -> None:
    now = timezone.now()
    Trouble.objects.filter(pk=trouble.pk, status=Trouble.Status.OPEN).update(
        status=Trouble.Status.SOLVED, solved_at=now, updated_at=now
    )


def _ask(project: Project, report: Report) -> Decision:
    bead = report.bead
    return decision_request(
        project=project,
        bead=bead,
        kind=Decision.Kind.STUCK,
        question=f"{bead.key if bead else project.name} cannot go on: {report.text}",
        options=STUCK_OPTIONS,
        recommendation=RETRY,
        context=bead_story(bead) if bead else "",
        requester="loom",
        needs_person=True,
        run_id=None if report.is_dead else report.run_id,
        origin=report.origin,
    )


def _tell(trouble: Trouble, report: Report, **data: Any) -> None:
    emit(
        "trouble.joined",
        organization_id=trouble.project.organization_id,
        project_id=trouble.project_id,
        bead_id=report.bead.pk if report.bead else None,
        subject=f"decision:{trouble.decision_id}",
        actor="loom",
        decision_id=trouble.decision_id,
        text=report.text,
        **data,
    )


def trouble_settle(*, decision_id: int) -> int:
    """Pass the answer of a question on to everybody who waits for it; how many were told now."""
    trouble = Trouble.objects.filter(decision_id=decision_id).first()
    decision = Decision.objects.filter(pk=decision_id).exclude(status=Decision.Status.OPEN).first()
    if trouble is None or decision is None:
        return 0
    told = 0
    for stop in trouble.stops.filter(told_at=None).select_related("bead__project").order_by("id"):
        with transaction.atomic():
            if TroubleStop.objects.filter(pk=stop.pk, told_at=None).update(told_at=timezone.now()):
                _pass_on(stop, decision)
                told += 1
    _solved(trouble)
    return told


def _pass_on(stop: TroubleStop, decision: Decision) -> None:
    holds_for_all = decision.status == Decision.Status.DECIDED and decision.choice != DROP
    choice = decision.choice if stop.is_first or holds_for_all else AGAIN
    if stop.is_dead:
        _revive(stop, choice, decision.decider)
    elif not stop.is_first:  # the first is the decision's own run, told by the decision itself
        said = {"choice": choice, "rationale": decision.rationale, "decider": decision.decider}
        run_signal(run_id=stop.run_id, name=f"decision:{decision.pk}", data=said)


def _revive(stop: TroubleStop, choice: str, actor: str) -> None:
    """A failed run goes on from the step it failed of, or its bead is given up."""
    if choice == DROP:
        if stop.bead is not None:
            bead_close(bead=stop.bead, reason=f"Dropped: {stop.trouble.text}", actor=actor)
        return
    if choice == AGAIN:
        again = Report(
            project=stop.trouble.project,
            text=stop.trouble.text,
            run_id=stop.run_id,
            origin=f"{stop.origin}:again:{stop.trouble_id}"[:120],
            bead=stop.bead,
            is_dead=True,
        )
        trouble_report(again)
        return
    if choice != RETRY or not Run.objects.filter(pk=stop.run_id, status=Run.Status.FAILED).exists():
        return  # withdrawn, or somebody retried the run by hand
    if stop.bead is not None and stop.bead.status == Bead.Status.CLOSED:
        return
    try:
        run_retry(run_id=stop.run_id, actor=actor)
    except Conflict:
        return
    if stop.bead is not None:
        bead_resume(bead=stop.bead, actor=actor)
