"""Every shipped workflow from end to end: the happy path, rejection, failure, timeout and escalation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.agents.models import Session
from apps.beads.models import Bead
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine import runner
from apps.events.models import Event
from apps.projects.models import Project
from apps.workflows.models import WorkflowExecution
from tests.workflows.studio import Answer, Studio, done, write
from tests.workflows.walks import Cast, Clock, Messages, path, played, quick

Open = Callable[..., Studio]
TITLES = "Happy Rejected Failing Late"  # the last sets the clock forward for all


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def paths(beads: dict[str, Bead]) -> dict[str, str]:
    return {title: path(bead) for title, bead in beads.items()}


def question(bead: Bead) -> Decision:
    return Decision.objects.open().get(bead=bead, needs_person=True)


def rest(build: str = "build") -> str:
    return f"{build}:success verify:success review:approved merge:success completed"


def test_story(open_studio: Open, clock: Clock) -> None:
    beads = played(open_studio, Cast(clock), TITLES, type="story")
    assert paths(beads) == {
        "Happy": rest(),
        "Rejected": f"build:success verify:success review:rejected {rest()}",
        "Failing": f"build:success verify:failure {rest()}",
        "Late": f"build:timeout {rest()}",
    }
    assert all(bead.status == Bead.Status.CLOSED and bead.merged_commit for bead in beads.values())
    late = Session.objects.filter(bead=beads["Late"], kind="work").order_by("id")
    assert [session.reason for session in late] == ["timeout", "merged"]
    cycles = dict(WorkflowExecution.objects.values_list("bead__title", "cycle_count"))
    assert cycles == {"Happy": 0, "Rejected": 1, "Failing": 1, "Late": 1}


def test_a_story_that_cannot_go_on_is_escalated_to_a_person_and_goes_on_or_is_dropped(
    open_studio: Open,
) -> None:
    cast = Cast()
    (bead,) = played(open_studio, cast, "Stuck", type="story").values()
    execution = WorkflowExecution.objects.get(bead=bead)
    assert (bead.status, execution.status) == (Bead.Status.BLOCKED, "escalated")
    assert execution.escalated_at is not None
    asked = question(bead)
    assert "no action" in asked.context, "the person sees what was tried"

    cast.stubborn = False
    decision_decide(decision=asked, choice="retry", decider="Ada")
    runner.drain()
    assert path(bead) == f"build:failure build:failure {rest()}"
    told = Event.objects.filter(kind="workflow.escalated").get()
    assert (told.data["node"], told.data["to"], told.data["workflow"]) == ("build", "a person", "story")


def test_feature(open_studio: Open, clock: Clock) -> None:
    cast = Cast(clock)
    beads = played(open_studio, cast, f"Stuck {TITLES}", type="feature")
    told = paths(beads)
    assert told["Happy"] == rest()
    assert told["Rejected"] == f"build:success verify:success review:rejected {rest()}"
    assert told["Failing"] == f"build:success verify:failure {rest()}"
    assert told["Late"] == f"build:timeout {rest()}"
    assert told["Stuck"].startswith("build:failure build:failure second-look:failure")
    # Both its own builder and the CTO failed: only then a person is asked.
    assert beads["Stuck"].status == Bead.Status.BLOCKED
    assert "This is a feature" in cast.told("work", "Happy")[0]
    assert "Look at this feature as a user would" in cast.told("review", "Happy")[0]
    assert Event.objects.filter(kind="workflow.escalated", data__to="second-look").count() == 1


def test_a_feature_waits_for_its_acceptance(open_studio: Open, clock: Clock) -> None:
    """Sent back once, then nobody decides in time, then it is accepted."""
    studio = quick(open_studio(Cast(clock)))
    Project.objects.filter(pk=studio.project.pk).update(approval=Project.Approval.ASK)
    bead = studio.bead("Happy", type="feature", labels=["needs acceptance"])
    studio.run()
    assert studio.refreshed(bead).stage == Bead.Stage.ASKING
    assert "Happy claims" not in question(bead).context
    assert "Verified by the platform" in question(bead).context
    decision_decide(decision=question(bead), choice="change", decider="Ada", rationale="Name the unit.")
    studio.run()
    work = Session.objects.get(bead=bead, kind="work")
    assert "change this and call done again: Name the unit." in str(studio.turns(work)[0].results)
    clock.forward(days=8)
    studio.run()
    decision_decide(decision=question(bead), choice="approve", decider="Ada")
    studio.run()

    again = "build:success verify:success review:approved"
    assert path(bead) == (
        f"{again} acceptance:rejected {again} acceptance:timeout acceptance:approved merge:success completed"
    )
    assert Decision.objects.filter(bead=bead, status=Decision.Status.EXPIRED).count() == 1


def test_who_decides_about_a_feature_follows_from_the_project(open_studio: Open) -> None:
    beads = played(open_studio, Cast(), "Happy", type="feature", labels=["acceptance"])
    assert path(beads["Happy"]).endswith("acceptance:approved merge:success completed")
    assert Decision.objects.get(bead=beads["Happy"]).decider == "Decision maker"


def test_bug(open_studio: Open, clock: Clock) -> None:
    cast = Cast(clock)
    beads = played(open_studio, cast, TITLES, type="bug")
    fixed = rest("fix")
    assert paths(beads) == {
        "Happy": f"reproduce:success {fixed}",
        "Rejected": f"reproduce:success fix:success verify:success review:rejected {fixed}",
        "Failing": f"reproduce:success fix:success verify:failure {fixed}",
        "Late": f"reproduce:timeout reproduce:success {fixed}",
    }
    happy = Session.objects.filter(bead=beads["Happy"], kind="work").order_by("id")
    roles = [(session.agent.role, session.reason) for session in happy]
    assert roles == [("qa-engineer", "handed_on"), ("engineering-manager", "merged")]
    reproducing, fixing = cast.told("work", "Happy")
    assert "Do not repair anything" in reproducing
    assert "The test that shows the bug is in your worktree already" in fixing
    assert happy[1].base_commit == happy[0].base_commit, "the review shows what both did"


def test_what_one_agent_made_is_in_the_worktree_of_the_next_and_in_the_merge(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            assert "+shown\n" in str(messages[1]["content"])
            assert "+repaired\n" in str(messages[1]["content"])
            return [("submit_review", {"verdict": "approve", "comments": "Fine."})]
        if "Do not repair anything" in str(messages[1]["content"]):
            return [write("shown.txt", "shown\n"), done("Seen.")]
        if len(messages) == 2:
            return [("read_file", {"path": "shown.txt"})]
        assert "shown" in str(messages[-1]["content"])
        return [write("fixed.txt", "repaired\n"), done("Fixed.")]

    studio = quick(open_studio(model))
    bead = studio.bead("Wrong sum", type="bug")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert (studio.main_file("shown.txt"), studio.main_file("fixed.txt")) == ("shown\n", "repaired\n")


def test_a_bug_nobody_can_repair_goes_to_the_cto_then_to_a_person(open_studio: Open) -> None:
    cast = Cast()

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "work" and "Do not repair" in str(messages[1]["content"]):
            cast.stubborn = True
            return [write("t.txt", "t\n"), done("Seen.")]
        if kind == "work" and "Others could not finish this repair" in str(messages[1]["content"]):
            cast.stubborn = False
        return cast(kind, title, messages)

    studio = quick(open_studio(model))
    bead = studio.bead("Stuck", type="bug")
    studio.run()
    assert path(bead) == (
        "reproduce:success fix:failure fix:failure second-look:success verify:success review:approved "
        "merge:success completed"
    )
    assert Session.objects.get(bead=bead, reason="merged").agent.role == "cto"
    assert WorkflowExecution.objects.get().escalated_at is not None


def test_ui(open_studio: Open, clock: Clock) -> None:
    cast = Cast(clock)
    beads = played(open_studio, cast, TITLES, type="feature", labels=["UI"])
    end = "build:success verify:success design-review:approved review:approved merge:success completed"
    assert paths(beads) == {
        "Happy": end,
        "Rejected": f"build:success verify:success design-review:rejected {end}",
        "Failing": f"build:success verify:failure {end}",
        "Late": f"build:timeout {end}",
    }
    sessions = Session.objects.filter(bead=beads["Happy"]).order_by("id")
    assert [session.agent.role for session in sessions] == [
        "web-designer-engineer", "web-designer", "code-reviewer",
    ]  # fmt: skip
    designing, reading = cast.told("review", "Happy")
    assert "Judge only what a user meets" in designing
    assert "A designer approved" in reading


def test_a_ui_bead_that_is_rejected_again_and_again_becomes_a_persons_question(open_studio: Open) -> None:
    number = iter(range(1000))

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return [("submit_review", {"verdict": "reject", "comments": f"No. {next(number)}"})]
        return [write("a.txt", f"{next(number)}\n"), done("There.")]

    studio = quick(open_studio(model))
    bead = studio.bead("Disputed", labels=["ui"])
    studio.run()
    bead = studio.refreshed(bead)
    assert bead.status == Bead.Status.BLOCKED
    assert bead.blocked_reason == "4 reviews asked for changes."
    decision_decide(decision=question(bead), choice="drop", decider="Ada")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert WorkflowExecution.objects.get().status == "failed"
    assert not Session.objects.filter(status="open").exists()


def test_self_improvement_merges_nothing_before_a_person_said_yes(open_studio: Open, clock: Clock) -> None:
    cast = Cast(clock)
    studio = quick(open_studio(cast, max_sessions=8))
    beads = {
        title: studio.bead(title, labels=["self-improvement"])
        for title in ("Unwanted", "Forgotten", *TITLES.split())
    }
    before = studio.hub.head("main")
    studio.run()
    assert studio.hub.head("main") == before
    assert all(question(bead).needs_person for bead in beads.values())
    for title in ("Happy", "Failing", "Late"):
        decision_decide(decision=question(beads[title]), choice="approve", decider="Ada")
    decision_decide(
        decision=question(beads["Rejected"]), choice="change", decider="Ada", rationale="Smaller."
    )
    decision_decide(decision=question(beads["Unwanted"]), choice="reject", decider="Ada", rationale="No.")
    studio.run()
    decision_decide(decision=question(beads["Rejected"]), choice="approve", decider="Ada")
    studio.run()
    clock.forward(days=15)
    studio.run()

    proven = "improve:success verify:success review:approved"
    end = f"{proven} gate:approved merge:success completed"
    assert paths(beads) == {
        "Happy": end,
        "Rejected": f"improve:success verify:success review:rejected {proven} gate:rejected {end}",
        "Failing": f"improve:success verify:failure {end}",
        "Late": f"improve:timeout {end}",
        "Unwanted": f"{proven} failed",
        "Forgotten": f"{proven} gate:timeout failed",
    }
    forgotten = studio.refreshed(beads["Forgotten"])
    assert (forgotten.status, forgotten.merged_commit) == (Bead.Status.CLOSED, "")
    assert forgotten.close_reason == "Given up at gate (timeout): Nobody decided in time."
    assert not Session.objects.filter(status="open").exists()
    assert Session.objects.filter(kind="work").first().agent.role == "loom"  # type: ignore[union-attr]
