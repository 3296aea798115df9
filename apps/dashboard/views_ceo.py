"""The chief executive's page: figures, Ask Loom, and beads that wait for a word."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.accounts.models import Organization
from apps.accounts.permissions import permission_holds
from apps.core.errors import LoomError
from apps.core.storable import storable_text
from apps.dashboard import queries, queries_ceo
from apps.dashboard.pages import act, found, number_in, page_told_by, project_found, require, sent, show
from apps.pairing.repl import PERMISSION, loom_ask, questions_of
from apps.pairing.services import exchange_stop


def _newest(request: HttpRequest) -> str:
    return f"{queries.newest_event(request.user)}-{queries_ceo.newest_answer(request.user)}"


@page_told_by(_newest)
def ceo(request: HttpRequest) -> HttpResponse:
    return _show(request)


def _show(request: HttpRequest, trouble: str = "", status: int = 200) -> HttpResponse:
    user: Any = request.user
    answers = queries_ceo.answers(user)
    context = {
        "figures": queries_ceo.figures(user),
        "cards": queries_ceo.projects(user),
        "questions": queries_ceo.before_the_ceo(user),
        "stuck": queries_ceo.stuck(user),
        "answers": answers,
        "is_answering": any(answer.is_open for answer in answers),
        "asks_in": queries_ceo.asks_in(user),
        "may_ask": permission_holds(user, PERMISSION),
        "asked": request.POST.get("text", ""),
        "asked_about": number_in(request.POST.get("project", "")),
        "trouble": trouble,
    }
    return show(request, "dashboard/ceo.html", context, status)


@sent
def ceo_ask(request: HttpRequest) -> HttpResponse:
    """Ask Loom, or give an order; what stands in the way is said above what was typed."""
    user: Any = request.user
    project = number_in(request.POST.get("project", ""))
    about = project_found(request, project) if project else None
    home: Organization = about.organization if about else _home(request)
    require(request, PERMISSION, home.pk, about.pk if about else None)
    text = storable_text(request.POST.get("text", ""))
    try:
        asked = loom_ask(person=user, text=text, organization=home, project=about)
    except LoomError as error:
        return _show(request, error.told, error.status)
    if asked.bead is not None:
        messages.success(request, f"{asked.bead.key} is filed: {asked.bead.title}")
    return HttpResponseRedirect(reverse("ceo"))


def _home(request: HttpRequest) -> Organization:
    mine = queries_ceo.asks_in(request.user)
    wanted = request.POST.get("organization", "")
    row: Organization = found(
        Organization.objects.filter(pk__in=[one.pk for one in mine]),
        slug=storable_text(wanted) if wanted or not mine else mine[0].slug,
    )
    return row


@act
def ceo_stop(request: HttpRequest, *, exchange_id: int) -> str:
    user: Any = request.user
    exchange_stop(exchange=found(questions_of(user), pk=exchange_id), actor=str(user))
    return "The answer is stopped."
