"""The people of the busy project and what they did: stories from the claim to the merge, turn by turn."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from django.utils import timezone

from apps.agents.hub import Hub
from apps.agents.models import Agent, Claim, Evidence, MergeRequest, Persona, Review, Session, Turn
from apps.agents.org_chart import position_update
from apps.agents.persona_services import persona_edit
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_claim, bead_close, bead_stage
from apps.engine.models import Run
from apps.projects.models import Project
from tests.world import World, run_add


def team(world: World) -> None:
    for name, role in (
        ("Engineer 2", "engineering-manager"),
        ("Tester", "qa-engineer"),
        ("Reviewer", "code-reviewer"),
    ):
        persona, _ = Persona.objects.get_or_create(
            name=f"default/{role}", defaults={"role": role, "body": "You do it.", "description": role}
        )
        Agent.objects.create(project=world.project, persona=persona, name=name, role=role)
        persona_edit(
            persona=persona,
            organization=world.organization,
            changes={
                "description": f"Works as {role}.",
                "body": f"You are the {role}.\n\n- Read first.\n- Prove it.",
            },
            author="ada",
            note="Shorter.",
        )
    position_update(project=world.project, role_name="engineering-manager", max_instances=2)


def stories(world: World) -> None:
    """Two merged, one with a failed check on the way, one that is proven, one at work, one blocked."""
    now = timezone.now()
    for number in range(3):
        story(world, number, begin=now - timedelta(minutes=30 - 7 * number), is_merged=number < 2)
    bead = world.beads[3]
    bead_claim(bead=bead, agent="Engineer")
    session = session_make(world, bead, "Engineer", begin=now - timedelta(minutes=6), turns=5, is_open=True)
    Agent.objects.filter(pk=session.agent_id).update(
        status="working",
        current_bead=bead,
        current_action="run_tests tests/test_resolve.py",
        last_active_at=now,
    )
    run_add(world, bead, status=Run.Status.RUNNING, steps=6)
    stuck = world.beads[5]
    bead_claim(bead=stuck, agent="Tester")
    bead_block(bead=stuck, reason="Three attempts ended in the same failing test.")
    failed = run_add(world, stuck, status=Run.Status.FAILED)
    Run.objects.filter(pk=failed.pk).update(error="The budget of $0.50 is used up.", ended_at=now)


def story(world: World, number: int, *, begin: datetime, is_merged: bool) -> None:
    bead, start = world.beads[number], begin
    name = ("Engineer", "Engineer 2", "Engineer")[number]
    bead_claim(bead=bead, agent=name)
    session = session_make(world, bead, name, begin=start, turns=3, is_open=not is_merged)
    claim = Claim.objects.create(
        session=session,
        bead=bead,
        number=1,
        commit=f"{number}a41f09c" * 5,
        tree="d" * 40,
        summary="It works.",
    )
    for at, passed in ((2, number != 1), (4, True)):
        row = Evidence.objects.create(
            bead=bead,
            claim=claim,
            kind="claim" if at == 2 else "merge",
            commit=claim.commit,
            tree=claim.tree,
            check_name="unit tests",
            command="python -m unittest",
            exit_code=0 if passed else 1,
            passed=passed,
            output="OK",
            sandbox="bwrap",
            duration_ms=1840,
            counts={
                "passed_count": 38,
                "failed_count": 0 if passed else 2,
                "first_error": "" if passed else "AssertionError: 7.2 not less than 5",
            },
        )
        Evidence.objects.filter(pk=row.pk).update(created_at=start + timedelta(minutes=at))
    review = session_make(
        world,
        bead,
        "Reviewer",
        kind="review",
        begin=start + timedelta(minutes=4),
        turns=1,
        is_open=False,
    )
    made = Review.objects.create(bead=bead, claim=claim, session=review, verdict="approve", comments="Good.")
    Review.objects.filter(pk=made.pk).update(created_at=start + timedelta(minutes=5))
    Claim.objects.filter(pk=claim.pk).update(created_at=start + timedelta(minutes=3))
    if is_merged:
        request = MergeRequest.objects.create(
            project=world.project, bead=bead, claim=claim, run_id=1, status="merged", commit=claim.commit
        )
        MergeRequest.objects.filter(pk=request.pk).update(
            created_at=start + timedelta(minutes=5),
            updated_at=start + timedelta(minutes=6),
        )
        bead_close(bead=bead, reason="Proven, reviewed and merged.", commit=claim.commit, actor="merge queue")
    else:
        bead_stage(bead=bead, stage=Bead.Stage.VERIFYING)


def session_make(
    world: World, bead: Bead, name: str, *, begin: datetime, turns: int, is_open: bool, kind: str = "work"
) -> Session:
    agent = Agent.objects.get(project=world.project, name=name)
    start = begin
    session = Session.objects.create(
        project=world.project,
        bead=bead,
        agent=agent,
        kind=kind,
        origin=f"seed:{Session.objects.count()}",
        status="open" if is_open else "ended",
        reason="" if is_open else "merged",
        turn_count=turns,
        prompt_tokens=4000 * turns,
        completion_tokens=300 * turns,
        cost_microusd=30_000 * turns,
        ended_at=None if is_open else start + timedelta(minutes=6),
    )
    Session.objects.filter(pk=session.pk).update(created_at=start)
    for number in range(1, turns + 1):
        at = start + timedelta(seconds=40 * number)
        edit = {"path": "src/store.py", "old_text": "lower(code) = ?", "new_text": "folded = ?"}
        Turn.objects.create(
            session=session,
            number=number,
            model="claude-sonnet",
            created_at=at,
            acted_at=at,
            reply=json.dumps(
                {"role": "assistant", "content": "I read the store.", "reasoning_content": "Hm."}
            ),
            notes="The index is not used because the lookup lower-cases the column.",
            actions=[
                {"id": "1", "name": "edit_file", "arguments": edit},
                {"id": "2", "name": "run_tests", "arguments": {"path": "tests"}},
            ],
            outcome=[
                {"name": "edit_file", "ok": True, "data": {}, "ms": 12},
                {"name": "run_tests", "ok": number % 2 == 0, "data": {}, "ms": 2300},
            ],
            results=[
                {"id": "1", "name": "edit_file", "text": "Edited."},
                {"id": "2", "name": "run_tests", "text": "12 passed"},
            ],
            prompt_tokens=4000,
            completion_tokens=300,
            cost_microusd=30_000,
            latency_ms=3100,
        )
    return session


def changed(project: Project, bead: Bead) -> None:
    """A repository in which the bead's claim changes a file."""
    hub = Hub(hub_path(project.pk))
    hub.create("main")
    readme = b"# Shorten\n"
    before = b"def resolve(code):\n    return links[code.lower()]\n"
    base = hub.commit_files("main", {"src/store.py": before, "README.md": readme}, "Begin")
    hub.git.run("update-ref", "refs/heads/work", base)
    after = before + b"\n\ndef expire(link, now):\n    return link.until < now\n"
    claimed = hub.commit_files("work", {"src/store.py": after, "README.md": readme}, "Expire links")
    Session.objects.filter(bead=bead).update(base_commit=base)
    Claim.objects.filter(bead=bead).update(commit=claimed)
