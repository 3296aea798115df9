"""What the interpreter holds to, shown with workflows made for it: limits, waits, actions, pins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.hub import Hub
from apps.agents.models import Claim, MergeRequest, Session
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine.models import Run, Step
from apps.engine.services import run_cancel, run_signal
from apps.workflows.definition_services import definition_create, definition_delete, definition_update
from apps.workflows.models import WorkflowDefinition, WorkflowExecution
from apps.workflows.prd_flow import weave_start
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write
from tests.workflows.test_graph_reading import changed, edge
from tests.workflows.walks import Cast, Clock, Messages, path, quick

Open = Callable[..., Studio]
FOR_TASKS = [{"types": ["task"]}]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def with_workflow(studio: Studio, **changes: Any) -> Studio:
    definition_create(organization=studio.organization, given=changed(match=FOR_TASKS, **changes))
    return quick(studio)


def test_a_timer_a_signal_and_an_action_are_nodes_too(open_studio: Open, clock: Clock) -> None:
    studio = with_workflow(
        open_studio(Cast()),
        start="hold",
        nodes={
            "hold": {"kind": "wait", "delay": "2h"},
            "go": {"kind": "wait", "signal": "go", "timeout": "1d"},
            "later": {"kind": "action", "action": "bead.follow-up",
                      "with": {"title": "Document {title}", "type": "chore", "label": "docs"}},
        },
        without=[2],
        more=[
            edge("hold", "go", "success"), edge("go", "build", "success"), edge("go", "drop", "timeout"),
            edge("merge", "later", "success"), edge("later", "end", "success"),
            edge("later", "end", "failure"),
        ],
    )  # fmt: skip
    bead, forgotten = studio.bead("Happy"), studio.bead("Forgotten")
    studio.run()
    assert not Session.objects.exists(), "nobody works before the time has come"
    assert studio.refreshed(bead).stage == Bead.Stage.WAITING
    clock.forward(hours=3)
    studio.run()
    assert WorkflowExecution.objects.get(bead=bead).current_node == "go"
    run_signal(run_id=Run.objects.get(bead_id=bead.pk).pk, name="go", actor="Ada")
    studio.run()
    assert path(bead) == ("hold:success go:success build:success merge:success later:success completed")
    assert studio.refreshed(bead).merged_commit
    made = Bead.objects.get(title="Document Happy")
    assert (made.type, made.labels) == ("chore", ["docs"])

    clock.forward(days=2)
    studio.run()
    assert path(forgotten) == "hold:success go:timeout failed"
    assert studio.refreshed(forgotten).close_reason.startswith("Given up at go (timeout)")


def test_going_back_again_and_again_ends_with_a_person_and_their_yes_starts_the_count_anew(
    open_studio: Open,
) -> None:
    number = iter(range(1000))

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return [("submit_review", {"verdict": "reject", "comments": f"No. {next(number)}"})]
        return [write("a.txt", f"{next(number)}\n"), done("There.")]

    studio = with_workflow(
        open_studio(model),
        max_cycles=2,
        nodes={"look": {"kind": "review", "max_attempts": 50}},
        without=[0],
        more=[
            edge("build", "look", "success"), edge("look", "merge", "approved"),
            edge("look", "build", "rejected"), edge("look", "look", "failure"),
        ],
    )  # fmt: skip
    bead = studio.bead("Disputed")
    studio.run()
    assert studio.refreshed(bead).blocked_reason == "It went back 2 times without coming to an end."
    execution = WorkflowExecution.objects.get()
    assert execution.status == "escalated"

    decision_decide(decision=studio.open_question(), choice="retry", decider="Ada")
    studio.run()
    execution.refresh_from_db()
    assert execution.history.filter(condition="rejected").count() >= 5
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED


def test_a_run_goes_on_with_the_definition_it_was_started_with(open_studio: Open) -> None:
    changes: dict[str, Any] = {
        "nodes": {"ask": {"kind": "approval", "by": "person"}},
        "without": [0],
        "more": [
            edge("build", "ask", "success"),
            edge("ask", "merge", "approved"),
            edge("ask", "build", "rejected"),
        ],
    }
    studio = quick(open_studio(Cast()))
    definition = definition_create(
        organization=studio.organization, given=changed(match=FOR_TASKS, **changes)
    )
    first = studio.bead("First")
    studio.run()
    asked = Decision.objects.open().get(bead=first)
    definition_update(definition=definition, given=changed(match=FOR_TASKS))
    second = studio.bead("Second")
    studio.run()
    assert path(second) == "build:success merge:success completed"
    definition_delete(definition=definition)

    decision_decide(decision=asked, choice="approve", decider="Ada")
    studio.run()
    assert path(first) == "build:success ask:approved merge:success completed"
    hashes = set(WorkflowExecution.objects.values_list("content_id", flat=True))
    assert len(hashes) == 2
    assert not WorkflowExecution.objects.exclude(definition=None).exists()


def test_a_bead_that_no_workflow_is_for_says_so(open_studio: Open) -> None:
    studio = open_studio(Cast())
    unmatched = changed(name="story", match=[{"types": ["bug"]}])
    definition_create(organization=studio.organization, given=unmatched)
    bead = studio.bead("Happy", type="chore")
    studio.run()
    bead = studio.refreshed(bead)
    assert bead.status == Bead.Status.BLOCKED
    assert "No workflow is for" in bead.blocked_reason
    assert not Run.objects.filter(bead_id=bead.pk).exists()


def test_a_definition_that_cannot_be_read_any_more_stops_beads_with_the_reason(open_studio: Open) -> None:
    """Never the one behind it: that may lack the gate which this one has."""
    studio = open_studio(Cast())
    definition_create(organization=studio.organization, given=changed(name="story"))
    WorkflowDefinition.objects.update(content={"name": "story", "nodes": {"build": {"kind": "dream"}}})
    bead = studio.bead("Happy")
    studio.run()
    assert "story was saved by another version of Loom" in studio.refreshed(bead).blocked_reason


def test_a_turn_in_the_merge_queue_that_does_not_come_is_given_back(open_studio: Open, clock: Clock) -> None:
    studio = with_workflow(
        open_studio(Cast()), nodes={"merge": {"kind": "merge", "timeout": "1h"}}, without=[4],
        more=[edge("merge", "merge", "timeout")],
    )  # fmt: skip
    bead = studio.bead("Happy")

    studio.model = _with_queue_taken(studio, studio.model)
    studio.run()
    blocker = MergeRequest.objects.exclude(bead=bead)
    assert studio.refreshed(bead).stage == Bead.Stage.QUEUED
    clock.forward(hours=2)
    studio.run()
    assert path(bead).startswith("build:success merge:timeout")
    blocker.update(status=MergeRequest.Status.CANCELED)
    clock.forward(hours=2)
    studio.run()
    assert path(bead) == "build:success merge:timeout merge:timeout merge:success completed"
    assert MergeRequest.objects.get(bead=bead).status == MergeRequest.Status.MERGED


def _with_queue_taken(studio: Studio, model: Any) -> Any:
    """The first reply finds somebody else merging, who never comes to an end."""

    def play(kind: str, title: str, messages: Messages) -> Answer:
        if not MergeRequest.objects.exists():
            mine = Session.objects.get(kind="work")
            other = bead_create(project=studio.project, title="Slow", status=Bead.Status.DEFERRED)
            claim = Claim.objects.create(session=mine, bead=other, number=1, commit="c" * 40, tree="d" * 40)
            MergeRequest.objects.create(
                project=studio.project, bead=other, claim=claim, run_id=0, status=MergeRequest.Status.MERGING
            )
        answer: Answer = model(kind, title, messages)
        return answer

    return play


def test_trouble_of_the_platform_at_a_merge_holds_nobody_up_and_the_merge_is_tried_again(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = quick(open_studio(Cast()))
    bead = studio.bead("Happy")
    with monkeypatch.context() as broken:
        broken.setattr(Hub, "advance", lambda *_: False)  # as if others moved main all the time
        studio.run()
    assert "kept moving" in studio.refreshed(bead).blocked_reason
    assert MergeRequest.objects.get().status == MergeRequest.Status.CANCELED
    assert WorkflowExecution.objects.get(bead=bead).status == "blocked"
    other = studio.bead("Other")
    studio.run()
    assert studio.refreshed(other).merged_commit, "the queue goes on"

    decision_decide(decision=studio.open_question(), choice="retry", decider="Ada")
    studio.run()
    assert path(bead).endswith("review:approved merge:success completed")
    assert len(studio.sessions("work")) == 2, "nobody had to claim again"


def test_canceling_a_walk_ends_its_execution(open_studio: Open) -> None:
    studio = open_studio(Cast())
    bead = studio.bead("Stuck")
    studio.run()
    run_cancel(run_id=Run.objects.get(bead_id=bead.pk, flow="bead.work").pk, actor="Ada")
    Bead.objects.filter(pk=bead.pk).update(title="Happy")
    studio.run()
    assert "failed" in WorkflowExecution.objects.filter(bead=bead).values_list("status", flat=True)


def test_a_persona_hint_says_who_works(open_studio: Open) -> None:
    studio = with_workflow(
        open_studio(Cast()), nodes={"build": {"kind": "task", "persona": "default/devops-engineer"}}
    )
    studio.bead("Happy")
    studio.run()
    agent = Session.objects.get(kind="work").agent
    assert (agent.role, agent.persona.name) == ("devops-engineer", "default/devops-engineer")


def test_a_replayed_walk_takes_the_same_way(open_studio: Open) -> None:
    """Whatever happens to labels and definitions: what the steps say counts."""
    cast = Cast()
    studio = quick(open_studio(cast))
    bead = studio.bead("Stuck", type="feature", labels=["acceptance"])
    studio.run()
    Bead.objects.filter(pk=bead.pk).update(labels=[])
    cast.stubborn = False
    decision_decide(decision=Decision.objects.open().get(bead=bead), choice="retry", decider="Ada")
    studio.run()
    assert "acceptance:approved merge:success completed" in path(bead)
    assert not Step.objects.filter(run__bead_id=bead.pk, status=Step.Status.FAILED).exists()


# -- bootstrap -------------------------------------------------------------------------------------


class Planner:
    """Expands and plans; the first expansion and the first plan may go wrong."""

    def __init__(self, *, lazy: bool = False) -> None:
        self.lazy, self.heard = lazy, [""]

    def __call__(self, kind: str, title: str, messages: Messages) -> Answer:
        if kind == "expand":
            return "Hm." if self.lazy else [write("plans/PRD.md", "# Calculator\n"), done()]
        if kind == "review":
            return APPROVE
        if kind == "work":
            return [write("calc/more.py", "MORE = 1\n"), done()]
        if replies(messages):
            self.heard.append(last(messages))
            return [done("Changed.")]
        story = {"title": "Add numbers", "type": "story", "role": "engineer"}
        story |= {"acceptance": ["1 + 2 is 3"], "requirements": ["R-001"]}  # type: ignore[dict-item]
        return [("create_bead", story), done()]


def plan_question(studio: Studio) -> Decision:
    return Decision.objects.open().get(project=studio.project, kind=Decision.Kind.PLAN)


def project_path(studio: Studio) -> str:
    execution = WorkflowExecution.objects.get(bead=None)
    visits = execution.history.order_by("number").values_list("node_key", "condition")
    return " ".join([*(f"{key}:{condition}" for key, condition in visits), execution.status])


def test_bootstrap_sends_a_plan_back_and_builds_what_was_approved(open_studio: Open) -> None:
    planner = Planner()
    studio = quick(open_studio(planner))
    type(studio.project).objects.filter(pk=studio.project.pk).update(approval="ask")
    weave_start(project=studio.project)
    studio.run()
    decision_decide(
        decision=plan_question(studio), choice="change", decider="Ada", rationale="Smaller stories."
    )
    studio.run()
    assert "Plan refused: Smaller stories." in planner.heard[-1]
    decision_decide(decision=plan_question(studio), choice="approve", decider="Ada")
    studio.run()

    approved = "plan:success approval:approved open:success build:success deliver:success completed"
    assert project_path(studio) == (
        f"repository:success expand:success plan:success approval:rejected {approved}"
    )
    assert Run.objects.get(flow="prd.weave").output["status"] == "done"
    assert path(Bead.objects.get()).endswith("merge:success completed")
    assert not Session.objects.filter(status="open").exists()


@pytest.mark.parametrize("choice", ["retry", "drop"])
def test_bootstrap_asks_a_person_when_the_prd_cannot_be_expanded(open_studio: Open, choice: str) -> None:
    planner = Planner(lazy=True)
    studio = quick(open_studio(planner))
    type(studio.project).objects.filter(pk=studio.project.pk).update(approval="ask")
    weave_start(project=studio.project)
    studio.run()
    asked = studio.open_question()
    assert "The PRD could not be expanded" in asked.question
    planner.lazy = False
    decision_decide(decision=asked, choice=choice, decider="Ada")
    studio.run()
    if choice == "drop":
        assert project_path(studio) == "repository:success expand:failure failed"
        assert Run.objects.get(flow="prd.weave").output["status"] == "dropped"
        return
    decision_decide(decision=plan_question(studio), choice="reject", decider="Ada", rationale="No.")
    studio.run()
    assert project_path(studio) == ("repository:success expand:failure expand:success plan:success failed")
    run = Run.objects.get(flow="prd.weave")
    assert run.output == {"status": "dropped", "reason": "The plan was rejected: No."}
