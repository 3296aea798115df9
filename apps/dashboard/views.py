"""The pages: read through queries, answer through services."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.agents.sandbox import sandbox_status
from apps.beads.models import WORKABLE, Bead
from apps.core.errors import LoomError
from apps.dashboard import queries
from apps.decisions.forms import AnswerForm
from apps.decisions.models import Decision
from apps.decisions.services import answer_give
from apps.projects.models import Project

BEADS_PER_PAGE = 200
SEEN = "X-Loom-Seen"

View = Callable[..., HttpResponse]


def page(view: View) -> View:
    """A page behind login. A script that has seen all there is gets 204 instead of the same page again."""

    @never_cache
    @require_safe
    @login_required
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        seen = str(queries.newest_event(request.user))
        if request.headers.get(SEEN) == seen:
            return HttpResponse(status=204)
        return view(request, *args, seen=seen, **kwargs)

    return answer


def frame(request: HttpRequest, seen: str) -> dict[str, Any]:
    """What stands around every page."""
    return {
        "seen": seen,
        "rail_projects": queries.projects_of(request.user),
        "at_work": queries.agents_at_work(request.user),
        "sandbox": sandbox_status(),
    }


@page
def home(request: HttpRequest, *, seen: str) -> HttpResponse:
    context = frame(request, seen)
    cards = queries.project_cards(context["rail_projects"])
    queries.add_bead_lines(cards)
    providers = queries.providers_of(request.user)
    return render(
        request,
        "dashboard/home.html",
        {
            **context,
            "cards": cards,
            "questions": queries.questions_of(request.user),
            "events": queries.event_lines(request.user),
            "spent": sum(card.cost_microusd for card in cards),
            "providers": providers,
            "only_demo": all(provider.is_demo for provider in providers),
            "is_member": request.user.is_superuser or bool(cards) or _is_member(request),
        },
    )


def _is_member(request: HttpRequest) -> bool:
    return bool(request.user.is_authenticated and request.user.memberships.exists())


@page
def project(request: HttpRequest, *, project_id: int, seen: str) -> HttpResponse:
    found = (
        Project.objects.for_user(request.user).select_related("organization").filter(pk=project_id).first()
    )
    if found is None:
        raise Http404
    beads = Bead.objects.filter(project=found, type__in=WORKABLE).select_related("parent")
    beads = (
        beads.prefetch_related("requirements")
        .defer("draft")
        .order_by(F("parent_id").asc(nulls_last=True), "id")
    )
    shown = Paginator(beads, BEADS_PER_PAGE).get_page(request.GET.get("page"))
    lines = queries.bead_lines(list(shown))
    proofs = queries.proofs(lines)
    (card,) = queries.project_cards([found])
    return render(
        request,
        "dashboard/project.html",
        {
            **frame(request, seen),
            "project": found,
            "card": card,
            "lines": lines,
            "beads": shown,
            "proofs": proofs,
            "claimed": {proof.line.bead.pk for proof in proofs},
            "requirements": queries.requirement_counts(found),
            "questions": queries.questions_of(request.user, found),
            "events": queries.event_lines(request.user, found),
        },
    )


@never_cache
@require_POST
@login_required
def decision_answer(request: HttpRequest, *, decision_id: int) -> HttpResponse:
    """Answer an open decision; what is wrong with an answer is said on a page of its own."""
    decision = (
        Decision.objects.for_user(request.user).select_related("project").filter(pk=decision_id).first()
    )
    if decision is None or not _may_answer(request, decision):
        raise Http404
    form = AnswerForm(request.POST, decision=decision)
    if not form.is_valid():
        question = queries.Question(decision, form, may_answer=True)
        seen = str(queries.newest_event(request.user))
        return render(
            request, "dashboard/decision.html", {**frame(request, seen), "question": question}, status=400
        )
    try:
        said = answer_give(decision=decision, person=str(request.user), **form.answer())
    except LoomError as error:
        messages.error(request, f"{error} {error.hint}".strip())
    else:
        messages.success(request, said)
    return HttpResponseRedirect(_back(request))


def _may_answer(request: HttpRequest, decision: Decision) -> bool:
    answering = queries.organizations_answered_by(request.user)
    return request.user.is_superuser or decision.project.organization_id in answering


def _back(request: HttpRequest) -> str:
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if is_ours else reverse("home")
