"""The measured side of many sessions: the real loop, gateway, ledger and engine in one real worker."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from django.db import connections

from apps.agents.loop import session_run
from apps.agents.models import Turn
from apps.agents.services import Post, agents_acquire
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.supervisor import Supervisor
from apps.engine.flow import flow
from apps.engine.models import Run
from apps.engine.services import Start, runs_start
from apps.projects.models import Project
from apps.providers.models import Call
from apps.workflows.briefing import Work, briefing_of, work_sessions
from tests.bench.child import Command
from tests.bench.loom_house import ROLE, house_build, project_build

TICKS = os.sysconf("SC_CLK_TCK")


@flow("bench.session")
def bench_session(session_id: int) -> str:
    return session_run(session_id).reason


class Hall:
    """One project with many sessions, and one worker that holds them all."""

    def __init__(self) -> None:
        house_build()
        connections.close_all()
        self.supervisor = Supervisor(["worker", "beat"], quiet=True)
        self.supervisor.start()

    def open(self, sessions: int) -> dict[str, Any]:
        """Start a run for each of so many new sessions."""
        project = project_build("Hall", sessions=sessions)
        starts = [Start(f"bench:{pk}", {"session_id": pk}) for pk in self._sessions(project, sessions)]
        runs_start(
            flow="bench.session",
            starts=starts,
            organization_id=project.organization_id,
            project_id=project.pk,
        )
        return {}

    def _sessions(self, project: Project, count: int) -> list[int]:
        beads = [
            bead_create(
                project=project,
                title=f"Hall {number}",
                role=ROLE,
                status=Bead.Status.DEFERRED,
                acceptance=["It is read."],
            )
            for number in range(count)
        ]
        agents = agents_acquire(project=project, posts=[Post(ROLE, bead) for bead in beads])
        works = [
            Work(bead, agent, origin=f"bench:{bead.pk}") for bead, agent in zip(beads, agents, strict=True)
        ]
        opened = work_sessions(project=project, works=works, briefing=briefing_of(project, beads))
        return [session.pk for session in opened]

    def worker(self) -> dict[str, Any]:
        """What the worker costs so far: memory now and at most, seconds of CPU."""
        pid = self.supervisor.pids["worker"]
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        sizes = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Vm")}
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return {
            "rss_mb": int(sizes["VmRSS"]) / 1024,
            "peak_mb": int(sizes["VmHWM"]) / 1024,
            "cpu": (int(fields[11]) + int(fields[12])) / TICKS,
        }

    def proof(self) -> dict[str, Any]:
        """What was recorded; runs that are not running any more ended too early."""
        runs = Run.objects.filter(flow="bench.session")
        return {
            "running": runs.filter(status=Run.Status.RUNNING).count(),
            "attempts": max(runs.values_list("attempts", flat=True)),
            "turns": Turn.objects.filter(acted_at__isnull=False).count(),
            "settled": Call.objects.filter(status=Call.Status.SETTLED).count(),
            "own_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    def stop(self) -> dict[str, Any]:
        connections.close_all()
        self.supervisor.stop()
        return {}


def commands() -> dict[str, Command]:
    hall = Hall()
    return {"open": hall.open, "worker": hall.worker, "proof": hall.proof, "stop": hall.stop}
