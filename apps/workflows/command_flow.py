"""Commands that people and programs have run: judged by the project's rules, run in its sandbox, recorded.

A command sees a checkout made for it, of the main branch or of the newest work on a bead, and what it changes
there is thrown away: an agent's worktree is nobody else's.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.actions.base import clip
from apps.agents.asking import ONCE, REFUSE
from apps.agents.browsing import Tree, tree_at
from apps.agents.dependencies import dependencies_provide
from apps.agents.models import Agent
from apps.agents.paths import resolve_inside
from apps.agents.sandbox import Sandbox
from apps.agents.secrets import project_masker, secrets_learn
from apps.agents.verify import clean_checkout
from apps.beads.models import Bead
from apps.commands.judging import ASK, DENY, Judgement
from apps.commands.models import CommandRun
from apps.commands.services import command_judge
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.states import move
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel, decision_request
from apps.engine.errors import Canceled, StepFailed
from apps.engine.flow import Handle, call, current, flow, joins, step, wait_for
from apps.engine.services import run_start
from apps.events.bus import emit
from apps.projects.models import Project

FLOW = "command.execute"
KEPT = 200_000  # characters of output
AT_ONCE = 10  # unfinished commands of one project
OVER = (CommandRun.Status.DONE, CommandRun.Status.REFUSED, CommandRun.Status.FAILED)
OPTIONS = [
    {"key": ONCE, "label": "Allow once", "detail": "It runs now, on files that are thrown away."},
    {"key": REFUSE, "label": "Deny", "detail": "It does not run."},
]


@transaction.atomic
def command_request(
    *, project: Project, line: str, requester: str, agent: Agent | None, bead: Bead | None, **fields: Any
) -> CommandRun:
    """Have a command line run; one that the rules forbid is recorded as refused and never starts."""
    if project_masker(project.pk).text(line) != line:
        raise BadInput("The command holds a secret.", hint="Commands of agents never get one.")
    Project.objects.locked(project.pk)
    if CommandRun.objects.filter(project=project).exclude(status__in=OVER).count() >= AT_ONCE:
        raise Conflict(f"{AT_ONCE} commands of this project wait already.", hint="Try again later.")
    judgement = command_judge(project=project, line=line_of(line, fields.get("working_dir", "")))
    row = CommandRun.objects.create(
        project=project,
        agent_id=agent.pk if agent else None,
        bead_id=bead.pk if bead else None,
        bead_key=bead.key if bead else "",
        requester=requester[:150],
        command=line,
        verdict=judgement.verdict,
        **fields,
    )
    if judgement.verdict == DENY:
        _end(row.pk, CommandRun.Status.REFUSED, error=judgement.refusal())
        return CommandRun.objects.select_related("project").get(pk=row.pk)
    run = run_start(
        flow=FLOW,
        key=f"command:{row.pk}",
        input={"command_id": row.pk},
        organization_id=project.organization_id,
        project_id=project.pk,
    )
    CommandRun.objects.filter(pk=row.pk).update(run_id=run.pk)
    _tell(row, "command.requested", verdict=row.verdict)
    return CommandRun.objects.select_related("project").get(pk=row.pk)


def line_of(command: str, folder: str) -> str:
    """What is judged and run, as where an agent names a directory."""
    return command if folder in {"", "."} else f"cd {shlex.quote(folder)} && {command}"


@flow(FLOW)
def command_execute(command_id: int) -> dict[str, Any]:
    """Ask a person if the rules say so, run the command, keep what it said."""
    try:
        return _asked_and_run(command_id)
    except Canceled:
        step(command_cancel, command_id=command_id)
        raise


def _asked_and_run(command_id: int) -> dict[str, Any]:
    asked = step(command_ask_person, command_id=command_id)
    if asked["decision"]:
        said = wait_for(f"decision:{asked['decision']}") or {}
        if said.get("choice") != ONCE:
            why = said.get("rationale") or f"{said.get('decider') or 'Nobody'} did not allow it."
            step(command_end, command_id=command_id, status=CommandRun.Status.REFUSED.value, error=why)
            return {"status": "refused"}
    try:
        return dict(call(command_run, command_id=command_id))
    except StepFailed as failed:
        error = f"{failed.failure.message} {failed.failure.hint}".strip()
        step(command_end, command_id=command_id, status=CommandRun.Status.FAILED.value, error=error)
        return {"status": "failed"}


def command_ask_person(*, command_id: int) -> dict[str, Any]:
    row = CommandRun.objects.select_related("project").get(pk=command_id)
    judgement = command_judge(project=row.project, line=line_of(row.command, row.working_dir))
    if judgement.verdict != ASK:
        return {"decision": None}
    decision = decision_request(
        project=row.project,
        bead=Bead.objects.filter(pk=row.bead_id).first() if row.bead_id else None,
        question=f"May {row.requester} run: {judgement.decisive[0].command.shown[:300]}",
        options=OPTIONS,
        recommendation=REFUSE,
        context=_effect(row, judgement),
        requester=row.requester,
        needs_person=True,
        run_id=current().run.pk,
        origin=f"command:{row.pk}",
        default_choice=REFUSE,
    )
    CommandRun.objects.filter(pk=row.pk).update(status=CommandRun.Status.ASKING, decision_id=decision.pk)
    return {"decision": decision.pk}


def _effect(row: CommandRun, judgement: Judgement) -> str:
    network = "on" if row.project.allow_network else "off"
    return (
        f"Command as given:\n{row.command}\n\nIt runs in the sandbox on a checkout of its own, network "
        f"{network}.\nWhat it comes to:\n{judgement.told()}"
    )


@joins
def command_run(handle: Handle, command_id: int) -> dict[str, Any]:
    row = CommandRun.objects.select_related("project").get(pk=command_id)
    tree = _files(row)
    with transaction.atomic():
        handle.begin()
        CommandRun.objects.filter(pk=row.pk).update(
            status=CommandRun.Status.RUNNING, started_at=timezone.now(), commit=tree.commit
        )
    mask = secrets_learn(row.project_id, tree.commit)
    with clean_checkout(tree.hub, tree.commit, handle) as root:
        place = resolve_inside(root, row.working_dir or ".")
        if not place.is_dir():
            raise NotFound(f"There is no directory {row.working_dir} in commit {tree.commit[:10]}.")
        given = dependencies_provide(row.project, root, mask=mask)
        done = Sandbox(mask=mask, extra=given.extra).run(
            line_of(row.command, row.working_dir),
            root=root,
            timeout=row.timeout_seconds,
            network=row.project.allow_network,
        )
    error = f"Stopped after {row.timeout_seconds} s, the time it had." if done.timed_out else ""
    with transaction.atomic():
        _end(
            row.pk,
            CommandRun.Status.DONE,
            error=error,
            exit_code=done.exit_code,
            output=clip(done.output, KEPT),
            duration_ms=done.duration_ms,
        )
        handle.finish({"status": "done"})
    return {"status": "done"}


def _files(row: CommandRun) -> Tree:
    """Of the newest work on the bead, else of the main branch."""
    if row.bead_key:
        with suppress(NotFound):  # nobody worked on it yet
            return tree_at(row.project, bead=row.bead_key)
    return tree_at(row.project)


def command_cancel(*, command_id: int) -> None:
    """Nobody waits for it any more: its question goes, and its place is free for others."""
    row = CommandRun.objects.get(pk=command_id)
    for decision in Decision.objects.open().filter(pk=row.decision_id or 0).select_related("project"):
        decision_cancel(decision=decision)
    _end(command_id, CommandRun.Status.FAILED, error="It was canceled.")


def command_end(*, command_id: int, status: str, error: str) -> None:
    _end(command_id, status, error=error)


def _end(command_id: int, status: str, **fields: Any) -> None:
    rows = CommandRun.objects.filter(pk=command_id)
    allowed = set(CommandRun.Status.values) - set(OVER)
    if move(rows, to=status, allowed=allowed, completed_at=timezone.now(), **fields):
        row = rows.select_related("project").get()
        _tell(row, f"command.{status}", exit_code=row.exit_code, duration_ms=row.duration_ms)


def _tell(row: CommandRun, kind: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=row.project.organization_id,
        project_id=row.project_id,
        bead_id=row.bead_id,
        subject=f"command:{row.pk}",
        actor=row.requester,
        command=row.command[:500],
        **data,
    )
