"""What people, agents and processes say in the database that browsers visit; and texts that are attacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from apps.accounts.models import Organization, User
from apps.accounts.services import membership_set, organization_ensure
from apps.activity.models import LogEntry
from apps.agents.hub import Hub
from apps.agents.lesson_models import Lesson
from apps.agents.lessons import lesson_create
from apps.agents.models import Agent, Claim, Evidence, Persona, Review, Session, Turn
from apps.agents.persona_services import persona_keep
from apps.agents.places import hub_path
from apps.agents.skills import skill_mend
from apps.beads.models import Bead, Comment
from apps.engine.models import Run
from apps.motivations.models import Motivation
from apps.pairing.models import Exchange, Piece
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers.models import Provider
from apps.providers.services import provider_create
from tests.world import World, bead_add

EVIL = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">"\'{{7*7}}[x](javascript:hacked)'


def talks(world: World, person: User, text: str = "") -> None:
    """What a person asked of Loom: answered, failed and on its way."""
    said = (
        ("What is finished this week?", "done", "Two stories are **merged**:\n\n- al-2\n- al-3", ""),
        ("What does a story cost us?", "failed", "", "No model answers: the key of local is refused."),
        ("What holds us up?", "answering", "", ""),
    )
    for question, status, answer, error in said:
        asked = Exchange.objects.create(
            organization=world.organization,
            project=world.project,
            person=person,
            text=text or question,
            request={"purpose": "repl"},
            status=status,
            answer=text or answer,
            error=text or error,
        )
        Piece.objects.create(exchange=asked, seq=1, kind="chunk", data={"text": text or "al-6 waits for"})


def pairing(world: World, person: User, text: str = "", **commits: str) -> None:
    """A person and an agent, who changed a file; then the budget was used up."""
    session = Session.objects.create(
        project=world.project,
        bead=world.beads[2] if len(world.beads) > 2 else world.project.beads.latest("pk"),
        agent=world.agent,
        kind=Session.Kind.PAIR,
        origin=f"talk:{world.project.pk}",
        turn_count=1,
        cost_microusd=41_000,
        **commits,
    )
    lines = f"About `src/store.py`, line 1:\n\n```\n{text or 'def resolve(code):'}\n```"
    for question, status, error, code in (
        (f"Let links expire.\n\n{lines}", "done", "", ""),
        ("And a test?", "failed", "The project's budget of $3.00 is spent.", "budget_exceeded"),
    ):
        asked = Exchange.objects.create(
            organization=world.organization, project=world.project, session=session, person=person,
            text=question, status=status, error=text or error, error_code=code, model=text or "qwen3",
        )  # fmt: skip
        if status == "done":
            Turn.objects.create(
                session=session,
                number=1,
                reply=json.dumps({"content": text or "I add `expire` beside **resolve**."}),
                notes=text or "I add `expire` beside **resolve**.",
                actions=[{"id": "1", "name": "write_file", "arguments": {"path": text or "src/store.py"}}],
                results=[{"id": "1", "name": "write_file", "text": text or "Written."}],
                outcome=[{"name": "write_file", "ok": True, "ms": 3}],
                model="qwen3",
                created_at=asked.created_at,
            )


def logs(project: Project, messages: Sequence[str]) -> None:
    now, agent, bead = timezone.now(), project.agents.earliest("pk"), project.beads.latest("pk")
    LogEntry.objects.bulk_create(
        LogEntry(
            timestamp=now - timedelta(seconds=5 * number),
            level=LogEntry.Level.values[1 + number % 3],
            source=("agents.loop", "engine.worker", "providers.gateway")[number % 3],
            message=messages[number % len(messages)],
            metadata={"turn": messages[0]} if number % 4 == 0 else {},
            organization_id=project.organization_id,
            project_id=project.pk,
            agent_id=agent.pk,
            bead_id=bead.pk,
        )
        for number in range(40)
    )


def evil_build() -> Organization:
    """An organization with a project whose every text is an attack."""
    organization = organization_ensure(name="evil")
    eve = User.objects.create_user("eve", password="a long password")
    project = project_create(
        organization=organization, name=f"evil {EVIL}"[:190], prd=f"# {EVIL}\n\n- It must {EVIL}\n"
    )
    persona = Persona.objects.order_by("pk").first()
    assert persona is not None
    agent = Agent.objects.create(project=project, persona=persona, name=f"agent {EVIL}"[:110], role=EVIL[:50])
    texts = {"description": EVIL, "license": EVIL, "compatibility": EVIL}
    skill = skill_mend(texts, {"role": "evil", "mission": EVIL, "specialties": EVIL}, EVIL, name="evil")
    persona_keep(organization=organization, name="own/evil", skill=skill, author=EVIL, note=EVIL)
    world = World(organization, User(), project, agent)
    bead = bead_add(world)
    session = world.sessions[0]
    Project.objects.filter(pk=project.pk).update(out_dir=EVIL)
    Bead.objects.filter(pk=bead.pk).update(
        title=EVIL,
        description=EVIL,
        acceptance=[EVIL],
        labels=[EVIL],
        blocked_reason=EVIL,
        role=EVIL[:50],
        close_reason=EVIL,
        status="blocked",
        assigned_to=agent.name,
    )
    Agent.objects.filter(pk=agent.pk).update(status="working", current_bead=bead, current_action=EVIL)
    Session.objects.filter(pk=session.pk).update(reason_detail=EVIL)
    Turn.objects.filter(session=session).update(
        reply=json.dumps({"content": EVIL, "reasoning_content": EVIL}),
        notes=EVIL,
        error=EVIL,
        model=EVIL,
        actions=[{"id": "1", "name": EVIL, "arguments": {"path": EVIL, "old_text": EVIL, "new_text": EVIL}}],
        results=[{"id": "1", "name": EVIL, "text": EVIL}, {"say": EVIL}],
    )
    Claim.objects.filter(bead=bead).update(summary=EVIL)
    Evidence.objects.filter(bead=bead).update(
        check_name=EVIL[:80],
        command=EVIL,
        passed=False,
        sandbox=EVIL[:40],
        counts={"first_error": EVIL},
        flags=[{"path": EVIL, "what": EVIL}],
    )
    Review.objects.filter(bead=bead).update(comments=EVIL, verdict="reject")
    Run.objects.filter(bead_id=bead.pk).update(error=EVIL, waits_for=EVIL[:100])
    attacker = User.objects.create_user(
        f"<img src=x onerror=hacked()>{'x' * 120}", password="a long password"
    )
    membership_set(user=attacker, organization=organization, role="viewer")
    Comment.objects.create(bead=bead, author=attacker, author_name=EVIL[:150], content=EVIL)
    Motivation.objects.create(
        organization=organization,
        project=project,
        name=EVIL[:160],
        description=EVIL,
        type="idle",
        condition="system_idle",
        create_bead=False,
    )
    evil_change(project, bead)
    talks(world, eve, EVIL)
    pairing(world, eve, EVIL)
    lesson_create(project=project, text=EVIL, actor="eve")
    Lesson.objects.filter(project=project).update(text=EVIL)
    logs(project, [EVIL])
    LogEntry.objects.filter(project_id=project.pk).update(source=EVIL[:80])
    options = [{"key": EVIL, "label": EVIL, "detail": EVIL}]
    bead.decisions.update(
        question=EVIL, context=EVIL, requester=EVIL, rationale=EVIL, options=options, recommendation=EVIL[:40]
    )
    bead.decisions.get().votes.update(voter=EVIL, choice=EVIL, rationale=EVIL)
    provider_create(
        name=f"evil {EVIL}"[:70], organization_id=organization.pk, endpoint="http://localhost:9/v1", model="x"
    )
    Provider.objects.filter(name__startswith="evil").update(model=EVIL, last_error=EVIL, status="failed")
    return organization


def evil_change(project: Project, bead: Bead) -> None:
    """A claim that changes a file whose name and text are attacks."""
    hub = Hub(hub_path(project.pk))
    hub.create("main")
    name = EVIL.replace("/", "|")[:200]
    base = hub.commit_files("main", {name: b"before\n", "README.md": EVIL.encode()}, EVIL)
    claimed = hub.commit_files("work", {name: EVIL.encode(), "README.md": b"after\n"}, EVIL)
    Session.objects.filter(bead=bead).update(base_commit=base)
    Claim.objects.filter(bead=bead).update(commit=claimed)
