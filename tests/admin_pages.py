"""What tests of the admin share: a world with a row of every model, addresses, counted requests."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from guardian.shortcuts import assign_perm

from apps.accounts.invitation_services import invitation_create
from apps.accounts.key_services import key_create
from apps.accounts.login_services import tokens_give
from apps.accounts.models import User
from apps.accounts.services import group_create
from apps.activity.models import Delivery, LogEntry, Notification, NotificationPreferences
from apps.agents.lock_models import FileLock
from apps.agents.memory_models import Compaction, Output
from apps.agents.models import Claim, MergePolicy, OrgChart, Persona, Position, PullRequest, Trouble
from apps.beads.models import Bead, Comment
from apps.commands.models import CommandRule, CommandRun
from apps.core.models import IdempotentRequest
from apps.decisions.models import ChatGateway
from apps.engine.models import Run
from apps.motivations.firing import motivation_trigger
from apps.motivations.services import motivation_create
from apps.pairing.models import Exchange
from apps.projects.models import Project, ProjectComment
from apps.providers.models import Budget, Call, CallTotal, Preference, Provider
from apps.workflows.definition_services import definition_create
from apps.workflows.execution_services import graphs_pin
from apps.workflows.graph_library import built_in
from apps.workflows.models import WorkflowExecution, WorkflowHistory
from tests.workflows.test_graph_reading import changed
from tests.world import World, bead_add, world_build

SECRET = "zqsecret-0123456789"  # planted wherever something secret is kept; no page may show it


@pytest.fixture
def world() -> World:
    return world_build("acme")


@pytest.fixture
def superuser() -> User:
    return User.objects.create_superuser(username="root", email="")


def page(model: type[Model], kind: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


def get_counted(client: Client, address: str) -> tuple[Any, int]:
    with CaptureQueriesContext(connection) as queries:
        response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response, len(queries)


def shown_rows(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


def full_build(name: str = "acme") -> World:
    """An organization with rows of every model there is."""
    world = world_build(name, rows=1)
    Trouble.objects.filter(project=world.project).update(decision_id=world.decisions[0].pk)
    project = world.project
    MergePolicy.objects.create(
        project=project, remote="", credential_sealed=SECRET, webhook_secret_sealed=SECRET, username="ci"
    )
    ChatGateway.objects.create(project=project, secret_sealed=SECRET)
    chart = OrgChart.objects.create(project=project, name="Team")
    NotificationPreferences.objects.create(
        user=world.staff,
        webhook_url=f"https://hooks.example.org/{SECRET}",
        webhook_secret_sealed=SECRET,
        quiet_hours_start=time(22),
        quiet_hours_end=time(7),
    )
    full_grow(world, 0, chart=chart)
    return world


def full_grow(world: World, number: int, *, chart: OrgChart) -> None:
    """One more row of each model that may have several."""
    bead = world.beads[0] if number == 0 else bead_add(world)
    if number == 0:
        bead_add(world)  # waits for the first, which makes a dependency
    of_people(world, number)
    of_agents(world, bead, number, chart)
    of_work(world, bead, number)
    told(world, number)


def of_people(world: World, number: int) -> None:
    organization, staff, project = world.organization, world.staff, world.project
    key_create(user=staff, organization=organization, name="links", scopes=["*:read"])
    invitation_create(organization=organization, role="user", by=staff, email="links@example.org")
    tokens_give(person=staff, organization=organization)
    people = group_create(organization=organization, name=f"friends {number}")
    friend = User.objects.create_user(f"{organization.slug}-friend-{number}", password=SECRET)
    share = Permission.objects.get(codename="share_user")
    project.user_shares.create(user=friend, permission=share)
    assign_perm("projects.share_viewer", people.group, project)
    ProjectComment.objects.create(project=project, author=staff, author_name=str(staff), comment="Go.")
    now = timezone.now()
    IdempotentRequest.objects.create(
        user_id=staff.pk, key=f"once {number}", fingerprint="f" * 64, status=201, body=SECRET,
        locked_until=now, expires_at=now,
    )  # fmt: skip


def of_agents(world: World, bead: Bead, number: int, chart: OrgChart) -> None:
    project, session = world.project, world.sessions[-1]
    claim = Claim.objects.order_by("-id")[0]
    persona = Persona.objects.create(
        organization=world.organization, name=f"own/linker-{number}", role="linker", body="Link."
    )
    persona.versions.create(number=1, text="Link.", author="ann")
    Position.objects.create(
        chart=chart,
        role_name=f"linker-{number}",
        persona_path=persona.name,
        reports_to=chart.positions.first(),
    )
    PullRequest.objects.create(
        project=project, bead=bead, claim=claim, branch="bead/1", target="main", base="a" * 40,
        commit=claim.commit, tree=claim.tree, decision_id=world.decisions[0].pk,
    )  # fmt: skip
    FileLock.objects.create(
        project=project, file_path=f"links-{number}.py", agent=world.agent, bead=bead, holder="agent:1",
        expires_at=timezone.now(),
    )  # fmt: skip
    Compaction.objects.create(
        session=session, up_to=3, after_turn=4, summary="It looked.", text="So far.", by_model=True,
        tokens_before=900, tokens_after=90,
    )  # fmt: skip
    Output.objects.create(session=session, turn=1, number=1, text="All of it.")
    exchange = Exchange.objects.create(
        organization=world.organization, project=project, session=session, person=world.staff, text="Why?",
        status=Exchange.Status.DONE,
    )  # fmt: skip
    exchange.pieces.create(seq=1, kind="chunk", data={"text": "So."})


def of_work(world: World, bead: Bead, number: int) -> None:
    organization, project, staff = world.organization, world.project, world.staff
    Comment.objects.create(bead=bead, author=staff, author_name=str(staff), content="Look here.")
    CommandRule.objects.create(project=project, pattern=f"links {number}*", verdict="allow")
    CommandRun.objects.create(
        project=project, bead_id=bead.pk, command="ls", requester="ann", verdict="allow"
    )
    provider = Provider.objects.create(
        organization=organization, name=f"links-{number}", kind="openai", endpoint="http://127.0.0.1:1/v1",
        model="m", sealed_key=SECRET,
    )  # fmt: skip
    Budget.objects.create(organization=organization, scope="bead", scope_id=1000 * organization.pk + number)
    Call.objects.create(
        key=f"{organization.slug}:{number}", organization_id=organization.pk, project_id=project.pk,
        bead_id=bead.pk, session_id=world.sessions[0].pk, user_id=staff.pk, purpose="work",
        provider_id=provider.pk, provider_name=provider.name, model="m",
        reserved_microusd=0, created_at=timezone.now(), status="reserved",
    )  # fmt: skip
    CallTotal.objects.create(
        organization_id=organization.pk, provider_name=provider.name, model="m", status="settled"
    )
    Preference.objects.create(
        organization=organization, project_id=project.pk, role="qa-engineer", purpose=f"links {number}",
        provider=provider, model="m",
    )  # fmt: skip
    motivation = motivation_create(
        organization=organization, project=project, name=f"Look at links {number}", type="calendar",
        condition="scheduled_interval", parameters={"minutes": 60},
    )  # fmt: skip
    motivation_trigger(motivation=motivation, actor="ann")
    walk(world, project, bead)
    definition_create(organization=organization, given=changed(name=f"links-{number}"))


def walk(world: World, project: Project, bead: Bead) -> None:
    story, now = built_in()["story"], timezone.now()
    graphs_pin(graphs=[story])
    execution = WorkflowExecution.objects.create(
        run_id=Run.objects.filter(bead_id=bead.pk)[0].pk, project=project, bead=bead, name="story",
        content_id=story.sha256, started_at=now, last_node_at=now, current_node="verify",
    )  # fmt: skip
    WorkflowHistory.objects.create(
        execution=execution, number=1, node_key="build", agent=world.agent, condition="success"
    )


def told(world: World, number: int) -> None:
    staff, now = world.staff, timezone.now()
    about = {"organization_id": world.organization.pk, "project_id": world.project.pk}
    notification = Notification.objects.create(
        user=staff, event_id=number + 1, event_type="decision.requested", rule="decision", title="Decide.",
        created_at=now, **about,
    )  # fmt: skip
    delivery = Delivery.objects.create(
        user=staff, channel="webhook", slot=f"now {number}", due_at=now, created_at=now, status="failed"
    )
    delivery.notifications.add(notification)
    LogEntry.objects.create(timestamp=now, level="warn", source="links", message="Odd.", **about)
