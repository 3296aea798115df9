"""The course of a campaign: set the house up, keep it busy under attack, let it finish, audit."""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management import call_command

from apps.accounts.services import organization_ensure
from apps.agents.hub import Hub
from apps.agents.models import Session, Turn
from apps.agents.persona_services import personas_sync
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.engine.models import Step
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers.models import Call, Provider
from tests.crash.campaign.attacks import Attacker
from tests.crash.campaign.audit import Findings, audit, unused_calls, works
from tests.crash.campaign.databases import Cluster
from tests.crash.campaign.house import House, faults
from tests.crash.campaign.model import CHECKS, Journal
from tests.crash.campaign.rounds import rounds_feed
from tests.crash.campaign.watch import Watch, belonging_to, boxes_left, patiently

TICK = 0.05
PROJECTS = 2
SESSIONS = 3  # of one project at once
OPEN_BEADS = 5  # of one project while the attacks last
QUIET_SECONDS = 25.0  # without any event: nothing will happen any more
GRACE = 2.0  # seconds on top of the lease


@dataclass(frozen=True)
class Plan:
    place: Path
    url: str  # of the model
    cluster: Cluster | None
    seed: int
    kills: int
    seconds: float
    spare: tuple[int, ...]  # processes that are no part of the house


def play(plan: Plan) -> dict[str, Any]:
    logging.getLogger().setLevel(logging.ERROR)
    began = time.monotonic()
    projects = furnish(plan.url)
    current_app.loader.import_default_modules()  # once, for every supervising process that will be forked
    house, watch = House(Path(settings.LOOM_DATA_DIR)), Watch()
    attacker = Attacker(house, watch, plan.cluster, random.Random(plan.seed))
    house.start()
    try:
        while attacker.total < plan.kills and time.monotonic() - began < plan.seconds:
            tick(house, watch)
            feed(projects)
            patiently(rounds_feed)
            attacker.turn()
            tell(attacker)
        attacker.make_peace()
        stuck = finish(house, watch, attacker)
    finally:
        house.stop()
    time.sleep(1.0)
    watch.orphans += belonging_to(Path(settings.LOOM_DATA_DIR), spare=plan.spare)
    watch.orphans += boxes_left()
    journal = Journal.read(plan.place / "journal")
    findings = audit(journal)
    findings.lost += [f"a run stood still for {age:.0f} s" for age in stuck]
    return {
        "seed": plan.seed,
        "passed": passed(attacker, watch, findings, plan.kills),
        "seconds": round(time.monotonic() - began),
        **report(attacker, watch, findings, journal, plan.cluster),
    }


def furnish(url: str) -> list[Project]:
    Path(settings.LOOM_DATA_DIR).mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0, interactive=False)
    personas_sync()
    organization = organization_ensure(name="Campaign")
    Provider.objects.create(
        name="script",
        kind=Provider.Kind.OPENAI,
        endpoint=url,
        model="script",
        price_in=1_000_000,
        price_out=4_000_000,
        context_window=100_000,
        supports_tools=True,
    )
    return [found(organization, f"Field {number + 1}") for number in range(PROJECTS)]


def found(organization: Any, name: str) -> Project:
    project = project_create(
        organization=organization, name=name, prd=f"# {name}\n- It has parts.\n", max_sessions=SESSIONS
    )
    checks = [{"kind": "test", "name": "parts", "command": "sh check.sh"}]
    Project.objects.filter(pk=project.pk).update(checks=checks)
    hub = Hub(hub_path(project.pk))
    hub.create("main")
    hub.commit_files("main", {"check.sh": CHECKS.encode()}, "Start", "Loom <loom@loom.invalid>")
    return Project.objects.get(pk=project.pk)


def tick(house: House, watch: Watch) -> None:
    time.sleep(TICK)
    house.poll()
    watch.look()
    watch.scan(list(house.pids.values()))


def feed(projects: list[Project]) -> None:
    """New work wherever some was finished."""
    for project in projects:
        beads = Bead.objects.filter(project=project)
        if patiently(beads.exclude(status=Bead.Status.CLOSED).count) < OPEN_BEADS:
            number = patiently(Bead.objects.count) + 1
            patiently(partial(bead_add, project, number))


def bead_add(project: Project, number: int) -> Bead:
    return bead_create(
        project=project,
        title=f"Part {number}",
        acceptance=["It is there."],
        role="engineering-manager",
        origin=f"campaign:{number}",
    )


def tell(attacker: Attacker) -> None:
    if sys.stderr.isatty():
        closed = Bead.objects.filter(status=Bead.Status.CLOSED).count()
        print(f"\r{attacker.total} kills, {closed} beads closed ", end="", file=sys.stderr, flush=True)


def finish(house: House, watch: Watch, attacker: Attacker) -> list[float]:
    """Without attacks everything ends; how long runs had stood still that did not."""
    newest, deadline = 0, time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        tick(house, watch)
        attacker.collect()
        is_open = Bead.objects.exclude(status=Bead.Status.CLOSED).exists()
        if not is_open and not works().unfinished().exists() and not Event.objects.undelivered().exists():
            return []
        last = Event.objects.order_by("-id").values_list("pk", flat=True).first() or 0
        if last > newest:
            newest, deadline = last, time.monotonic() + QUIET_SECONDS
    return watch.overdue()


def report(
    attacker: Attacker, watch: Watch, findings: Findings, journal: Journal, cluster: Cluster | None
) -> dict[str, Any]:
    calls = Counter(Call.objects.values_list("status", flat=True))
    return {
        "database": "postgres" if cluster else "sqlite",
        "runs": works().count(),
        "beads": Bead.objects.count(),
        "sessions": Session.objects.count(),
        "steps": Step.objects.count(),
        "kills": {"total": attacker.total, **attacker.kills},
        "at_crash_points": dict(sorted(attacker.at_points.items())),
        "other_attacks": dict(attacker.others),
        "messages": dict(Counter(faults())),
        "lost": len(findings.lost),
        "duplicated": len(findings.duplicated),
        "orphans": len(watch.orphans),
        "model_calls": {
            "reached_the_model": journal.asked.total(),
            "repeated_in_flight": journal.repeated,
            "turns": Turn.objects.count(),
            "in_the_ledger": dict(calls),
            "answered_in_vain": unused_calls().count(),
            "unaccounted": len(findings.unaccounted),
        },
        "resume_seconds": resume(watch),
        "findings": {
            "lost": findings.lost[:20],
            "duplicated": findings.duplicated[:20],
            "unaccounted": findings.unaccounted[:20],
            "orphans": watch.orphans[:20],
        },
    }


def limit() -> float:
    return float(settings.LOOM_LEASE_SECONDS + GRACE)


def resume(watch: Watch) -> dict[str, Any]:
    everything = [one for times in watch.resumed.values() for one in times]
    by_kind = {kind: spread(times) for kind, times in sorted(watch.resumed.items())}
    return spread(everything) | {"limit": limit(), "by_attack": by_kind}


def spread(times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)
    if not ordered:
        return {"count": 0}

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    late = sum(one > limit() for one in ordered)
    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": at(1.0), "late": late}


def passed(attacker: Attacker, watch: Watch, findings: Findings, kills: int) -> bool:
    times = resume(watch)
    bad = (*findings.lost, *findings.duplicated, *findings.unaccounted, *watch.orphans)
    return attacker.total >= kills and not bad and not times.get("late")
