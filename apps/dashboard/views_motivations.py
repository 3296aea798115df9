"""Motivations: made, changed, turned on and off, fired by hand, and their history."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.accounts.models import Organization
from apps.accounts.permissions import organizations_with
from apps.agents.models import Persona
from apps.core.errors import LoomError
from apps.dashboard.forms_motivations import TYPES, WORDS, MotivationForm
from apps.dashboard.pages import act, found, may, page, require, sent, show
from apps.motivations.clocks import next_ring
from apps.motivations.conditions import CONDITIONS
from apps.motivations.firing import motivation_trigger
from apps.motivations.models import Motivation, MotivationTrigger
from apps.motivations.services import (
    motivation_create,
    motivation_delete,
    motivation_switch,
    motivation_update,
)
from apps.projects.models import Project

MOTIVATIONS = 200
TRIGGERS = 30
PER_PAGE = 50
WRITE = "motivations:write"


@page
def motivations(request: HttpRequest) -> HttpResponse:
    rows = Motivation.objects.for_user(request.user).select_related("organization", "project")
    history = MotivationTrigger.objects.for_user(request.user).select_related("motivation", "bead")
    context = {
        "rows": [(row, WORDS[row.condition][0]) for row in rows.defer("project__prd")[:MOTIVATIONS]],
        "history": list(history.order_by("-id")[:TRIGGERS]),
        "may_write": may(request, WRITE),
    }
    return show(request, "dashboard/motivations.html", context)


@page
def motivation(request: HttpRequest, motivation_id: int) -> HttpResponse:
    """One: what it waits for, what follows, and when it fired."""
    return _show_one(request, _found(request, motivation_id))


def _found(request: HttpRequest, motivation_id: int) -> Motivation:
    rows = Motivation.objects.for_user(request.user).select_related(
        "organization", "project", "clock__interval", "clock__crontab", "clock__clocked"
    )
    row: Motivation = found(rows.defer("project__prd"), pk=motivation_id)
    return row


def _show_one(
    request: HttpRequest, row: Motivation, form: MotivationForm | None = None, status: int = 200
) -> HttpResponse:
    history = row.triggers.select_related("bead").order_by("-id")
    context = {
        "row": row,
        "words": WORDS[row.condition],
        "type_words": TYPES[row.type],
        "form": form or MotivationForm.of(row, _roles(row.organization)),
        "may_write": may(request, WRITE, row.organization_id, row.project_id),
        "may_remove": may(request, "motivations:delete", row.organization_id, row.project_id),
        "next_ring": next_ring(row) if row.status == Motivation.Status.ACTIVE else None,
        "shown": Paginator(history, PER_PAGE).get_page(request.GET.get("page")),
    }
    return show(request, "dashboard/motivation.html", context, status)


def _roles(organization: Organization) -> list[str]:
    return sorted({row.role for row in Persona.objects.for_organization(organization.pk)})


# -- Making ----------------------------------------------------------------------------------------------


@page
def motivation_new(request: HttpRequest) -> HttpResponse:
    """First what it waits for, with every choice explained; then the rest."""
    require(request, WRITE)
    condition = request.GET.get("condition", "")
    if condition not in CONDITIONS:
        kinds = [
            (words, [(name, *WORDS[name]) for name, one in CONDITIONS.items() if one.type == kind])
            for kind, words in TYPES.items()
        ]
        return show(request, "dashboard/motivation_new.html", {"kinds": kinds})
    return _show_new(request, condition)


def _homes(request: HttpRequest) -> list[tuple[str, str]]:
    """Where a new one may belong: whole organizations, and projects."""
    user: Any = request.user
    ids = organizations_with(user, WRITE)
    organizations = Organization.objects.filter(pk__in=ids).order_by("name")
    projects = Project.objects.filter(organization__in=ids).order_by("-id").values_list("pk", "name")
    return [
        *((f"organization-{one.pk}", f"all projects of {one.name}") for one in organizations),
        *((f"project-{pk}", name) for pk, name in projects[:MOTIVATIONS]),
    ]


def _show_new(
    request: HttpRequest, condition: str, form: MotivationForm | None = None, status: int = 200
) -> HttpResponse:
    homes = _homes(request)
    if not homes:
        raise Http404
    roles = {row.role for row in Persona.objects.for_user(request.user)}
    context = {
        "condition": condition,
        "words": WORDS[condition],
        "form": form or MotivationForm(condition=condition, roles=sorted(roles)),
        "homes": homes,
        "home": request.POST.get("home", ""),
    }
    return show(request, "dashboard/motivation_new.html", context, status)


@sent
def motivation_add(request: HttpRequest) -> HttpResponse:
    require(request, WRITE)
    given, condition = request.POST, request.POST.get("condition", "")
    home = given.get("home", "")
    if condition not in CONDITIONS or home not in dict(_homes(request)):
        raise Http404
    kind, _, number = home.partition("-")
    project = Project.objects.select_related("organization").get(pk=number) if kind == "project" else None
    organization = project.organization if project else Organization.objects.get(pk=number)
    form = MotivationForm(given, condition=condition, roles=_roles(organization))
    if form.is_valid():
        try:
            row = motivation_create(
                organization=organization,
                project=project,
                type=CONDITIONS[condition].type,
                condition=condition,
                actor=str(request.user),
                **form.fields_given(),
            )
        except LoomError as error:
            form.add_error(None, error.told)
        else:
            messages.success(request, f"{row.name} is on.")
            return HttpResponseRedirect(reverse("motivation", args=[row.pk]))
    return _show_new(request, condition, form, status=400)


# -- Changing --------------------------------------------------------------------------------------------


def _mine(request: HttpRequest, motivation_id: int, permission: str = WRITE) -> Motivation:
    row = _found(request, motivation_id)
    require(request, permission, row.organization_id, row.project_id)
    return row


@sent
def motivation_save(request: HttpRequest, *, motivation_id: int) -> HttpResponse:
    row = _mine(request, motivation_id)
    form = MotivationForm(request.POST, condition=row.condition, roles=_roles(row.organization))
    if form.is_valid():
        try:
            motivation_update(motivation=row, actor=str(request.user), **form.fields_given())
        except LoomError as error:
            form.add_error(None, error.told)
        else:
            messages.success(request, "Saved.")
            return HttpResponseRedirect(reverse("motivation", args=[row.pk]))
    return _show_one(request, row, form, status=400)


@act
def motivation_switches(request: HttpRequest, *, motivation_id: int) -> str:
    row = _mine(request, motivation_id)
    active = row.status != Motivation.Status.ACTIVE
    motivation_switch(motivation=row, active=active, actor=str(request.user))
    return f"{row.name} is {'on' if active else 'off'}."


@act
def motivation_triggers(request: HttpRequest, *, motivation_id: int) -> str:
    row = _mine(request, motivation_id)
    trigger = motivation_trigger(motivation=row, actor=str(request.user))
    return f"{row.name}: {trigger.get_result_display().replace('_', ' ')}."


@act
def motivation_ends(request: HttpRequest, *, motivation_id: int) -> str:
    row = _mine(request, motivation_id, "motivations:delete")
    motivation_delete(motivation=row, actor=str(request.user))
    return f"{row.name} is removed."
