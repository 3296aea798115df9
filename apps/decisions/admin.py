"""Admin pages of decisions, with the form that answers one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.beads.admin import BEAD_INLINES
from apps.core.admin import HistoryAdmin, HistoryInline, actor_of, admin_url, shown_json, shown_text
from apps.core.asking_admin import asks
from apps.core.errors import Conflict, LoomError
from apps.decisions.deadlines import decision_escalate
from apps.decisions.forms import AnswerForm
from apps.decisions.models import ChatGateway, Decision, Vote
from apps.decisions.services import answer_give, decision_cancel
from apps.decisions.settling import already_closed
from apps.decisions.tally import tally_of


class VoteInline(HistoryInline):
    model = Vote
    fields = ["voter", "choice", "confidence", "rationale", "updated_at"]


@admin.register(Decision)
class DecisionAdmin(HistoryAdmin):
    list_display = [
        "id",
        "question",
        "project_link",
        "kind",
        "priority",
        "status",
        "needs_person",
        "escalated_to",
        "deadline",
        "choice",
        "decider",
    ]
    list_display_links = ["id", "question"]
    list_filter = [
        "status",
        "kind",
        "priority",
        "needs_person",
        "escalated_to",
        "decided_by",
        ("project", admin.RelatedOnlyFieldListFilter),
    ]
    search_fields = ["question", "choice", "requester", "decider", "bead__key"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "bead"]
    actions = ["escalate", "withdraw"]
    inlines = [VoteInline]
    fields = [
        "question",
        "status",
        "priority",
        "project",
        "bead_link",
        "kind",
        "requester",
        "context_shown",
        "options_shown",
        "recommendation",
        "asked_of",
        "needs_person",
        "escalated_to",
        "deadline",
        "answer_within",
        "default_choice",
        "lapses",
        "voters",
        "threshold",
        "tally_shown",
        "choice",
        "rationale",
        "decider",
        "decided_by",
        "decided_at",
        "run_link",
        "created_at",
    ]

    def view_on_site(self, obj: Decision) -> str:
        return reverse("decision", args=[obj.pk])

    @admin.display(description="context")
    def context_shown(self, decision: Decision) -> str:
        return shown_text(decision.context)

    @admin.display(description="options")
    def options_shown(self, decision: Decision) -> str:
        return shown_json(decision.options)

    @admin.display(description="votes so far")
    def tally_shown(self, decision: Decision) -> str:
        return tally_of(decision).words() if decision.voters else "-"

    def offered_actions(self, obj: Decision) -> Iterable[str]:
        if obj.status == Decision.Status.OPEN:
            yield "withdraw"
            if obj.escalated_to != Decision.Rung.CEO:
                yield "escalate"

    @admin.action(description="Pass on selected decisions", permissions=["operate"])
    def escalate(self, request: HttpRequest, queryset: QuerySet[Decision]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request,
            queryset,
            lambda decision: _pass_on(decision, actor),
            "passed on to the next who may answer",
        )

    @asks(
        "Withdraw selected decisions",
        what="Nobody is asked any more, and no answer is given: the work that waits for one goes on"
        " without it.",
    )
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Decision]) -> None:
        actor = actor_of(request)
        self.apply_each(request, queryset, lambda decision: _withdraw(decision, actor), "withdrawn")

    def offered_links(self, obj: Decision) -> Iterable[tuple[str, str]]:
        if obj.status == Decision.Status.OPEN:
            yield reverse("admin:decisions_decision_answer", args=[obj.pk]), "Answer"

    def get_urls(self) -> list[URLPattern]:
        answer = path(
            "<int:decision_id>/answer/",
            self.admin_site.admin_view(self.answer_view),
            name="decisions_decision_answer",
        )
        return [answer, *super().get_urls()]

    def answer_view(self, request: HttpRequest, decision_id: int) -> HttpResponse:
        decision = self.get_queryset(request).filter(pk=decision_id).first()
        if decision is None or not self.has_operate_permission(request):
            raise Http404
        form = AnswerForm(request.POST or None, decision=decision)
        if request.method == "POST" and form.is_valid():
            try:
                said = answer_give(decision=decision, person=actor_of(request), **form.answer())
            except LoomError as error:
                self.message_user(request, error.told, messages.ERROR)
            else:
                self.message_user(request, said, messages.SUCCESS)
            return HttpResponseRedirect(admin_url(decision))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Answer a decision",
            "opts": self.opts,
            "original": decision,
            "form": form,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/decisions/decision/answer.html", context)


def _pass_on(decision: Decision, actor: str) -> None:
    if not decision_escalate(decision=decision, reason=f"{actor} passed it on.", actor=actor):
        raise Conflict(
            f"Decision {decision.pk} cannot be passed on: it is {decision.status} or with the CEO."
        )


def _withdraw(decision: Decision, actor: str) -> None:
    if decision.status != Decision.Status.OPEN:
        raise already_closed(decision)
    decision_cancel(decision=decision, actor=actor)


@admin.register(Vote)
class VoteAdmin(HistoryAdmin):
    organization_path = "decision__project__organization_id"
    list_display = ["id", "decision_link", "voter", "choice", "confidence", "updated_at"]
    list_filter = [("decision__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["voter", "choice", "decision__question", "decision__project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["decision"]
    fields = ["decision", "voter", "choice", "confidence", "rationale", "created_at", "updated_at"]


@admin.register(ChatGateway)
class ChatGatewayAdmin(HistoryAdmin):
    organization_path = "project__organization_id"
    list_display = ["id", "project_link", "created_at", "updated_at"]
    list_filter = [("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]
    fields = ["project", "created_at", "updated_at"]


class DecisionInline(HistoryInline):
    model = Decision
    fields = ["question", "status", "choice", "decider", "deadline"]


BEAD_INLINES.append(DecisionInline)
