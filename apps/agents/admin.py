"""Admin pages of personas, agents and what they did; a bead's page gets its proof and sessions here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from apps.agents.lifecycle import agent_pause, agent_resume, agent_stop
from apps.agents.models import (
    Agent,
    Claim,
    Evidence,
    MergeRequest,
    Message,
    Note,
    Persona,
    Review,
    Session,
    Trouble,
    TroubleStop,
    Turn,
)
from apps.beads.admin import BEAD_INLINES
from apps.core.admin import HistoryAdmin, HistoryInline, actor_of, shown_json, shown_money, shown_text

BY_PROJECT = ("project", admin.RelatedOnlyFieldListFilter)


class Costs:
    """Columns for rows that cost something."""

    @admin.display(description="cost", ordering="cost_microusd")
    def cost(self, row: Any) -> str:
        return shown_money(row.cost_microusd)

    @admin.display(description="tokens")
    def tokens(self, row: Any) -> str:
        return f"{row.prompt_tokens:,} in, {row.completion_tokens:,} out"


class Commits:
    @admin.display(description="commit", ordering="commit")
    def commit_short(self, row: Any) -> str:
        return row.commit[:10] or "-"


@admin.register(Persona)
class PersonaAdmin(HistoryAdmin):
    """All tenants share the personas; the files are the truth."""

    list_display = ["name", "role", "description", "agent_count", "updated_at"]
    search_fields = ["name", "role", "description"]
    date_hierarchy = "updated_at"
    fields = ["name", "role", "description", "body_shown", "metadata_shown", "sha256", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = Agent.objects.for_user(request.user).values("persona").annotate(count=Count("pk"))
        own = visible.filter(persona=OuterRef("pk")).values("count")
        return Persona.objects.annotate(agent_count=Coalesce(Subquery(own), 0))

    @admin.display(description="agents", ordering="agent_count")
    def agent_count(self, persona: Any) -> int:
        return int(persona.agent_count)

    @admin.display(description="body")
    def body_shown(self, persona: Persona) -> str:
        return shown_text(persona.body)

    @admin.display(description="metadata")
    def metadata_shown(self, persona: Persona) -> str:
        return shown_json(persona.metadata)


class SessionInline(Costs, HistoryInline):
    model = Session
    fields = ["agent", "kind", "status", "reason", "turn_count", "tokens", "cost", "created_at", "ended_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("agent").defer("opening")


@admin.register(Agent)
class AgentAdmin(HistoryAdmin):
    list_display = ["name", "project", "role", "status", "current_bead", "current_action", "last_active_at"]
    list_filter = ["status", "role", BY_PROJECT]
    search_fields = ["name", "role", "project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "persona", "current_bead"]
    inlines = [SessionInline]
    actions: list[Any] = ["pause_agents", "resume_agents", "stop_agents", "hand_over_agents"]

    def offered_actions(self, obj: Agent) -> Iterable[str]:
        if obj.status in {Agent.Status.PAUSED, Agent.Status.STOPPED}:
            return ["resume_agents"]
        busy = obj.status != Agent.Status.IDLE
        return ["pause_agents", "stop_agents", *(["hand_over_agents"] if busy else [])]

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

    @admin.action(description="Stop selected agents and hand over", permissions=["operate"])
    def hand_over_agents(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._tell_each(request, queryset, partial(agent_stop, hand_over=True), "stopped")


class TurnInline(Costs, HistoryInline):
    model = Turn
    fields = ["number", "model", "did", "error", "tokens", "cost", "latency_ms", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("reply", "results")

    @admin.display(description="actions")
    def did(self, turn: Turn) -> str:
        return ", ".join(action.get("name", "?") for action in turn.actions) or "-"


@admin.register(Session)
class SessionAdmin(Costs, HistoryAdmin):
    list_display = [
        "id",
        "kind",
        "agent",
        "bead",
        "status",
        "reason",
        "turn_count",
        "tokens",
        "cost",
        "created_at",
    ]
    list_display_links = ["id", "kind"]
    list_filter = ["kind", "status", "reason", BY_PROJECT]
    search_fields = ["bead__key", "bead__title", "agent__name", "reason_detail"]
    date_hierarchy = "created_at"
    list_select_related = ["agent", "bead", "project"]
    inlines = [TurnInline]
    fields = [
        "project",
        "bead",
        "agent",
        "kind",
        "status",
        "reason",
        "reason_detail",
        "turn_count",
        "tokens",
        "cost",
        "base_commit",
        "head_commit",
        "decision_id",
        "native_tools",
        "origin",
        "opening_shown",
        "actions_shown",
        "created_at",
        "ended_at",
    ]

    @admin.display(description="first messages")
    def opening_shown(self, session: Session) -> str:
        return shown_text("\n\n".join(str(message.get("content", "")) for message in session.opening))

    @admin.display(description="allowed actions")
    def actions_shown(self, session: Session) -> str:
        return ", ".join(session.actions) or "-"


@admin.register(Turn)
class TurnAdmin(Costs, HistoryAdmin):
    organization_path = "session__project__organization_id"
    list_display = ["id", "session", "number", "model", "error", "tokens", "cost", "latency_ms", "created_at"]
    list_filter = ["model", ("error", admin.EmptyFieldListFilter)]
    search_fields = ["session__bead__key", "session__agent__name", "error"]
    date_hierarchy = "created_at"
    list_select_related = ["session"]
    ordering = ["-id"]
    fields = [
        "session",
        "number",
        "notes",
        "error",
        "actions_shown",
        "outcome_shown",
        "results_shown",
        "reply_shown",
        "commit",
        "model",
        "call_id",
        "tokens",
        "cost",
        "latency_ms",
        "created_at",
        "acted_at",
    ]

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


class EvidenceInline(Commits, HistoryInline):
    model = Evidence
    fields = [
        "kind",
        "check_name",
        "passed",
        "exit_code",
        "flags_shown",
        "commit_short",
        "duration_ms",
        "created_at",
    ]

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
    list_display = ["id", "bead", "number", "summary", "commit_short", "created_at"]
    list_select_related = ["bead", "session"]
    inlines = [EvidenceInline, ReviewInline]


@admin.register(Evidence)
class EvidenceAdmin(OfBeadAdmin):
    list_display = ["id", "bead", "kind", "check_name", "passed", "exit_code", "commit_short", "created_at"]
    list_filter = ["passed", "kind", "check_name"]
    list_select_related = ["bead", "claim"]
    fields = [
        "bead",
        "claim",
        "kind",
        "check_name",
        "command",
        "exit_code",
        "passed",
        "counts",
        "flags",
        "output_shown",
        "commit",
        "tree",
        "sandbox",
        "duration_ms",
        "created_at",
    ]

    @admin.display(description="output")
    def output_shown(self, evidence: Evidence) -> str:
        return shown_text(evidence.output)


@admin.register(Review)
class ReviewAdmin(OfBeadAdmin):
    list_display = ["id", "bead", "verdict", "comments", "created_at"]
    list_filter = ["verdict"]
    search_fields = ["bead__key", "bead__title", "comments"]
    list_select_related = ["bead", "claim", "session"]


@admin.register(MergeRequest)
class MergeRequestAdmin(Commits, HistoryAdmin):
    list_display = ["id", "project", "bead", "status", "commit_short", "created_at", "updated_at"]
    list_filter = ["status", BY_PROJECT]
    search_fields = ["bead__key", "bead__title", "commit", "detail"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "bead", "claim"]
    ordering = ["-id"]


class TroubleStopInline(HistoryInline):
    model = TroubleStop
    fields = ["bead", "run_id", "is_first", "is_dead", "told_at", "created_at"]


@admin.register(Trouble)
class TroubleAdmin(HistoryAdmin):
    """Errors that stopped work; the decision settles each for all it stopped."""

    list_display = ["id", "project", "text", "status", "count", "decision_id", "created_at", "solved_at"]
    list_filter = ["status", BY_PROJECT]
    search_fields = ["text", "fingerprint"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]
    inlines = [TroubleStopInline]
    ordering = ["-id"]


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    list_display = ["id", "project", "to_role", "subject", "created_at"]
    list_filter = ["to_role", BY_PROJECT]
    search_fields = ["subject", "body"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "session"]
    ordering = ["-id"]


@admin.register(Note)
class NoteAdmin(HistoryAdmin):
    list_display = ["id", "project", "text", "created_at"]
    list_filter = [BY_PROJECT]
    search_fields = ["text"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "session"]
    ordering = ["-id"]


BEAD_INLINES += [ClaimInline, EvidenceInline, ReviewInline, SessionInline]
