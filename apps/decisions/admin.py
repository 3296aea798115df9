"""Admin pages of decisions, with the form that answers one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.beads.admin import BEAD_INLINES
from apps.core.admin import HistoryAdmin, HistoryInline, actor_of, admin_url, link_to, shown_json, shown_text
from apps.core.errors import LoomError
from apps.decisions.forms import AnswerForm
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide


@admin.register(Decision)
class DecisionAdmin(HistoryAdmin):
    list_display = [
        "id",
        "question",
        "project",
        "kind",
        "status",
        "needs_person",
        "deadline",
        "choice",
        "decider",
    ]
    list_display_links = ["id", "question"]
    list_filter = ["status", "kind", "needs_person", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["question", "choice", "requester", "decider", "bead__key"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "bead"]
    fields = [
        "question",
        "status",
        "project",
        "bead_link",
        "kind",
        "requester",
        "context_shown",
        "options_shown",
        "recommendation",
        "needs_person",
        "deadline",
        "choice",
        "rationale",
        "decider",
        "decided_at",
        "run_id",
        "created_at",
    ]

    @admin.display(description="bead")
    def bead_link(self, decision: Decision) -> str:
        return link_to(decision.bead)

    @admin.display(description="context")
    def context_shown(self, decision: Decision) -> str:
        return shown_text(decision.context)

    @admin.display(description="options")
    def options_shown(self, decision: Decision) -> str:
        return shown_json(decision.options)

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
                decision_decide(decision=decision, decider=actor_of(request), **form.answer())
            except LoomError as error:
                self.message_user(request, f"{error} {error.hint}".strip(), messages.ERROR)
            else:
                self.message_user(request, "Answered; the work goes on.", messages.SUCCESS)
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


class DecisionInline(HistoryInline):
    model = Decision
    fields = ["question", "status", "choice", "decider", "deadline"]


BEAD_INLINES.append(DecisionInline)
