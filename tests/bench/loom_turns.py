"""The measured side of turns: sessions of the real loop on a real worktree, everything durable."""

from __future__ import annotations

import time
from typing import Any

from apps.agents.conversation import Conversation
from apps.agents.loop import session_run
from apps.agents.models import Session, Turn
from apps.agents.services import agent_acquire
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.engine import doorbell
from apps.engine.flow import flow
from apps.engine.models import Run, Step
from apps.engine.runner import advance
from apps.engine.services import run_start
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Call
from apps.workflows.briefing import Work, briefing_of, work_sessions
from tests.bench.child import Command
from tests.bench.loom_house import ROLE, house_build, project_build


@flow("bench.session")
def bench_session(session_id: int) -> str:
    return session_run(session_id).reason


class House:
    def __init__(self) -> None:
        doorbell.use(lambda _: None)  # runs are advanced right here
        house_build()
        self.project: Project = project_build("Turns", sessions=4)
        self.number = 0

    def open(self) -> Session:
        self.number += 1
        bead = bead_create(
            project=self.project,
            title=f"Turns {self.number}",
            role=ROLE,
            status=Bead.Status.DEFERRED,
            acceptance=["It is read."],
        )
        agent = agent_acquire(project=self.project, role=ROLE, bead=bead)
        briefing = briefing_of(self.project, [bead])
        works = [Work(bead, agent, origin=f"bench:{self.number}")]
        (session,) = work_sessions(project=self.project, works=works, briefing=briefing)
        return session

    def opening(self) -> dict[str, Any]:
        """What a session of this house sends first: the messages and the tools, for the other side."""
        talk = Conversation.load(self.open(), turns=())
        return {
            "messages": [message.decode() for message in talk.messages],
            "tools": (talk.tools or b"").decode(),
        }

    def session(self) -> dict[str, Any]:
        """Play one session to its end; seconds of CPU, and the rows that prove its turns."""
        session = self.open()
        run = run_start(
            flow="bench.session",
            key=f"bench:{session.pk}",
            input={"session_id": session.pk},
            organization_id=self.project.organization_id,
            project_id=self.project.pk,
            bead_id=session.bead_id,
        )
        began = time.process_time()
        advance(run.pk)
        cpu = time.process_time() - began
        run.refresh_from_db()
        assert run.status == Run.Status.DONE, (run.status, run.error)
        return {
            "cpu": cpu,
            "ending": run.output,
            "turns": Turn.objects.filter(session=session, acted_at__isnull=False).count(),
            "steps": Step.objects.filter(run=run, status=Step.Status.DONE).count(),
            "calls": Call.objects.filter(session_id=session.pk, status=Call.Status.SETTLED).count(),
            "events": Event.objects.filter(subject=f"session:{session.pk}").count(),
        }


def commands() -> dict[str, Command]:
    house = House()
    return {"opening": house.opening, "session": house.session}
