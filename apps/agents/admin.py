"""Admin pages of personas, agents and what they did; a bead's page gets its proof and sessions here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.agents.learning_admin import LessonAdmin
from apps.agents.lifecycle import agent_pause, agent_resume, agent_retire, agent_stop
from apps.agents.memory_models import Compaction, Output
from apps.agents.merging_admin import Commits, MergeRequestAdmin
from apps.agents.models import (
    Agent,
    Claim,
    Evidence,
    Message,
    Review,
    Session,
    Turn,
)
from apps.agents.persona_admin import PersonaAdmin
from apps.agents.team_admin import OrgChartAdmin
from apps.beads.admin import BEAD_INLINES
from apps.core.admin import (
    BY_PROJECT,
    HistoryAdmin,
    HistoryInline,
    actor_of,
    linked,
    shown_json,
    shown_money,
    shown_text,
)
from apps.core.asking_admin import asks

__all__ = [
    "LessonAdmin",
    "MergeRequestAdmin",
    "OrgChartAdmin",
    "PersonaAdmin",
]  # registered by being imported


class Costs:
    """Columns for rows that cost something."""

    @admin.display(description="cost", ordering="cost_microusd")
    def cost(self, row: Any) -> str:
        return shown_money(row.cost_microusd)

    @admin.display(description="tokens")
    def tokens(self, row: Any) -> str:
        return f"{row.prompt_tokens:,} in, {row.completion_tokens:,} out"


class SessionInline(Costs, HistoryInline):
    model = Session
    fields = ["agent", "kind", "status", "reason", "turn_count", "tokens", "cost", "created_at", "ended_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("agent").defer("opening")


@admin.register(Agent)
class AgentAdmin(HistoryAdmin):
    list_display = [
        "name",
        "project_link",
        "role",
        "status",
        "doing_link",
        "current_action",
        "last_active_at",
    ]
    list_filter = ["status", "role", BY_PROJECT]
    search_fields = ["name", "role", "project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "persona", "current_bead"]
    inlines = [SessionInline]
    actions: list[Any] = ["pause_agents", "resume_agents", "stop_agents", "hand_over_agents", "retire_agents"]
    doing_link = linked("current_bead_id", "beads_bead")

    def view_on_site(self, obj: Agent) -> str:
        return f"{reverse('agents')}?project={obj.project_id}"

    def offered_actions(self, obj: Agent) -> Iterable[str]:
        gone = ["retire_agents"] if obj.retired_at is None else []
        if obj.status in {Agent.Status.PAUSED, Agent.Status.STOPPED}:
            return ["resume_agents", *gone]
        busy = obj.status != Agent.Status.IDLE
        return ["pause_agents", "stop_agents", *(["hand_over_agents"] if busy else []), *gone]

    def _tell_each(
        self, request: HttpRequest, agents: QuerySet[Agent], service: Callable[..., object], done: str
    ) -> None:
        actor = actor_of(request)
        self.apply_each(request, agents, lambda agent: service(agent_id=agent.pk, actor=actor), done)

    @admin.action(description="Pause selected agents", permissions=["operate"])
    def pause_agents(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._tell_each(request, queryset, agent_pause, "paused")

    @admin.action(description="Resume selected agents", permissions=["operate"])
    def resume_agents(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._tell_each(request, queryset, agent_resume, "resumed")

    @admin.action(description="Stop selected agents when they are done", permissions=["operate"])
    def stop_agents(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._tell_each(request, queryset, agent_stop, "stopped")

    @asks(
        "Stop selected agents and hand over",
        what="Each stops after the turn in hand, takes no more work, and somebody else goes on with"
        " its session.",
    )
    def hand_over_agents(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._tell_each(request, queryset, partial(agent_stop, hand_over=True), "stopped")

    @asks(
        "Retire selected agents",
        what="Each leaves the team for good and hands over what it has in hand. Its history stays.",
    )
    def retire_agents(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._tell_each(request, queryset, agent_retire, "retired")


class TurnInline(Costs, HistoryInline):
    model = Turn
    fields = ["number", "model", "did", "error", "tokens", "cost", "latency_ms", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("reply", "results")

    @admin.display(description="actions")
    def did(self, turn: Turn) -> str:
        return ", ".join(action.get("name", "?") for action in turn.actions) or "-"


class CompactionInline(HistoryInline):
    model = Compaction
    show_change_link = False
    fields = ["up_to", "summary", "by_model", "tokens_before", "tokens_after", "created_at"]


@admin.register(Session)
class SessionAdmin(Costs, HistoryAdmin):
    list_display = [
        "id", "kind", "agent_link", "bead_link", "status", "reason", "turn_count", "tokens", "cost",
        "created_at",
    ]  # fmt: skip
    list_display_links = ["id", "kind"]
    list_filter = ["kind", "status", "reason", BY_PROJECT]
    search_fields = ["bead__key", "bead__title", "agent__name", "reason_detail"]
    date_hierarchy = "created_at"
    list_select_related = ["agent", "bead", "project"]
    inlines = [TurnInline, CompactionInline]
    fields = [
        "project", "bead", "agent", "kind", "status", "reason", "reason_detail", "turn_count", "tokens",
        "cost", "base_commit", "head_commit", "decision_link", "native_tools", "origin", "opening_shown",
        "actions_shown", "created_at", "ended_at",
    ]  # fmt: skip

    def view_on_site(self, obj: Session) -> str:
        return reverse("session", args=[obj.pk])

    @admin.display(description="first messages")
    def opening_shown(self, session: Session) -> str:
        return shown_text("\n\n".join(str(message.get("content", "")) for message in session.opening))

    @admin.display(description="allowed actions")
    def actions_shown(self, session: Session) -> str:
        return ", ".join(session.actions) or "-"


@admin.register(Turn)
class TurnAdmin(Costs, HistoryAdmin):
    organization_path = "session__project__organization_id"
    list_display = [
        "id",
        "session_link",
        "number",
        "model",
        "error",
        "tokens",
        "cost",
        "latency_ms",
        "created_at",
    ]
    list_filter = ["model", ("error", admin.EmptyFieldListFilter)]
    search_fields = ["session__bead__key", "session__agent__name", "error"]
    date_hierarchy = "created_at"
    list_select_related = ["session"]
    ordering = ["-id"]
    fields = [
        "session", "number", "notes", "error", "actions_shown", "outcome_shown", "results_shown",
        "reply_shown", "commit", "model", "call_link", "tokens", "cost", "latency_ms", "created_at",
        "acted_at",
    ]  # fmt: skip

    def view_on_site(self, obj: Turn) -> str:
        return reverse("session", args=[obj.session_id])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("reply", "results")

    @admin.display(description="actions")
    def actions_shown(self, turn: Turn) -> str:
        return shown_json(turn.actions)

    @admin.display(description="outcome")
    def outcome_shown(self, turn: Turn) -> str:
        return shown_json(turn.outcome)

    @admin.display(description="results")
    def results_shown(self, turn: Turn) -> str:
        return shown_json(turn.results)

    @admin.display(description="reply")
    def reply_shown(self, turn: Turn) -> str:
        return shown_text(turn.reply)


class OfBeadAdmin(Commits, HistoryAdmin):
    organization_path = "bead__project__organization_id"
    search_fields = ["bead__key", "bead__title", "commit"]
    date_hierarchy = "created_at"
    ordering = ["-id"]

    def view_on_site(self, obj: Any) -> str:
        return reverse("bead-evidence", args=[obj.bead.key])


class EvidenceInline(Commits, HistoryInline):
    model = Evidence
    fields = [
        "kind", "check_name", "passed", "exit_code", "flags_shown", "commit_short", "duration_ms",
        "created_at",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("output")

    @admin.display(description="flags")
    def flags_shown(self, evidence: Evidence) -> str:
        return "; ".join(f"{flag.get('path')}: {flag.get('what')}" for flag in evidence.flags) or "-"


class ReviewInline(HistoryInline):
    model = Review
    fields = ["verdict", "comments", "criteria_shown", "created_at"]

    @admin.display(description="criteria")
    def criteria_shown(self, review: Review) -> str:
        return shown_json(review.criteria)


class ClaimInline(Commits, HistoryInline):
    model = Claim
    fields = ["number", "summary", "commit_short", "created_at"]


@admin.register(Claim)
class ClaimAdmin(OfBeadAdmin):
    list_display = ["id", "bead_link", "number", "summary", "commit_short", "created_at"]
    list_select_related = ["bead", "session"]
    inlines = [EvidenceInline, ReviewInline]


@admin.register(Evidence)
class EvidenceAdmin(OfBeadAdmin):
    list_display = [
        "id",
        "bead_link",
        "kind",
        "check_name",
        "passed",
        "exit_code",
        "commit_short",
        "created_at",
    ]
    list_filter = ["passed", "kind", "check_name"]
    list_select_related = ["bead", "claim"]
    fields = [
        "bead", "claim", "kind", "check_name", "command", "exit_code", "passed", "counts", "flags",
        "output_shown", "commit", "tree", "sandbox", "duration_ms", "created_at",
    ]  # fmt: skip

    @admin.display(description="output")
    def output_shown(self, evidence: Evidence) -> str:
        return shown_text(evidence.output)


@admin.register(Review)
class ReviewAdmin(OfBeadAdmin):
    list_display = ["id", "bead_link", "verdict", "comments", "created_at"]
    list_filter = ["verdict"]
    search_fields = ["bead__key", "bead__title", "comments"]
    list_select_related = ["bead", "claim", "session"]


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    list_display = ["id", "project_link", "session_link", "to_role", "subject", "created_at"]
    list_filter = ["to_role", BY_PROJECT]
    search_fields = ["subject", "body"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "session"]
    ordering = ["-id"]


BEAD_INLINES += [ClaimInline, EvidenceInline, ReviewInline, SessionInline]


class OfSessionAdmin(HistoryAdmin):
    list_select_related = ["session"]
    search_fields = ["session__bead__key", "session__agent__name", "=session__id"]
    ordering = ["-id"]

    def view_on_site(self, obj: Any) -> str:
        return reverse("session", args=[obj.session_id])


@admin.register(Compaction)
class CompactionAdmin(OfSessionAdmin):
    """What long conversations were shortened to."""

    list_display = [
        "id", "session_link", "up_to", "after_turn", "by_model", "tokens_before", "tokens_after",
        "created_at",
    ]  # fmt: skip
    list_filter = ["by_model", ("session__project", admin.RelatedOnlyFieldListFilter)]
    date_hierarchy = "created_at"
    fields = [
        "session", "up_to", "after_turn", "by_model", "call_link", "tokens_before", "tokens_after",
        "created_at", "summary_shown", "text_shown",
    ]  # fmt: skip

    @admin.display(description="summary")
    def summary_shown(self, row: Compaction) -> str:
        return shown_text(row.summary)

    @admin.display(description="in the prompt")
    def text_shown(self, row: Compaction) -> str:
        return shown_text(row.text)


@admin.register(Output)
class OutputAdmin(OfSessionAdmin):
    """Outputs of actions of which the model was shown only parts."""

    list_display = ["id", "session_link", "turn", "number"]
    list_filter = [("session__project", admin.RelatedOnlyFieldListFilter)]
    fields = ["session", "turn", "number", "text_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("text")

    @admin.display(description="text")
    def text_shown(self, row: Output) -> str:
        return shown_text(row.text)
