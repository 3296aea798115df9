"""The measured side of dispatch: beads become ready here, the real worker and broker do the rest."""

from __future__ import annotations

import time
from typing import Any

from django.db import connections, transaction

from apps.beads.models import Bead
from apps.beads.services import bead_create, beads_activate
from apps.core.commit import after_commit
from apps.core.errors import Conflict
from apps.core.supervisor import Supervisor
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.projects.models import Project
from apps.projects.services import project_close
from tests.bench.child import Command
from tests.bench.loom_house import ROLE, house_build, project_build


class Site:
    def __init__(self) -> None:
        house_build()
        connections.close_all()
        self.supervisor = Supervisor(["worker", "beat"], quiet=True)
        self.supervisor.start()
        self.project: Project | None = None
        self.number = 0

    def plan(self, beads: int, sessions: int) -> dict[str, Any]:
        """A new project with so many beads that wait to be opened; their titles."""
        self.number += 1
        self.project = project_build(f"Site {self.number}", sessions=sessions)
        titles = [f"Bead {self.number}-{number}" for number in range(beads)]
        for title in titles:
            bead_create(
                project=self.project,
                title=title,
                role=ROLE,
                description="Look around.",
                acceptance=["It is seen."],
                status=Bead.Status.DEFERRED,
            )
        return {"titles": titles}

    def open(self) -> dict[str, Any]:
        """All beads of the plan become ready at once; the moment of the commit."""
        assert self.project is not None
        commits: list[float] = []
        with transaction.atomic():
            after_commit(lambda: commits.append(time.monotonic()), first=True)  # before anybody who reacts
            beads_activate(project=self.project, actor="bench")
        return {"ready": commits[0], "returned": time.monotonic()}

    def cancel(self) -> dict[str, Any]:
        """End what runs of the project; how many runs are unfinished."""
        assert self.project is not None
        # A closed project starts nothing: its canceled beads stay where they are.
        if self.project.status != Project.Status.CLOSED:
            project_close(project=self.project, reason="Measured.", actor="bench")
            self.project.refresh_from_db()
        runs = Run.objects.unfinished().filter(project_id=self.project.pk)
        for run_id in runs.filter(cancel_requested=False).values_list("pk", flat=True):
            try:
                run_cancel(run_id=run_id, actor="bench")
            except Conflict:
                continue
        return {"unfinished": runs.count()}

    def stop(self) -> dict[str, Any]:
        connections.close_all()
        self.supervisor.stop()
        return {}


def commands() -> dict[str, Command]:
    site = Site()
    return {"plan": site.plan, "open": site.open, "cancel": site.cancel, "stop": site.stop}
