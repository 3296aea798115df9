"""The measured side of pages: a project of 1,000 beads and 50 agents, and somebody who looks at it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.activity.models import LogEntry
from apps.agents.models import Agent, Persona, Session
from apps.agents.persona_services import personas_sync
from apps.beads.models import Bead, Dependency
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.engine.models import Run
from apps.events.models import Event
from apps.motivations.services import motivation_create
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers.models import Call
from tests.bench.child import Command

BEADS, AGENTS, PROJECTS = 1_000, 50, 8
PRD = "# Links\n\n## Links\n\n" + "".join(f"- The command `c{number}` does it.\n" for number in range(20))
OF_ROWS = (
    "/beads/{bead}/", "/beads/{bead}/changes/", "/beads/{bead}/evidence/", "/sessions/{session}/",
    "/runs/{run}/", "/decisions/{decision}/", "/decisions/{plan}/", "/personas/{persona}/",
    "/motivations/{motivation}/", "/pair/{pairing}/",
)  # fmt: skip
STATUSES = (Bead.Status.OPEN, Bead.Status.IN_PROGRESS, Bead.Status.CLOSED, Bead.Status.BLOCKED)
EVERYWHERE = (
    "/", "/overview/", "/decisions/", "/activity/", "/agents/", "/runs/", "/cost/", "/conversations/",
    "/logs/", "/notifications/", "/notifications/told/", "/people/", "/people/groups/", "/people/keys/",
    "/account/", "/models/", "/models/new/", "/personas/", "/workflows/", "/workflows/story/",
    "/workflows/story/edit/", "/workflows/bootstrap/", "/motivations/", "/motivations/new/", "/pair/",
    "/projects/new/", "/design/", "/find/?q=links",
)  # fmt: skip
OF_OPERATORS = ("/installation/",)
OF_PROJECT = (
    "", "?span=1h", "board/", "board/?lanes=epic", "beads/", "graph/", "requirements/", "lessons/", "team/",
    "team/?edit=qa-engineer", "settings/",
)  # fmt: skip


class Site:
    def __init__(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        personas_sync()
        organization = organization_ensure(name="bench")
        self.client = self._client("bench", organization)
        self.nobody = self._client("nobody", organization_ensure(name="empty"))
        self.operator = self._client("operator", organization)
        User.objects.filter(username="operator").update(is_staff=True, is_superuser=True)
        projects = [
            project_create(organization=organization, name=f"Bench {n}", prd=PRD) for n in range(PROJECTS)
        ]
        self.project = projects[-1]
        beads = beads_build(self.project)
        agents = agents_build(self.project, beads)
        history_build(self.project, beads, agents)
        self.pages = pages_of(
            self.project.pk,
            bead=beads[1].key,
            session=Session.objects.filter(kind=Session.Kind.WORK).latest("pk").pk,
            run=Run.objects.latest("pk").pk,
            **others_build(self.project),
        )

    def _client(self, name: str, organization: Any) -> Client:
        user = User.objects.create_user(username=name)
        membership_set(user=user, organization=organization, role=Role.USER)
        client = Client(SERVER_NAME="localhost")
        client.force_login(user)
        return client

    def play(self) -> dict[str, Any]:
        """Milliseconds of processor and bytes of each page, and of an empty one that has the frame alone."""
        empty = [self._look(self.nobody, "/notifications/")[0] for _ in range(5)]
        pages = {
            page: self._look(self.operator if page in OF_OPERATORS else self.client, page)
            for page in self.pages
        }
        return {"empty": sorted(empty)[2], "pages": pages}

    def _look(self, client: Client, page: str) -> tuple[float, int]:
        began = time.process_time()
        response = client.get(page)
        took = 1000 * (time.process_time() - began)
        assert response.status_code == 200, (page, response.status_code)
        return took, len(response.content)


def pages_of(project_id: int, **rows: int | str) -> list[str]:
    """Every page that there is, of these rows."""
    of_project = [f"/projects/{project_id}/{page}" for page in OF_PROJECT]
    return [*EVERYWHERE, *OF_OPERATORS, *of_project, *(page.format(**rows) for page in OF_ROWS)]


def others_build(project: Project) -> dict[str, int]:
    """What there are few of, and a plan that waits."""
    motivation = motivation_create(
        organization=project.organization,
        name="Weekly tidying",
        type="calendar",
        condition="scheduled_interval",
        parameters={"cron": "0 9 * * 1"},
        bead_template={"title": "Tidy up", "description": "Remove what is dead."},
        project=project,
    )
    pairing = Session.objects.create(
        project=project, agent=Agent.objects.latest("pk"), kind=Session.Kind.PAIR, origin="bench:pair"
    )
    plan = decision_request(
        project=project, question="Approve the plan?", kind=Decision.Kind.PLAN, needs_person=True
    )
    asked = Decision.objects.filter(kind=Decision.Kind.QUESTION).latest("pk")
    return {
        "motivation": motivation.pk,
        "pairing": pairing.pk,
        "plan": plan.pk,
        "decision": asked.pk,
        "persona": Persona.objects.latest("pk").pk,
    }


def beads_build(project: Project) -> list[Bead]:
    now = timezone.now()
    epics = [
        Bead(project=project, key=f"e-{number}", title=f"Epic {number}", type="epic") for number in range(10)
    ]
    Bead.objects.bulk_create(epics)
    rows = [
        Bead(
            project=project,
            key=f"{project.bead_prefix}-{number}",
            title=f"Store links, part {number}",
            description="The command `add` stores a link with its title and the time. " * 3,
            status=STATUSES[number % 4],
            stage=Bead.Stage.VERIFYING if number % 4 == 1 else "",
            blocked_reason="Three attempts ended in the same failing test." if number % 4 == 3 else "",
            parent=epics[number % 10],
            role=("engineering-manager", "qa-engineer")[number % 2],
            priority=number % 5,
            labels=["mvp", "storage"],
            acceptance=["It stores.", "It lists."],
            merged_commit="a" * 40 if number % 4 == 2 else "",
            closed_at=now if number % 4 == 2 else None,
        )
        for number in range(BEADS)
    ]
    made = Bead.objects.bulk_create(rows, batch_size=500)
    edges = [Dependency(bead=made[at], blocker=made[at - 1]) for at in range(5, BEADS, 5)]
    Dependency.objects.bulk_create(edges, batch_size=500)
    requirements = list(project.requirements.all())
    link = Bead.requirements.through
    link.objects.bulk_create(
        link(bead_id=bead.pk, requirement_id=requirements[at % len(requirements)].pk)
        for at, bead in enumerate(made)
    )
    return made


def agents_build(project: Project, beads: list[Bead]) -> list[Agent]:
    persona, _ = Persona.objects.get_or_create(
        name="default/engineering-manager", organization=None, defaults={"role": "engineering-manager"}
    )
    rows = [
        Agent(
            project=project,
            persona=persona,
            name=f"Engineer {number}",
            role="engineering-manager",
            status="working" if number % 2 else "idle",
            current_bead=beads[4 * number + 1] if number % 2 else None,
            current_action="run_tests tests/test_store.py" if number % 2 else "",
        )
        for number in range(AGENTS)
    ]
    return Agent.objects.bulk_create(rows)


def history_build(project: Project, beads: list[Bead], agents: list[Agent]) -> None:
    now = timezone.now()
    where = {"organization_id": project.organization_id, "project_id": project.pk}
    sessions = [
        Session(
            project=project,
            bead=bead,
            agent=agents[at % AGENTS],
            kind=("work", "review")[at % 2],
            origin=f"bench:{at}",
            status="ended" if at % 3 else "open",
            turn_count=8,
            ended_at=now if at % 3 else None,
        )
        for at, bead in enumerate(beads)
    ]
    Session.objects.bulk_create(sessions, batch_size=500)
    Run.objects.bulk_create(
        Run(
            key=f"bench:{at}",
            flow="bead.work",
            status="waiting" if at % 2 else "done",
            bead_id=bead.pk,
            **where,
        )
        for at, bead in enumerate(beads)
    )
    Event.objects.bulk_create(
        Event(
            kind="claim.made" if at % 2 else "bead.created",
            subject=f"bead:{bead.key}",
            actor="Engineer 1",
            bead_id=bead.pk,
            data={"title": bead.title},
            created_at=now,
            **where,
        )
        for at, bead in enumerate(beads)
    )
    LogEntry.objects.bulk_create(
        LogEntry(
            timestamp=now,
            level="info",
            source="agents.loop",
            message="Opened.",
            bead_id=bead.pk,
            **where,
        )
        for bead in beads
    )
    Call.objects.bulk_create(
        Call(
            key=f"bench:{at}",
            stem="bench",
            provider_id=1,
            provider_name="local",
            model="qwen3",
            status="settled",
            reserved_microusd=0,
            cost_microusd=900,
            created_at=now - timedelta(minutes=5 * at),
            ended_at=now,
            **where,
        )
        for at in range(BEADS)
    )
    for bead in beads[3:40:4]:
        decision_request(project=project, bead=bead, question=f"Keep {bead.title}?", needs_person=True)


def commands() -> dict[str, Command]:
    site = Site()
    return {"play": site.play}
