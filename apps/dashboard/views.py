"""Home, the palette, colors, and the page that shows the parts pages are made of."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.core.tenancy import organizations_of
from apps.dashboard import queries, queries_events, queries_find, queries_home
from apps.dashboard.pages import back, may, page, show
from apps.dashboard.queries_questions import questions_of
from apps.dashboard.templatetags.loom import SHAPES

YEAR = 365 * 24 * 3600
THEMES = ("auto", "light", "dark")
COLORS = (
    "paper sheet sunk line line-strong ink ink-2 ink-3 accent accent-soft run need fail done "
    "run-soft need-soft fail-soft done-soft"
)
# The shape in the terminal, and what the state says.
MEANS = {
    "open": ("○", "It can begin as soon as an agent is free."),
    "waiting": ("◌", "Something else has to come first: a bead, a time, an answer."),
    "working": ("◔", "An agent, a check or a model is at it just now."),
    "person": ("◆", "It goes no further without a person."),
    "failed": ("✕", "It ended, and not well; the reason stands beside it."),
    "done": ("✔", "Proven and merged, or otherwise over as it should be."),
}
STATES = {state: (*row, *MEANS[state]) for state, row in SHAPES.items()}


@page
def home(request: HttpRequest) -> HttpResponse:
    projects = queries.projects_of(request.user)
    cards = queries.project_cards(projects)
    queries.add_bead_lines(cards)
    providers = queries.providers_of(request.user)
    return show(
        request,
        "dashboard/home.html",
        {
            "rail_projects": projects,
            "cards": cards,
            "questions": questions_of(request.user),
            "events": queries_events.event_lines(request.user),
            "spent": sum(card.cost_microusd for card in cards),
            "agents": queries_home.at_work(request.user),
            "at_work": queries.agents_at_work(request.user),
            "finished": queries_home.finished(request.user),
            "today": queries_home.today(request.user),
            "providers": providers,
            "only_demo": all(provider.is_demo for provider in providers),
            "is_member": _is_member(request) or bool(cards),
            "may_begin": may(request, "projects:write"),
            "may_connect": may(request, "providers:write"),
        },
    )


def _is_member(request: HttpRequest) -> bool:
    user = request.user
    return user.is_authenticated and (user.is_superuser or organizations_of(user).exists())


@page
def find(request: HttpRequest) -> HttpResponse:
    """What the palette shows for what was typed: a fragment."""
    groups = queries_find.found(request.user, request.GET.get("q", ""))
    return render(request, "parts/found.html", {"groups": groups})


@never_cache
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    response = HttpResponseRedirect(back(request))
    wanted = request.POST.get("theme", "")
    if wanted in THEMES:
        response.set_cookie("theme", wanted, max_age=YEAR, samesite="Lax")
    return response


@page
def design(request: HttpRequest) -> HttpResponse:
    return show(request, "dashboard/design.html", {"states": STATES, "colors": COLORS.split()})
