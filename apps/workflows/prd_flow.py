"""The flow of a PRD: repository, expansion, plan, approval, beads, delivery."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from django.db import transaction

from apps.agents.clone import clone_to
from apps.agents.first_commit import SOURCE_PATH, main_commit, repository_begin
from apps.agents.git import repository_holds
from apps.agents.hub import Hub
from apps.agents.models import Session
from apps.agents.places import hub_path
from apps.agents.secrets import secrets_learn
from apps.beads.services import beads_activate, project_is_finished
from apps.core.errors import Conflict
from apps.engine.errors import Canceled
from apps.engine.flow import Handle, call, flow, joins, step, wait_for
from apps.engine.models import Run
from apps.engine.services import run_cancel, run_signal, run_start
from apps.events.bus import emit
from apps.projects.models import Project
from apps.projects.services import project_close
from apps.workflows import nodes
from apps.workflows.execution_services import execution_end
from apps.workflows.graph_actions import Outcome, graph_action
from apps.workflows.interpreter import Behavior, Walk
from apps.workflows.models import WorkflowExecution
from apps.workflows.planning import plan_check
from apps.workflows.sessions import expand_session, plan_session
from apps.workflows.talk import Dropped, session_close, talk, tell

PRD_PATH = "plans/PRD.md"
MAX_PLANS = 6
# What people are told while the walk is at an action, or at a node of that kind.
PHASES = {
    "prd.expand": "expanding",
    "prd.plan": "planning",
    "approval": "approving",
    "beads.open": "building",
    "project.deliver": "delivering",
}


def run_key(project_id: int) -> str:
    return f"prd:{project_id}"


def weave_start(*, project: Project) -> Run:
    """Start (or find) the run that turns the project's PRD into merged software."""
    return run_start(
        flow="prd.weave",
        key=run_key(project.pk),
        input={"project_id": project.pk},
        organization_id=project.organization_id,
        project_id=project.pk,
    )


@flow("prd.weave", version=2)
def prd_weave(project_id: int) -> dict[str, Any]:
    """From a PRD to a repository with everything merged: the walk through the workflow `bootstrap`."""
    walk = ProjectWalk(project_id=project_id)
    try:
        walk.run()
    except Dropped as dropped:
        walk.over(WorkflowExecution.Status.FAILED, "dropped")
        return {"status": "dropped", "reason": str(dropped)}
    except Canceled:
        walk.over(WorkflowExecution.Status.FAILED, "canceled")
        if step(give_up, project_id=project_id):
            step(work_cancel, project_id=project_id)
        raise
    walk.over(WorkflowExecution.Status.COMPLETED, "")
    return {"status": "done", **walk.delivered}


class ProjectWalk(Walk):
    """A project's way; the session of its planner stays open until the plan is approved."""

    behaviors: ClassVar[dict[str, Behavior]] = {
        "action": nodes.action,
        "approval": nodes.approval,
        "wait": nodes.wait,
    }

    def __init__(self, *, project_id: int) -> None:
        super().__init__(project_id=project_id)
        self.planning = self.plans = 0
        self.delivered: dict[str, Any] = {}

    def enter(self, key: str) -> None:
        super().enter(key)
        node: Any = self.graph.nodes[key]
        if name := PHASES.get(getattr(node, "action", node.kind)):
            phase(self.project_id, name)

    def refusal(self, rationale: str) -> str:
        return f"Plan refused: {rationale}"

    def session_of(self, node: Any) -> int | None:
        return self.planning or None

    def stopped(self, reason: str, why: str) -> None:
        self.close(reason, why)

    def close(self, reason: str, detail: str = "") -> None:
        if self.planning:
            step(session_close, session_id=self.planning, reason=reason, detail=detail)
        self.planning = 0

    def over(self, status: str, reason: str) -> None:
        self.close(reason)
        if self.execution_id:
            step(execution_end, execution_id=self.execution_id, status=status, left=self.left)


def phase(project_id: int, name: str) -> None:
    step(phase_tell, step_name=f"phase:{name}", project_id=project_id, name=name)


def phase_tell(*, project_id: int, name: str) -> None:
    project = Project.objects.get(pk=project_id)
    emit(
        "weave.phase",
        organization_id=project.organization_id,
        project_id=project_id,
        subject=f"project:{project.slug}",
        phase=name,
    )


def give_up(*, project_id: int) -> bool:
    """Nothing more is begun in the project of a weave that was canceled; False if it stands for more."""
    project = Project.objects.get(pk=project_id)
    if project.is_sticky or project.is_perpetual:
        return False
    project_close(project=project, reason="Its weave was canceled.", actor="loom")
    return True


def work_cancel(*, project_id: int) -> int:
    """End what is at work on the beads of a closed project, where nothing begins again; how many runs."""
    runs = Run.objects.unfinished().filter(project_id=project_id, flow="bead.work", cancel_requested=False)
    keys = list(runs.order_by("pk").values_list("pk", flat=True))
    for run_id in keys:
        with suppress(Conflict), transaction.atomic():  # it has ended meanwhile
            run_cancel(run_id=run_id, actor="loom")
    return len(keys)


@graph_action("repository.open", subject="project")
def open_repository(walk: ProjectWalk) -> Outcome:
    return Outcome("success", data=call(repository_open, project_id=walk.project_id))


def repository_open(handle: Handle, project_id: int) -> dict[str, Any]:
    """The project's bare repository with a first commit: the PRD as it was given."""
    return {"commit": repository_begin(Project.objects.get(pk=project_id))}


@graph_action("prd.expand", subject="project")
def expand(walk: ProjectWalk) -> Outcome:
    """The project manager turns the PRD into plans/PRD.md."""
    opened = call(expand_open, project_id=walk.project_id)
    ending = talk(opened["session"], project_id=walk.project_id)
    if ending.reason == "claim":
        call(land_plans, session_id=opened["session"])
        step(session_close, session_id=opened["session"], reason="landed")
        return Outcome("success")
    step(session_close, session_id=opened["session"], reason=ending.reason, detail=ending.detail)
    trouble = f"The PRD could not be expanded: {ending.detail or ending.reason}"
    return Outcome("failure", trouble, {"reason": ending.reason})


@joins
def expand_open(handle: Handle, project_id: int) -> dict[str, Any]:
    base = main_commit(Project.objects.get(pk=project_id))
    with transaction.atomic():
        session_id = expand_session(project_id=project_id, origin=handle.key, base=base)
        handle.finish({"session": session_id})
    return {"session": session_id}


def land_plans(handle: Handle, session_id: int) -> dict[str, Any]:
    """Commit what the session wrote below plans/ to main; nothing else of it."""
    session = Session.objects.select_related("project", "agent").get(pk=session_id)
    hub = Hub(hub_path(session.project_id))
    changed = hub.changed(session.base_commit, session.head_commit)
    files = {
        path: hub.read(session.head_commit, path)
        for status, path in changed
        if status != "D" and path.startswith("plans/") and path != SOURCE_PATH
    }
    author = f"{session.agent.name} <{session.agent.role}@loom.invalid>"
    return {"commit": hub.commit_files(session.project.branch, files, "Expand the PRD", author)}


@graph_action("prd.plan", subject="project")
def plan(walk: ProjectWalk) -> Outcome:
    """Plan until the plan holds; a plan that was sent back is mended by who made it."""
    if walk.planning:
        tell(walk.planning, walk.why)
    else:
        walk.planning, walk.plans = call(plan_open, project_id=walk.project_id)["session"], 0
    while walk.plans < MAX_PLANS:
        walk.plans += 1
        ending = talk(walk.planning, project_id=walk.project_id)
        if ending.reason != "claim":
            walk.close(ending.reason, ending.detail)
            trouble = f"The plan was not finished: {ending.detail or ending.reason}"
            return Outcome("failure", trouble, {"reason": ending.reason})
        problems = step(plan_check, project_id=walk.project_id)
        if not problems:
            return Outcome("success")
        listed = "\n".join(f"- {problem}" for problem in problems)
        tell(
            walk.planning,
            f"Plan refused: mend this with create_bead and update_bead, then call done.\n{listed}",
        )
    walk.close("plan")
    return Outcome("failure", f"The plan did not hold after {MAX_PLANS} attempts.", {"reason": "plan"})


@joins
def plan_open(handle: Handle, project_id: int) -> dict[str, Any]:
    project = Project.objects.get(pk=project_id)
    base = main_commit(project)
    secrets_learn(project_id, base)
    hub = Hub(hub_path(project_id))
    prd = hub.read(base, PRD_PATH).decode("utf-8", "replace") if PRD_PATH in hub.files(base) else project.prd
    with transaction.atomic():
        session_id = plan_session(project_id=project_id, origin=handle.key, base=base, prd=prd)
        handle.finish({"session": session_id})
    return {"session": session_id}


@graph_action("beads.open", subject="project")
def open_beads(walk: ProjectWalk) -> Outcome:
    walk.close("approved")
    return Outcome("success", data={"beads": step(plan_activate, project_id=walk.project_id)})


def plan_activate(*, project_id: int) -> int:
    return beads_activate(project=Project.objects.get(pk=project_id), actor="loom")


@graph_action("beads.finished", subject="project")
def wait_until_finished(walk: ProjectWalk) -> Outcome:
    while not step(is_finished, project_id=walk.project_id):
        wait_for("beads.finished")
    return Outcome("success")


def is_finished(*, project_id: int) -> bool:
    return project_is_finished(project_id)


def finished_tell(project_id: int) -> None:
    """Wake the project's run once no bead is left open."""
    run = Run.objects.unfinished().filter(key=run_key(project_id)).first()
    if run is not None and project_is_finished(project_id):
        run_signal(run_id=run.pk, name="beads.finished")


@graph_action("project.deliver", subject="project")
def deliver_project(walk: ProjectWalk) -> Outcome:
    walk.delivered = call(deliver, project_id=walk.project_id)
    step(finish, project_id=walk.project_id)
    return Outcome("success", data=walk.delivered)


def deliver(handle: Handle, project_id: int) -> dict[str, Any]:
    """An ordinary repository where the user asked for one."""
    project = Project.objects.get(pk=project_id)
    head = main_commit(project)
    if project.out_dir:
        out = Path(project.out_dir)
        if not repository_holds(out, head):
            clone_to(Hub(hub_path(project_id)), out, project.branch)
    return {"commit": head, "out": project.out_dir}


def finish(*, project_id: int) -> None:
    project = Project.objects.get(pk=project_id)
    if not project.is_sticky and not project.is_perpetual:
        project_close(project=project, reason="Everything is merged.", actor="loom")
