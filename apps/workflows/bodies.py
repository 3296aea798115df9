"""Bodies of the API of workflows, runs and projects at work, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.core.api_schema import one_of
from apps.decisions.api import DecisionBody
from apps.workflows.models import WorkflowExecution


class WorkflowNodeBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    workflow_id = serializers.CharField()
    node_key = serializers.CharField()
    node_type = serializers.CharField()
    role_required = serializers.CharField(allow_blank=True)
    persona_hint = serializers.CharField(allow_blank=True)
    max_attempts = serializers.IntegerField()
    timeout_minutes = serializers.FloatField(help_text="0: none.")
    instructions = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField(help_text="What only nodes of this type have.")
    created_at = serializers.DateTimeField(allow_null=True)


class WorkflowEdgeBody(serializers.Serializer[Any]):
    """From and to an empty key: the start and the end."""

    id = serializers.CharField()
    workflow_id = serializers.CharField()
    from_node_key = serializers.CharField(allow_blank=True)
    to_node_key = serializers.CharField(allow_blank=True)
    condition = serializers.CharField()
    priority = serializers.IntegerField()
    labels = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField(allow_null=True)


class WorkflowBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    workflow_type = serializers.CharField()
    subject = serializers.CharField(allow_blank=True)
    is_default = serializers.BooleanField()
    is_built_in = serializers.BooleanField()
    organization_id = serializers.IntegerField(allow_null=True)
    project_id = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField()
    sha256 = serializers.CharField(allow_blank=True)
    match = serializers.ListField(child=serializers.DictField(), help_text="Which beads it is for.")
    start = serializers.CharField(allow_blank=True)
    max_cycles = serializers.IntegerField()
    nodes = WorkflowNodeBody(many=True)
    edges = WorkflowEdgeBody(many=True)
    created_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    problem = serializers.CharField(
        required=False, help_text="In lists: why this version of Loom cannot read it; all else is empty then."
    )


class WorkflowPageBody(serializers.Serializer[Any]):
    workflows = WorkflowBody(many=True)
    count = serializers.IntegerField(help_text="Of all pages.")


class ProblemBody(serializers.Serializer[Any]):
    place = serializers.CharField(allow_blank=True, help_text="A node, an edge or a field.")
    message = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)


class CheckedBody(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    problems = ProblemBody(many=True)


class ExecutionShortBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    workflow_id = serializers.CharField()
    workflow_name = serializers.CharField()
    bead_id = serializers.CharField(allow_null=True)
    current_node_key = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(WorkflowExecution.Status.choices)
    cycle_count = serializers.IntegerField()
    started_at = serializers.DateTimeField()


class ExecutionBody(ExecutionShortBody):
    workflow_sha256 = serializers.CharField()
    run_id = serializers.IntegerField(allow_null=True)
    project_id = serializers.IntegerField()
    node_attempt_count = serializers.IntegerField()
    completed_at = serializers.DateTimeField(allow_null=True)
    escalated_at = serializers.DateTimeField(allow_null=True)
    last_node_at = serializers.DateTimeField()


class VisitBody(serializers.Serializer[Any]):
    """A visit to a node and how it ended."""

    id = serializers.CharField()
    execution_id = serializers.CharField()
    node_key = serializers.CharField()
    agent_id = serializers.IntegerField(allow_null=True)
    condition = serializers.CharField()
    result_data = serializers.DictField(help_text="What came of it, as nodes of its type tell it.")
    attempt_number = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class WholeExecutionBody(serializers.Serializer[Any]):
    execution = ExecutionBody()
    history = VisitBody(many=True)


class WorkflowFiguresBody(serializers.Serializer[Any]):
    status_counts = serializers.DictField(child=serializers.IntegerField())
    type_counts = serializers.DictField(child=serializers.IntegerField())
    average_cycles = serializers.FloatField()
    max_cycles = serializers.IntegerField()
    escalation_rate = serializers.FloatField(help_text="Percent.")
    total_executions = serializers.IntegerField()
    escalated_count = serializers.IntegerField()
    node_outcomes = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="By node: how often it ended in which way.",
    )
    recent_executions = ExecutionShortBody(many=True)


class BeadWorkflowBody(serializers.Serializer[Any]):
    """Where a bead is in its workflow; of one that has begun none, only `message`."""

    bead_id = serializers.CharField(allow_null=True)
    message = serializers.CharField(required=False)
    workflow = WorkflowBody(required=False)
    execution = ExecutionBody(required=False)
    current_node = WorkflowNodeBody(required=False, allow_null=True)
    history = VisitBody(many=True, required=False)


EXECUTIONS = one_of(ExecutionBody(many=True), WholeExecutionBody, name="Executions")


# -- runs -------------------------------------------------------------------------------------------


class TimelineRunBody(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    key = serializers.CharField()
    flow = serializers.CharField()
    version = serializers.IntegerField()
    generation = serializers.IntegerField()
    status = serializers.CharField()
    error = serializers.CharField(allow_blank=True)
    waits_for = serializers.CharField(allow_blank=True)
    wake_at = serializers.DateTimeField(allow_null=True)
    attempts = serializers.IntegerField()
    cancel_requested = serializers.BooleanField()
    pause_requested = serializers.BooleanField()
    parent_id = serializers.IntegerField(allow_null=True)
    project_id = serializers.IntegerField(allow_null=True)
    bead_id = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField()


class TimelineEntryBody(serializers.Serializer[Any]):
    """A step, a signal, a run that it began or an event; each has the fields of its type."""

    type = serializers.ChoiceField(["step", "signal", "child", "event"])
    name = serializers.CharField()
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(["step", "sleep", "wait", "join", "start"], required=False)
    seq = serializers.IntegerField(required=False)
    id = serializers.IntegerField(required=False)
    flow = serializers.CharField(required=False)
    ended_at = serializers.DateTimeField(required=False, allow_null=True)
    duration_ms = serializers.IntegerField(required=False)
    status = serializers.CharField(required=False)
    attempt = serializers.IntegerField(required=False)
    attempts = serializers.IntegerField(required=False)
    policy = serializers.DictField(required=False, allow_null=True, help_text="How it is tried again.")
    failures = serializers.ListField(child=serializers.JSONField(), required=False)
    wake_at = serializers.DateTimeField(required=False, allow_null=True)
    output = serializers.JSONField(required=False, allow_null=True)
    error = serializers.JSONField(
        required=False, allow_null=True, help_text="Of a step `{code, message, hint}`, of a run its text."
    )
    actor = serializers.CharField(required=False, allow_blank=True)
    data = serializers.JSONField(required=False, allow_null=True)  # type: ignore[assignment]
    taken_at = serializers.DateTimeField(required=False, allow_null=True)
    taken_by = serializers.IntegerField(required=False, allow_null=True)


class TimelineBody(serializers.Serializer[Any]):
    run = TimelineRunBody()
    entries = TimelineEntryBody(many=True)
    older = serializers.IntegerField(allow_null=True, help_text="What to give as `before` for earlier steps.")


# -- projects and beads at work -----------------------------------------------------------------------


class BegunBody(serializers.Serializer[Any]):
    project_id = serializers.CharField()
    status = serializers.ChoiceField(["ready", "fetching"])
    run_id = serializers.CharField()


class ClosingBody(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["decision_required"])
    message = serializers.CharField()
    decision_bead = DecisionBody()


class ProjectStateBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    is_perpetual = serializers.BooleanField()
    is_sticky = serializers.BooleanField()
    open_beads = serializers.IntegerField()
    can_close = serializers.BooleanField()
    readiness_ok = serializers.BooleanField()
    readiness_issues = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    comments_count = serializers.IntegerField()


class ClaimedBody(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["claimed"])
