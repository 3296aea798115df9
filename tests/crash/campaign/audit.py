"""The audit: what the database, the repositories and the model's journal say once everything has ended."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from django.db.models import Q, QuerySet, Sum

from apps.agents.hub import Hub
from apps.agents.models import Agent, Claim, MergeRequest, Review, Session, Turn
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.engine.models import CHILD, Run, RunQuerySet, Signal, Step
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Budget, Call
from tests.crash.campaign.model import REVIEW, Journal, files_of, work_turns
from tests.crash.campaign.rounds import BRANCH, FLOW, marks

# What a bead's way to main tells exactly once.
ONCE = ("bead.assigned", "bead.closed", "merge.queued", "merge.merged")


T = TypeVar("T")


@dataclass
class Findings:
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)  # of money and calls

    def expect(self, what: str, found: int, wanted: int) -> None:
        if found < wanted:
            self.lost.append(f"{what}: {found} of {wanted}")
        elif found > wanted:
            self.duplicated.append(f"{what}: {found} instead of {wanted}")


def audit(journal: Journal) -> Findings:
    findings = Findings()
    _runs(findings)
    for project in Project.objects.all():
        _main(project, findings)
        _snapshots(project, findings)
    for bead in Bead.objects.order_by("pk"):
        _bead(bead, findings)
    _sessions(findings)
    _marks(findings)
    _ledger(journal, findings)
    return findings


def works() -> RunQuerySet:
    """Runs that have an end; those of agents and providers live as long as these."""
    return Run.objects.filter(Q(flow__in=[FLOW, BRANCH]) | Q(bead_id__isnull=False))


def _marks(findings: Findings) -> None:
    found, wanted = marks()
    for text in sorted({*found, *wanted}):
        findings.expect(f"mark {text!r}", found[text], wanted[text])


def _runs(findings: Findings) -> None:
    """Every run ended well, every step once; nothing was told in vain."""
    for run in works().exclude(status=Run.Status.DONE):
        findings.lost.append(f"run {run.key} is {run.status}: waits for {run.waits_for!r} {run.error[:300]}")
    for run in Run.objects.filter(status=Run.Status.FAILED).exclude(pk__in=works()):
        findings.lost.append(f"run {run.key} failed: {run.error[:300]}")
    for step in (
        Step.objects.filter(run__in=works()).exclude(status=Step.Status.DONE).select_related("run")[:50]
    ):
        findings.lost.append(
            f"step {step.seq} {step.name} of {step.run.key} is {step.status} {step.error[:300]}"
        )
    for event in Event.objects.undelivered()[:50]:
        findings.lost.append(f"event {event.pk} {event.kind} was not delivered")
    unheard = Signal.objects.filter(run__in=works(), consumed_at=None)
    for signal in unheard.exclude(name__startswith=CHILD).select_related("run")[:50]:  # those only wake
        findings.lost.append(f"signal {signal.name} of {signal.run.key} was not heard")
    ended = _tally(Event.objects.filter(kind="run.done").values_list("subject", flat=True))
    for run in works().filter(status=Run.Status.DONE):
        findings.expect(f"run.done of {run.key}", ended[f"run:{run.key}"], 1)
    for agent in Agent.objects.exclude(status=Agent.Status.IDLE, current_bead=None):
        findings.lost.append(f"agent {agent.name} is {agent.status} for ever")


def _bead(bead: Bead, findings: Findings) -> None:
    if bead.status != Bead.Status.CLOSED:
        findings.lost.append(f"{bead.key} is {bead.status} {bead.stage}: {bead.blocked_reason[:300]}")
    told = _tally(Event.objects.filter(bead_id=bead.pk).values_list("kind", flat=True))
    for kind in ONCE:
        findings.expect(f"{kind} of {bead.key}", told[kind], 1)
    merged = MergeRequest.objects.filter(bead=bead, status=MergeRequest.Status.MERGED).count()
    findings.expect(f"merges of {bead.key}", merged, 1)
    findings.expect(f"runs of {bead.key}", Run.objects.filter(bead_id=bead.pk, parent=None).count(), 1)
    findings.expect(f"claims of {bead.key}", Claim.objects.filter(bead=bead).count(), 1)
    findings.expect(f"reviews of {bead.key}", Review.objects.filter(bead=bead).count(), 1)
    evidence = _tally(bead.evidence.values_list("kind", flat=True))
    for kind in ("claim", "merge"):
        findings.expect(f"{kind} evidence of {bead.key}", evidence[kind], 1)


def _sessions(findings: Findings) -> None:
    for session in Session.objects.select_related("bead").order_by("pk"):
        assert session.bead is not None
        name = f"{session.kind} session of {session.bead.key}"
        wanted = len(work_turns(session.bead.title) if session.kind == "work" else REVIEW)
        turns = list(session.turns.order_by("number"))
        findings.expect(f"turns of the {name}", len(turns), wanted)
        findings.expect(f"turns counted of the {name}", session.turn_count, len(turns))
        told = _tally(Event.objects.filter(subject=f"session:{session.pk}").values_list("kind", flat=True))
        for kind, times in {"opened": 1, "ended": 1}.items():
            findings.expect(f"session.{kind} of the {name}", told[f"session.{kind}"], times)
        for kind in ("turn.replied", "turn.acted"):
            findings.expect(f"{kind} of the {name}", told[kind], wanted)
        bad = [one for turn in turns for one in turn.outcome if not one["ok"]]
        findings.lost.extend(f"an action of the {name} failed: {one}" for one in bad[:3])
        if session.status != Session.Status.ENDED:
            findings.lost.append(f"{name} is {session.status}")
    kinds = _tally(
        f"{kind} sessions of {key}" for key, kind in Session.objects.values_list("bead__key", "kind")
    )
    for what, times in kinds.items():
        findings.expect(what, times, 1)


def _main(project: Project, findings: Findings) -> None:
    """One commit a bead, each file exactly as the model wrote it."""
    hub = Hub(hub_path(project.pk))
    log = _git(
        hub, "log", "--first-parent", "--format=%H %(trailers:key=Bead,valueonly,separator=%x20)", "main"
    )
    commits = _tally(line.partition(" ")[2] for line in log if line.partition(" ")[2])
    beads = list(Bead.objects.filter(project=project))
    findings.expect(f"commits on main of {project.name}", len(log), len(beads) + 1)
    head = hub.head("main") or ""
    files = set(hub.files(head))
    for bead in beads:
        findings.expect(f"commits of {bead.key} on main", commits[bead.key], 1)
        for path, wanted in files_of(bead.title).items():
            found = hub.read(head, path).decode() if path in files else None
            if found is None:
                findings.lost.append(f"{path} of {bead.key} is not on main")
            elif found != wanted:
                bucket = findings.duplicated if len(found) > len(wanted) else findings.lost
                bucket.append(f"{path} of {bead.key} reads {found!r}")


def _snapshots(project: Project, findings: Findings) -> None:
    """The repository is whole, and every commit that a row names is held by a ref."""
    hub = Hub(hub_path(project.pk))
    trouble = [line for line in _git(hub, "fsck", "--full", "--no-dangling", ok=False) if line]
    findings.lost.extend(f"git fsck of {project.name}: {line}" for line in trouble[:5])
    held = set(_git(hub, "rev-list", "--all"))
    named = {("turn", commit) for commit in _commits(Turn, "session__project", project)}
    named |= {("claim", commit) for commit in _commits(Claim, "bead__project", project)}
    heads = Session.objects.filter(project=project).exclude(head_commit="")
    named |= {("session", commit) for commit in heads.values_list("head_commit", flat=True)}
    merged = Bead.objects.filter(project=project).exclude(merged_commit="")
    named |= {("bead", commit) for commit in merged.values_list("merged_commit", flat=True)}
    findings.lost.extend(
        f"commit {commit} of a {what} is in no ref" for what, commit in named if commit not in held
    )


def _commits(model: type[Turn | Claim], path: str, project: Project) -> Iterator[str]:
    rows = model.objects.filter(**{path: project}).exclude(commit="")
    yield from rows.values_list("commit", flat=True)


def _ledger(journal: Journal, findings: Findings) -> None:
    """Each request that reached the model is a row, each row is closed, and the budgets are their sum."""
    rows = Call.objects.filter(status=Call.Status.RESERVED)
    findings.unaccounted.extend(f"the call {call.key} is still set aside" for call in rows)
    known = _tally(Call.objects.values_list("purpose", "bead_id"))
    titles = dict(Bead.objects.values_list("title", "pk"))
    for (kind, title), times in journal.by_bead().items():
        if times > known[kind, titles[title]]:
            booked = known[kind, titles[title]]
            findings.unaccounted.append(
                f"{kind} of {title}: {times} calls reached the model, {booked} are booked"
            )
    paid = {key for key in Turn.objects.values_list("call_id", flat=True) if key is not None}
    used = set(Call.objects.filter(pk__in=paid).values_list("stem", flat=True))
    for call in unused_calls().exclude(stem__in=used):
        findings.unaccounted.append(
            f"the call {call.key} is settled, but no turn came of it or its repetition"
        )
    if len(paid) != Turn.objects.count():
        findings.duplicated.append("two turns came of one call")
    for budget in Budget.objects.all():
        scope = {f"{budget.scope}_id": budget.scope_id}
        spent = Call.objects.filter(**scope).aggregate(all=Sum("cost_microusd"))["all"] or 0
        if (budget.reserved_microusd, budget.spent_microusd) != (0, spent):
            said = f"{budget.reserved_microusd} set aside, {budget.spent_microusd} spent"
            findings.unaccounted.append(f"{budget}: {said}, but the ledger sums up to {spent}")


def unused_calls() -> QuerySet[Call]:
    """Answered and paid, but by then the run was another worker's, or the database was down."""
    paid = Turn.objects.filter(call_id__isnull=False).values("call_id")
    return Call.objects.filter(status=Call.Status.SETTLED).exclude(pk__in=paid)


def _tally(values: Iterable[T]) -> Counter[T]:
    return Counter(values)


def _git(hub: Hub, *arguments: str, ok: bool = True) -> list[str]:
    done = subprocess.run(
        ["git", "--git-dir", str(hub.path), *arguments], capture_output=True, text=True, check=ok, timeout=300
    )
    return (done.stdout + ("" if ok else done.stderr)).splitlines()
