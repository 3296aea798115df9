"""A tenant with some of everything, for tests of pages: made by services where there are any."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.agents.lesson_models import Lesson
from apps.agents.lessons import lesson_learn
from apps.agents.models import (
    Agent,
    Claim,
    Evidence,
    MergeRequest,
    Message,
    Persona,
    Review,
    Session,
    Trouble,
    Turn,
)
from apps.beads.models import Bead
from apps.beads.services import bead_claim, bead_create
from apps.decisions.models import Decision, Vote
from apps.decisions.services import decision_request
from apps.engine.models import Run, Signal, Step
from apps.projects.models import Project
from apps.projects.services import project_create

PRD = "# {name}\n\n## Links\n\n- The command `add` stores a link.\n- The command `list` shows all links.\n"


@dataclass
class World:
    organization: Organization
    staff: User
    project: Project
    agent: Agent
    beads: list[Bead] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


def client_of(world: World, role: str = Role.USER, name: str = "ann") -> Client:
    """Somebody new in the world's organization, logged in."""
    user = User.objects.create_user(username=name)
    membership_set(user=user, organization=world.organization, role=role)
    client = Client()
    client.force_login(user)
    return client


def world_build(name: str = "acme", *, rows: int = 2, organization: Organization | None = None) -> World:
    """An organization with a staff member and a project with `rows` beads, all of them with a history."""
    organization = organization or organization_ensure(name=name)
    staff = staff_build(organization, f"{name}-staff")
    project = project_create(organization=organization, name=f"{name} links", prd=PRD.format(name=name))
    persona, _ = Persona.objects.get_or_create(
        name="default/engineering-manager", defaults={"role": "engineering-manager", "body": "Build."}
    )
    agent = Agent.objects.create(project=project, persona=persona, name="Engineer", role=persona.role)
    world = World(organization, staff, project, agent)
    for _ in range(rows):
        bead_add(world)
    return world


def staff_build(organization: Organization, username: str) -> User:
    """A staff member who may do everything that permissions allow, but is no superuser."""
    staff = User.objects.create_user(username=username, is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    membership_set(user=staff, organization=organization, role=Role.ADMIN)
    return staff


def bead_add(world: World) -> Bead:
    """One more bead that waits for the one before it, with a session and all that comes of one."""
    number = len(world.beads) + 1
    bead = bead_create(
        project=world.project,
        title=f"Store links, part {number}",
        acceptance=["It stores.", "It lists."],
        role="engineering-manager",
        blocked_by=world.beads[-1:],
        requirements=list(world.project.requirements.all()[:1]),
    )
    world.beads.append(bead)
    decision = decision_request(
        project=world.project,
        bead=bead,
        question=f"Keep addresses of part {number}?",
        options=[{"key": "hash", "label": "Store a salted hash"}, {"key": "drop", "label": "Store nothing"}],
        recommendation="hash",
        requester="Engineer",
    )
    world.decisions.append(decision)
    Vote.objects.create(decision=decision, voter="Tester", choice="hash", rationale="Safer.")
    run_add(world, bead)
    session_add(world, bead)
    return bead


def run_add(
    world: World, bead: Bead | None = None, *, status: str = Run.Status.WAITING, steps: int = 3
) -> Run:
    run = Run.objects.create(
        key=f"world:{Run.objects.count()}",
        flow="world",
        status=status,
        input={"title": "Store links"},
        organization_id=world.organization.pk,
        project_id=world.project.pk,
        bead_id=bead.pk if bead else None,
    )
    began = timezone.now()
    for seq in range(1, steps + 1):
        Step.objects.create(
            run=run,
            seq=seq,
            name=f"turn {seq}",
            status=Step.Status.DONE,
            output={"seq": seq},
            started_at=began,
            ended_at=began + timedelta(milliseconds=120 * seq),
        )
    Signal.objects.create(run=run, name="answer", data={"choice": "hash"})
    return run


def session_add(world: World, bead: Bead) -> Session:
    """A session with a turn, a claim, evidence, a review and a place in the merge queue."""
    session = Session.objects.create(
        project=world.project,
        bead=bead,
        agent=world.agent,
        kind=Session.Kind.WORK,
        origin=f"bead:{bead.pk}",
        opening=[{"role": "system", "content": "You build."}],
        actions=["read_file", "done"],
        turn_count=1,
        cost_microusd=12_300,
    )
    world.sessions.append(session)
    Turn.objects.create(
        session=session,
        number=1,
        reply='{"role": "assistant", "content": "I look."}',
        actions=[{"id": "1", "name": "read_file", "arguments": {"path": "a.py"}}],
        results=[{"role": "tool", "content": "x"}],
        model="demo",
        created_at=timezone.now(),
    )
    claim = Claim.objects.create(session=session, bead=bead, number=1, commit="c" * 40, tree="d" * 40)
    Evidence.objects.create(
        bead=bead,
        claim=claim,
        kind=Evidence.Kind.CLAIM,
        commit=claim.commit,
        tree=claim.tree,
        check_name="unit tests",
        command="python -m unittest",
        exit_code=0,
        passed=True,
        output="OK",
        counts={"passed": 12, "failed": 0},
    )
    Review.objects.create(
        bead=bead, claim=claim, session=session, verdict=Review.Verdict.APPROVE, comments="Good."
    )
    MergeRequest.objects.create(project=world.project, bead=bead, claim=claim, run_id=1)
    Message.objects.create(
        project=world.project, session=session, to_role="qa-engineer", subject="Ready", body="Look."
    )
    lesson_learn(
        project=world.project,
        text=f"Part {bead.pk} of {world.project.name} stores links in table number {bead.pk * 7}.",
        kind=Lesson.Kind.AGENT,
        origin=f"world:{bead.pk}",
        bead=bead,
        session=session,
    )
    trouble = Trouble.objects.create(
        project=world.project, fingerprint=f"{bead.pk:064}", text="No links fit.", decision_id=-bead.pk
    )
    trouble.stops.create(bead=bead, run_id=bead.pk, origin=f"run:{bead.pk}:1", is_first=True)
    return session


def work_on(world: World, bead: Bead, *, doing: str = "run_tests") -> None:
    """The agent takes the bead and is at it."""
    bead_claim(bead=bead, agent=world.agent.name)
    Agent.objects.filter(pk=world.agent.pk).update(
        status=Agent.Status.WORKING, current_bead=bead, current_action=doing, last_active_at=timezone.now()
    )
