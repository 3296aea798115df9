"""The flow of a PRD: repository, expansion, plan, approval, beads, delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction

from apps.agents.hub import Hub
from apps.agents.models import Session
from apps.agents.places import hub_path
from apps.beads.services import beads_activate, project_is_finished
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.engine.flow import Handle, call, current, flow, joins, step, wait_for
from apps.engine.models import Run
from apps.engine.services import run_signal, run_start
from apps.events.bus import emit
from apps.projects.models import Project
from apps.projects.services import project_close
from apps.workflows.briefing import main_commit
from apps.workflows.planning import plan_check, plan_text
from apps.workflows.sessions import expand_session, plan_session
from apps.workflows.talk import (
    DROP,
    Dropped,
    Stopped,
    answer,
    ask_person,
    session_close,
    talk,
    tell,
)

PRD_PATH, SOURCE_PATH = "plans/PRD.md", "plans/SOURCE.md"
PLATFORM = "Loom <loom@loom.invalid>"
MAX_PLANS = 6
APPROVE, CHANGE, REJECT = "approve", "change", "reject"
IGNORED = "__pycache__/\n*.py[cod]\n.venv/\nnode_modules/\ndist/\nbuild/\n*.egg-info/\n"


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


@flow("prd.weave")
def prd_weave(project_id: int) -> dict[str, Any]:
    """From a PRD to a repository with everything merged."""
    call(repository_open, project_id=project_id)
    phase(project_id, "expanding")
    try:
        expand(project_id)
        phase(project_id, "planning")
        plan(project_id)
    except Dropped as dropped:
        return {"status": "dropped", "reason": str(dropped)}
    phase(project_id, "building")
    step(plan_activate, project_id=project_id)
    while not step(is_finished, project_id=project_id):
        wait_for("beads.finished")
    phase(project_id, "delivering")
    delivered: dict[str, Any] = call(deliver, project_id=project_id)
    step(finish, project_id=project_id)
    return {"status": "done", **delivered}


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


def repository_open(handle: Handle, project_id: int) -> dict[str, Any]:
    """The project's bare repository with a first commit: the PRD as it was given."""
    project = Project.objects.get(pk=project_id)
    hub = Hub(hub_path(project_id))
    hub.create(project.branch)
    head = hub.head(project.branch)
    if head is None:
        files = {SOURCE_PATH: project.prd.encode(), ".gitignore": IGNORED.encode()}
        head = hub.commit_files(project.branch, files, f"Start {project.name}", PLATFORM)
    return {"commit": head}


def expand(project_id: int) -> None:
    """The project manager turns the PRD into plans/PRD.md; a refusal to finish is a person's question."""
    while True:
        opened = call(expand_open, project_id=project_id)
        ending = talk(opened["session"], project_id=project_id)
        if ending.reason == "claim":
            call(land_plans, session_id=opened["session"])
            step(session_close, session_id=opened["session"], reason="landed")
            return
        step(session_close, session_id=opened["session"], reason=ending.reason, detail=ending.detail)
        trouble = f"The PRD could not be expanded: {ending.detail or ending.reason}"
        if ask_person(trouble, project_id=project_id, bead_id=None) == DROP:
            raise Dropped(trouble)


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


def plan(project_id: int) -> None:
    """Plan until the plan holds and is approved."""
    while True:
        opened = call(plan_open, project_id=project_id)
        session_id = opened["session"]
        try:
            plan_until_approved(project_id, session_id)
        except Stopped as stopped:
            step(session_close, session_id=session_id, reason=stopped.reason, detail=stopped.detail)
            if ask_person(str(stopped), project_id=project_id, bead_id=None) == DROP:
                raise Dropped(str(stopped)) from stopped
        else:
            step(session_close, session_id=session_id, reason="approved")
            return


def plan_until_approved(project_id: int, session_id: int) -> None:
    for _ in range(MAX_PLANS):
        ending = talk(session_id, project_id=project_id)
        if ending.reason != "claim":
            raise Stopped(ending.reason, f"The plan was not finished: {ending.detail or ending.reason}")
        problems = step(plan_check, project_id=project_id)
        if problems:
            listed = "\n".join(f"- {problem}" for problem in problems)
            tell(
                session_id,
                f"Plan refused: mend this with create_bead and update_bead, then call done.\n{listed}",
            )
            continue
        phase(project_id, "approving")
        asked = step(approval_ask, project_id=project_id)
        said = answer(asked["decision"], project_id=project_id)
        if said.get("choice") == APPROVE:
            return
        if said.get("choice") == REJECT:
            raise Dropped(f"The plan was rejected: {said.get('rationale', '')}")
        tell(session_id, f"Plan refused: {said.get('rationale') or 'change it.'}")
    raise Stopped("plan", f"The plan did not hold after {MAX_PLANS} attempts.")


@joins
def plan_open(handle: Handle, project_id: int) -> dict[str, Any]:
    project = Project.objects.get(pk=project_id)
    base = main_commit(project)
    hub = Hub(hub_path(project_id))
    prd = hub.read(base, PRD_PATH).decode("utf-8", "replace") if PRD_PATH in hub.files(base) else project.prd
    with transaction.atomic():
        session_id = plan_session(project_id=project_id, origin=handle.key, base=base, prd=prd)
        handle.finish({"session": session_id})
    return {"session": session_id}


def approval_ask(*, project_id: int) -> dict[str, Any]:
    project = Project.objects.get(pk=project_id)
    execution = current()
    decision = decision_request(
        project=project,
        kind=Decision.Kind.PLAN,
        question="Approve the plan",
        options=[
            {"key": APPROVE, "label": "Approve", "detail": "Work on the stories begins."},
            {"key": CHANGE, "label": "Send back", "detail": "Say in the rationale what must change."},
            {"key": REJECT, "label": "Reject", "detail": "Nothing is built."},
        ],
        recommendation=APPROVE,
        context=plan_text(project),
        requester="project-manager",
        needs_person=project.approval == Project.Approval.ASK,
        run_id=execution.run.pk,
        origin=f"run:{execution.run.pk}:{execution.seq}",
    )
    return {"decision": decision.pk}


def plan_activate(*, project_id: int) -> int:
    return beads_activate(project=Project.objects.get(pk=project_id), actor="loom")


def is_finished(*, project_id: int) -> bool:
    return project_is_finished(project_id)


def finished_tell(project_id: int) -> None:
    """Wake the project's run once no bead is left open."""
    run = Run.objects.unfinished().filter(key=run_key(project_id)).first()
    if run is not None and project_is_finished(project_id):
        run_signal(run_id=run.pk, name="beads.finished")


def deliver(handle: Handle, project_id: int) -> dict[str, Any]:
    """An ordinary repository where the user asked for one."""
    project = Project.objects.get(pk=project_id)
    head = main_commit(project)
    if project.out_dir:
        out = Path(project.out_dir)
        if not (out / ".git").exists():
            Hub(hub_path(project_id)).clone_to(out, project.branch)
    return {"commit": head, "out": project.out_dir}


def finish(*, project_id: int) -> None:
    project = Project.objects.get(pk=project_id)
    if not project.is_sticky and not project.is_perpetual:
        project_close(project=project, reason="Everything is merged.", actor="loom")
