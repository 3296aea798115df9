"""Reading executions: what the API and the admin show of walks through workflows."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Avg, Count, Max, Q, QuerySet

from apps.workflows.graph_library import Found, pinned
from apps.workflows.models import WorkflowExecution, WorkflowHistory
from apps.workflows.transfer import node_body, workflow_body

RECENT = 10
SHOWN = {
    "id", "bead_id", "workflow_id", "workflow_name", "current_node_key", "status", "cycle_count",
    "started_at",
}  # fmt: skip
HISTORY = 500


def workflow_of(execution: WorkflowExecution) -> Found:
    """The graph an execution goes through, as it was when it began."""
    return Found(pinned(execution.content_id), definition=execution.definition)


def execution_body(execution: WorkflowExecution) -> dict[str, Any]:
    row = execution
    return {
        "id": f"wfex-{row.pk}",
        "workflow_id": f"wf-{row.definition_id or row.name}",
        "workflow_name": row.name,
        "workflow_sha256": row.content_id,
        "run_id": row.run_id,
        "bead_id": row.bead.key if row.bead is not None else None,
        "project_id": row.project_id,
        "current_node_key": row.current_node,
        "status": row.status,
        "cycle_count": row.cycle_count,
        "node_attempt_count": row.node_attempt_count,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "escalated_at": row.escalated_at,
        "last_node_at": row.last_node_at,
    }


def history_bodies(execution: WorkflowExecution) -> list[dict[str, Any]]:
    return [_history_body(row) for row in execution.history.order_by("number")[:HISTORY]]


def _history_body(row: WorkflowHistory) -> dict[str, Any]:
    return {
        "id": f"wfhist-{row.pk}",
        "execution_id": f"wfex-{row.execution_id}",
        "node_key": row.node_key,
        "agent_id": row.agent_id,
        "condition": row.condition,
        "result_data": row.result_data,
        "attempt_number": row.attempt_number,
        "created_at": row.created_at,
    }


def bead_workflow(execution: WorkflowExecution) -> dict[str, Any]:
    """Where a bead is in its workflow, and how it came there."""
    found = workflow_of(execution)
    workflow, key = workflow_body(found), execution.current_node
    is_there = execution.completed_at is None and key in found.graph.nodes
    return {
        "bead_id": execution.bead.key if execution.bead is not None else None,
        "workflow": workflow,
        "execution": execution_body(execution),
        "current_node": node_body(workflow["id"], found.graph, key, None) if is_there else None,
        "history": history_bodies(execution),
    }


def analytics(executions: QuerySet[WorkflowExecution]) -> dict[str, Any]:
    """How walks through workflows went, over all that are given."""
    rows = executions.order_by()
    figures = rows.aggregate(
        total=Count("pk"),
        escalated=Count("pk", filter=Q(escalated_at__isnull=False)),
        average=Avg("cycle_count"),
        most=Max("cycle_count"),
    )
    total = figures["total"]
    recent = executions.select_related("bead", "definition").order_by("-started_at", "-id")[:RECENT]
    return {
        "status_counts": _counts(rows, "status"),
        "type_counts": _counts(rows, "name"),
        "average_cycles": round(figures["average"] or 0, 3),
        "max_cycles": figures["most"] or 0,
        "escalation_rate": round(100 * figures["escalated"] / total, 2) if total else 0.0,
        "total_executions": total,
        "escalated_count": figures["escalated"],
        "node_outcomes": _outcomes(rows),
        "recent_executions": [
            {name: value for name, value in execution_body(row).items() if name in SHOWN} for row in recent
        ],
    }


def _counts(rows: QuerySet[WorkflowExecution], column: str) -> dict[str, int]:
    return dict(rows.values_list(column).annotate(number=Count("pk")).order_by(column))


def _outcomes(rows: QuerySet[WorkflowExecution]) -> dict[str, dict[str, int]]:
    """How often each node ended in which way: where work is sent back from."""
    visits = WorkflowHistory.objects.filter(execution__in=rows).order_by()
    found: dict[str, Counter[str]] = {}
    for name, key, condition, number in visits.values_list(
        "execution__name", "node_key", "condition"
    ).annotate(number=Count("pk")):
        found.setdefault(f"{name}.{key}", Counter())[condition] += number
    return {key: dict(counts) for key, counts in sorted(found.items())}
