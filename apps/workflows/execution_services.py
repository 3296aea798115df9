"""What is kept of a run's way through its workflow; written inside the steps of its flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.agents.models import Session
from apps.beads.models import Bead
from apps.beads.services import bead_stage
from apps.core.prepared import Prepared
from apps.core.sql import execute_rows, insert_all, keys_ahead
from apps.core.states import move
from apps.engine.flow import current
from apps.engine.models import Run
from apps.events.bus import Fact, emit_all
from apps.projects.models import Project
from apps.workflows.graph import Graph
from apps.workflows.graph_library import BOOTSTRAP, Found, workflow_for, workflows_of
from apps.workflows.models import WorkflowContent, WorkflowDefinition, WorkflowExecution, WorkflowHistory

RESULT_CHARS = 4000
_KNOWN: Prepared[str] = Prepared(
    lambda shas: WorkflowContent.objects.filter(pk__in=shas).order_by().values_list("pk", flat=True)
)
_DEFINITION: Prepared[WorkflowDefinition] = Prepared(
    lambda organization_id, project_id, name, sha: WorkflowDefinition.objects.filter(
        Q(project=project_id) | Q(project=None), organization_id=organization_id, name=name, sha256=sha
    ).order_by("-project_id")
)


def graphs_pin(*, graphs: Iterable[Graph]) -> dict[str, str]:
    """Keep what graphs say for the runs that go through them; the hash of each by its name."""
    wanted = _by_sha(graphs)
    known = set(_KNOWN(tuple(wanted)))
    fresh = [
        WorkflowContent(sha256=sha, content=graph.content())
        for sha, graph in wanted.items()
        if sha not in known
    ]
    if fresh:
        WorkflowContent.objects.bulk_create(fresh, ignore_conflicts=True)
    return {graph.name: sha for sha, graph in wanted.items()}


def _by_sha(graphs: Iterable[Graph]) -> dict[str, Graph]:
    return {graph.sha256: graph for graph in graphs}


@dataclass(frozen=True)
class Begin:
    """A bead at the start of its workflow; `is_at_work` if its first node is entered with that."""

    bead: Bead
    graph: Graph
    is_at_work: bool


def executions_ahead(project: Project, graphs: Sequence[Graph]) -> None:
    """Ask ahead what `executions_begin` reads for as many beads, each with its graph, in their order."""
    wanted = _by_sha(graphs)
    _KNOWN.ahead(tuple(wanted))
    for sha, graph in wanted.items():
        _DEFINITION.ahead(project.organization_id, project.pk, graph.name, sha, limit=1)
    keys_ahead(WorkflowExecution, len(graphs))


def executions_begin(*, project: Project, begins: Sequence[Begin]) -> list[dict[str, Any]]:
    """Begin the ways of beads whose runs are started next, with few statements; what to start each run with.

    `executions_bind` has to follow in the same transaction.
    """
    pins, now = graphs_pin(graphs=[begin.graph for begin in begins]), timezone.now()
    definitions = {name: _definition(project, name, sha) for name, sha in pins.items()}
    executions = []
    for begin in begins:
        name = begin.graph.name
        execution = _new_execution(project, begin.bead, name, pins[name], definitions[name], now)
        if begin.is_at_work:
            execution.current_node, execution.node_attempt_count = begin.graph.start, 1
        executions.append(execution)
    insert_all(executions)
    emit_all(
        fact
        for begin, execution in zip(begins, executions, strict=True)
        for fact in _begin_facts(begin, execution)
    )
    return [
        _begun(execution, entered=now if begin.is_at_work else None)
        for begin, execution in zip(begins, executions, strict=True)
    ]


def _begin_facts(begin: Begin, execution: WorkflowExecution) -> Iterable[Fact]:
    yield _started_fact(execution)
    if begin.is_at_work:
        node: Any = begin.graph.nodes[begin.graph.start]
        where = {"node": begin.graph.start, "node_type": node.kind, "attempt": 1, "cycle_count": 0}
        yield _fact(execution, "workflow.node", **where)


def executions_bind(*, begun: Sequence[dict[str, Any]], runs: Sequence[Run]) -> None:
    """Say which run each execution belongs to."""
    rows = [(run.pk, begin["execution"]) for begin, run in zip(begun, runs, strict=True)]
    if rows:
        execute_rows(
            "UPDATE workflows_workflowexecution SET run_id = given.column1 FROM {rows} AS given"
            " WHERE id = given.column2",
            [],
            rows,
        )


def execution_begin(*, project_id: int, bead_id: int | None, workflow: str) -> dict[str, Any]:
    """Begin the way of the current run, through the graph it was dispatched with if any. A database step."""
    project = Project.objects.get(pk=project_id)
    bead = Bead.objects.filter(pk=bead_id).first() if bead_id else None
    if bead is not None:
        bead.project = project
    sha = workflow
    if not sha:
        (sha,) = graphs_pin(graphs=[_chosen(project, bead).graph]).values()
    name = WorkflowContent.objects.get(pk=sha).content["name"]
    execution = _new_execution(project, bead, name, sha, _definition(project, name, sha), timezone.now())
    execution.run_id = current().run.pk
    execution.save(force_insert=True)
    emit_all([_started_fact(execution)])
    return _begun(execution, entered=None)


def _new_execution(
    project: Project,
    bead: Bead | None,
    name: str,
    sha: str,
    definition: WorkflowDefinition | None,
    now: datetime,
) -> WorkflowExecution:
    return WorkflowExecution(
        project=project,
        bead=bead,
        name=name,
        content_id=sha,
        definition=definition,
        started_at=now,
        last_node_at=now,
    )


def _started_fact(execution: WorkflowExecution) -> Fact:
    return _fact(
        execution, "workflow.started", workflow_id=_workflow_id(execution), content=execution.content_id
    )


def _begun(execution: WorkflowExecution, *, entered: datetime | None) -> dict[str, Any]:
    """What a walk has to know; `entered` is when its first node was, if it was."""
    return {
        "execution": execution.pk,
        "workflow": execution.content_id,
        "labels": [str(one) for one in execution.bead.labels] if execution.bead else [],
        "entered": entered.isoformat() if entered else None,
    }


def _chosen(project: Project, bead: Bead | None) -> Found:
    workflows = workflows_of(project)
    return workflow_for(bead, workflows) if bead is not None else workflows[BOOTSTRAP]


def _definition(project: Project, name: str, sha: str) -> WorkflowDefinition | None:
    return next(iter(_DEFINITION(project.organization_id, project.pk, name, sha, limit=1)), None)


def node_enter(
    *,
    execution_id: int,
    key: str,
    kind: str,
    attempt: int,
    cycles: int,
    left: dict[str, Any] | None,
    stage: str,
) -> dict[str, Any]:
    """The walk is at this node now, and how it left the one before. A database step."""
    execution, now = _execution(execution_id), timezone.now()
    if left is not None:
        _history_add(execution, left)
    WorkflowExecution.objects.filter(pk=execution_id).update(
        current_node=key,
        node_attempt_count=attempt,
        cycle_count=cycles,
        status=WorkflowExecution.Status.ACTIVE,
        last_node_at=now,
        updated_at=now,
    )
    if execution.bead is not None and stage:
        bead_stage(bead=execution.bead, stage=stage)
    came = {"from_node": left["key"], "condition": left["condition"]} if left else {}
    _tell(execution, "workflow.node", node=key, node_type=kind, attempt=attempt, cycle_count=cycles, **came)
    return {"at": now.isoformat()}


def _history_add(execution: WorkflowExecution, left: dict[str, Any]) -> None:
    session_id = left.get("session") or 0
    agent_id = Session.objects.filter(pk=session_id).values_list("agent_id", flat=True).first()
    WorkflowHistory.objects.create(
        execution=execution,
        number=left["number"],
        node_key=left["key"],
        agent_id=agent_id,
        condition=left["condition"],
        result_data={"detail": left.get("detail", "")[:RESULT_CHARS], **left.get("data", {})},
        attempt_number=left["attempt"],
    )


def execution_escalate(*, execution_id: int, key: str, why: str, attempts: int, to: str) -> None:
    """The node is given up: `to` follows, or a person where that is empty. A database step."""
    execution, now = _execution(execution_id), timezone.now()
    WorkflowExecution.objects.filter(pk=execution_id).update(
        status=WorkflowExecution.Status.ESCALATED, escalated_at=now, updated_at=now
    )
    _tell(execution, "workflow.escalated", node=key, reason=why[:500], attempts=attempts, to=to or "a person")


def execution_end(*, execution_id: int, status: str, left: dict[str, Any] | None = None) -> None:
    """The walk is over; a second call changes nothing. A database step."""
    execution, now = _execution(execution_id), timezone.now()
    ended = move(
        WorkflowExecution.objects.filter(pk=execution_id),
        to=status,
        allowed=set(WorkflowExecution.OPEN),
        completed_at=now,
        last_node_at=now,
    )
    if ended:
        if left is not None:
            _history_add(execution, left)
        _tell(execution, "workflow.completed", status=status, cycle_count=execution.cycle_count)


def execution_show(*, run_id: int, is_blocked: bool) -> None:
    """Whether the walk waits for a person just now."""
    to, was = WorkflowExecution.Status.BLOCKED, WorkflowExecution.Status.ACTIVE
    if not is_blocked:
        to, was = was, to
    move(WorkflowExecution.objects.filter(run_id=run_id), to=to, allowed={was})


def _execution(execution_id: int) -> WorkflowExecution:
    rows = WorkflowExecution.objects.select_related("project", "bead__project", "definition")
    return rows.defer("project__prd", "bead__project__prd").get(pk=execution_id)


def _workflow_id(execution: WorkflowExecution) -> str:
    return f"wf-{execution.definition_id or execution.name}"


def _tell(execution: WorkflowExecution, kind: str, **data: Any) -> None:
    emit_all([_fact(execution, kind, **data)])


def _fact(execution: WorkflowExecution, kind: str, **data: Any) -> Fact:
    return Fact(
        kind,
        organization_id=execution.project.organization_id,
        project_id=execution.project_id,
        bead_id=execution.bead_id,
        subject=f"bead:{execution.bead.key}" if execution.bead else f"project:{execution.project.slug}",
        actor="loom",
        data={"workflow": execution.name, "execution_id": execution.pk, **data},
    )
