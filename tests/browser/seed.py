"""Fills the database of the server that browsers visit; prints who may sign in and what there is, as JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.test import Client
from django.utils import timezone

from apps.accounts.email_services import email_link
from apps.accounts.invitation_services import invitation_create
from apps.accounts.key_services import key_create
from apps.accounts.login_services import tokens_give
from apps.accounts.models import Organization, Role, User
from apps.accounts.services import group_create, group_member_add, membership_set, organization_ensure
from apps.activity.models import Delivery, Notification
from apps.activity.services import notifications_create
from apps.agents.hub import Hub
from apps.agents.lesson_models import Lesson
from apps.agents.lessons import lesson_create
from apps.agents.models import Persona, Session
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.decisions.services import decision_request
from apps.engine.models import Run
from apps.events.bus import Fact, emit_all
from apps.motivations.models import Motivation
from apps.motivations.services import motivation_create
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.projects.sharing import share_set
from apps.providers.models import Budget, Call, Provider
from apps.providers.services import budget_set, provider_create
from apps.workflows.escalation import bead_escalate
from tests.browser.bare import bare_build, bare_pages
from tests.browser.seed_work import changed, stories, team
from tests.browser.words import evil_build, logs, pairing, talks
from tests.world import World, world_build

TITLES = (
    "Store links in SQLite",
    "Command line: add, list, remove",
    "Expire links",
    "Resolve short codes in under 5 ms",
    "Custom aliases",
    "Keep visitor addresses?",
    "Export links as CSV",
    "Rate limit per address",
    "Count visits per link and day",
)


def main() -> None:
    world = busy()
    told(world)
    evil, empty, begun = evil_build(), organization_ensure(name="empty"), bare_build()
    planned = plan_build()
    names = {
        "ada": user("ada", Role.ADMIN, world.organization),
        "bob": user("bob", Role.USER, world.organization),
        "vic": user("vic", Role.VIEWER, world.organization),
        "new": user("new", Role.ADMIN, empty),
        "eve": user("eve", Role.ADMIN, evil),
        "kit": user("kit", Role.ADMIN, begun),
        "root": root(),
        "pat": user("pat", Role.ADMIN, organization_ensure(name="planned")),
    }
    _, token = invitation_create(
        organization=world.organization, role="user", by=User.objects.get(username="ada"), email=""
    )
    ada = User.objects.get(username="ada")
    User.objects.filter(pk=ada.pk).update(pending_email="ada@example.org")
    ada.refresh_from_db()
    gates = {
        "confirmation": urlsplit(email_link(ada)).path,
        "invitation": f"/invitations/{token}/",
        "bare": bare_pages(begun),
        "planned": [planned],
    }
    print(json.dumps({"sessions": names, **gates, **addresses(world)}))


def user(name: str, role: str, organization: Organization) -> str:
    """A person with a password, and the key of a session in which they are signed in."""
    person = User.objects.filter(username=name).first()
    person = person or User.objects.create_user(username=name, password="a long password")
    membership_set(user=person, organization=organization, role=role)
    client = Client()
    client.force_login(person)
    return str(client.cookies["sessionid"].value)


def root() -> str:
    """A superuser, who operates the installation."""
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="a long password"))
    return str(client.cookies["sessionid"].value)


def busy() -> World:
    """A project in the middle of its work: every state, failed checks, waits, reviews, merges, costs."""
    world = world_build("acme", rows=0)
    team(world)
    epic = bead_create(project=world.project, title="Shorten", type="epic")
    beads: list[Bead] = []
    for number, title in enumerate(TITLES):
        beads.append(
            bead_create(
                project=world.project,
                title=title,
                description=f"What **{title}** is about.\n\n- `one`\n- two",
                acceptance=["It works.", "A test shows it."],
                role=("engineering-manager", "qa-engineer")[number % 2],
                priority=number % 4,
                parent=epic if number < 5 else None,
                blocked_by=beads[-1:] if number in {4, 7} else (),
                requirements=list(world.project.requirements.all()[number % 2 : number % 2 + 1]),
                labels=["api"] if number % 3 == 0 else [],
            )
        )
    world.beads = beads
    stories(world)
    changed(world.project, world.beads[2])
    asks(world)
    costs(world)
    for text in ("Times are kept in UTC.", "The index needs lower-case codes."):
        lesson_create(project=world.project, text=text, actor="ada", is_pinned=text.startswith("Times"))
    ada = User.objects.create_user("ada", password="a long password")
    talks(world, ada)
    hub = Hub(hub_path(world.project.pk))
    pairing(world, ada, base_commit=hub.head("main") or "", head_commit=hub.head("work") or "")
    bead_escalate(bead=world.beads[5], reason="Three attempts ended in the same failing test.")
    logs(world.project, ("Session opened.", "The reply held no action.", "git: conflict in src/store.py"))
    return world


def told(world: World) -> None:
    """Notifications of two days, what was sent of them; people who are invited, grouped, and share."""
    ada = User.objects.get(username="ada")
    membership_set(user=ada, organization=world.organization, role=Role.ADMIN)
    bead = {"bead_id": world.beads[0].key, "title": world.beads[0].title}
    subject = f"bead:{world.beads[0].key}"
    facts: list[tuple[str, dict[str, Any]]] = [
        ("bead.assigned", {**bead, "assigned_to": "ada", "agent": "ada", "priority": 1}),
        ("mention.created", {**bead, "username": "ada", "content": "Is the index what you meant, @ada?"}),
        ("bead.blocked", {**bead, "reason": "Three attempts ended in the same failing test."}),
        ("log.message", {"level": "warning", "message": "The disk is 91 % full."}),
        ("bead.created", {**bead, "priority": 0}),
    ]
    for kind, data in facts:
        with transaction.atomic():
            (event,) = emit_all(
                [Fact(kind, world.organization.pk, world.project.pk, subject=subject, data=data)]
            )
        notifications_create(event=event)
    mine, now = Notification.objects.filter(user=ada).order_by("pk"), timezone.now()
    mine.filter(pk__lte=mine[1].pk).update(created_at=now - timedelta(days=1), status="read")
    for number, (status, error) in enumerate((("sent", ""), ("failed", "hooks.example.org answered 410."))):
        Delivery.objects.create(
            user=ada, channel=("email", "webhook")[number], slot=f"test:{number}", is_test=True,
            status=status, error=error, target=("ada@example.org", "hooks.example.org")[number],
            attempts=1 + 7 * number, response_status=410 if error else None,
            due_at=now, created_at=now, ended_at=now,
        )  # fmt: skip
    invitation_create(organization=world.organization, role="user", by=ada, email="kim@example.org")
    people = group_create(organization=world.organization, name="Designers")
    group_member_add(people=people, user=ada)
    share_set(project=world.project, to=people, role="viewer")
    key_create(user=ada, organization=world.organization, name="CI", scopes=["beads:read"], expires_in=9**6)
    tokens_give(person=ada)
    template = {"title": "Tidy up", "description": "Remove what is dead.", "acceptance": ["Tests pass."]}
    row = motivation_create(
        organization=world.organization, project=world.project, name="Weekly tidying", type="calendar",
        condition="scheduled_interval", parameters={"cron": "0 9 * * 1"}, bead_template=template,
    )  # fmt: skip
    row.triggers.create(cause="clock", key="seed", result="already_open", triggered_at=now)


def asks(world: World) -> None:
    options = [
        {"key": "hash", "label": "Store a salted hash", "detail": "Visits are counted, nobody is known."},
        {"key": "drop", "label": "Store nothing"},
    ]
    decision_request(
        project=world.project,
        bead=world.beads[5],
        question="Keep visitor addresses?",
        options=options,
        recommendation="hash",
        needs_person=True,
        requester="Tester",
        context="QA asks before storing data that may be personal.",
    )
    decision_request(project=world.project, question="Which port does the server use?", requester="Engineer")


def costs(world: World) -> None:
    provider_create(
        name="local", organization_id=world.organization.pk, endpoint="http://localhost:9/v1", model="qwen3"
    )
    Provider.objects.filter(name="local").update(
        status="failed", last_error="Nothing answers at that address."
    )
    budget_set(
        organization_id=world.organization.pk,
        scope=Budget.Scope.PROJECT,
        scope_id=world.project.pk,
        limit_usd=6,
    )
    Budget.objects.filter(scope_id=world.project.pk).update(spent_microusd=3_915_000)
    now, sessions = timezone.now(), list(world.project.sessions.values_list("pk", flat=True)[:5])
    for number in range(30):
        Call.objects.create(
            key=f"seed {number}",
            stem="seed",
            organization_id=world.organization.pk,
            project_id=world.project.pk,
            provider_id=1,
            provider_name="local",
            session_id=sessions[number % len(sessions)],
            model=("qwen3", "claude-sonnet")[number % 2],
            status="failed" if number % 9 == 8 else "settled",
            cached_tokens=3000 if number % 2 else 0,
            reserved_microusd=0,
            cost_microusd=9_000 * number,
            prompt_tokens=5000,
            completion_tokens=400,
            latency_ms=900,
            created_at=now - timedelta(hours=5 * number),
            ended_at=now,
        )


def plan_build() -> str:
    """A project whose plan waits for an approval, in an organization of its own; the address of the plan."""
    organization = organization_ensure(name="planned")
    prd = "# Shorten\n\n## Requirements\n\n- It stores links.\n- It lists them.\n- It counts visits.\n"
    project = project_create(organization=organization, name="Shorten", prd=prd)
    first, second, _ = project.requirements.order_by("pk")
    later: dict[str, Any] = {"project": project, "status": "deferred"}
    store = bead_create(title=TITLES[0], requirements=[first], **later)
    bead_create(title=TITLES[1], blocked_by=[store], requirements=[second], **later)
    bead_create(title="Something nobody asked for", blocked_by=[store], **later)
    options = [{"key": "approve", "label": "Approve"}, {"key": "change", "label": "Send back"}]
    asked = decision_request(
        project=project, kind="plan", question="Approve the plan?", options=options, needs_person=True
    )
    return f"/decisions/{asked.pk}/"


def addresses(world: World) -> dict[str, list[str]]:
    evil = Project.objects.get(name__startswith="evil")
    attacked = Session.objects.filter(project=evil).latest("pk")
    return {
        "busy": pages(
            world.project, world.beads[1], Session.objects.filter(bead=world.beads[3]).latest("pk")
        ),
        "changed": [f"/beads/{world.beads[2].key}/changes/"],
        "evil": pages(evil, evil.beads.latest("pk"), attacked),
    }


def pages(project: Project, bead: Bead, session: Session) -> list[str]:
    """Every page there is, as far as it can be opened by somebody who is signed in."""
    run, decision = Run.objects.filter(project_id=project.pk).latest("pk"), project.decisions.earliest("pk")
    lesson = Lesson.objects.filter(project=project).latest("pk")
    talk = project.sessions.filter(kind=Session.Kind.PAIR).latest("pk")
    own = Persona.objects.exclude(organization=None)
    persona = own.latest("pk") if project.name.startswith("evil") else own.earliest("pk")
    ours, its = f"/projects/{project.pk}/", f"/beads/{bead.key}/"
    return [
        "/",
        "/decisions/",
        "/activity/",
        "/agents/",
        "/runs/",
        "/cost/",
        "/notifications/",
        "/people/",
        "/models/",
        "/models/new/",
        "/workflows/",
        "/workflows/story/",
        "/motivations/",
        "/projects/new/",
        "/design/",
        ours,
        f"{ours}board/",
        f"{ours}board/?lanes=epic",
        f"{ours}beads/",
        f"{ours}graph/",
        f"{ours}requirements/",
        f"{ours}settings/",
        its,
        f"{its}changes/",
        f"{its}evidence/",
        f"/sessions/{session.pk}/",
        f"/runs/{run.pk}/",
        f"/decisions/{decision.pk}/",
        "/overview/",
        "/workflows/story/edit/",
        f"{ours}lessons/?edit={lesson.pk}",
        "/pair/",
        f"/pair/?project={project.pk}",
        f"/pair/{talk.pk}/?file=src/store.py",
        "/conversations/",
        "/logs/",
        "/personas/",
        f"/personas/{persona.pk}/?version=2",
        f"{ours}team/",
        f"{ours}team/?edit=qa-engineer",
        "/notifications/told/",
        "/people/groups/",
        "/people/keys/",
        "/account/",
        "/motivations/new/",
        "/motivations/new/?condition=bead_completed",
        f"/motivations/{Motivation.objects.filter(project=project).latest('pk').pk}/",
        "/account/password/",
    ]
