"""Personas: read, edited with a preview, and brought back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.accounts.models import Organization
from apps.accounts.permissions import organizations_with
from apps.agents.models import Agent, Persona
from apps.agents.persona_services import (
    persona_clone,
    persona_import,
    persona_preview,
    persona_remove,
    persona_restore,
    persona_text,
)
from apps.agents.skills import MAX_BYTES
from apps.core.errors import Conflict, LoomError
from apps.core.storable import storable_text
from apps.dashboard import queries_team
from apps.dashboard.markdown import rendered
from apps.dashboard.pages import act, found, number_in, page, require, sent, show

WRITE = "personas:write"


@page
def personas(request: HttpRequest) -> HttpResponse:
    return show(request, "dashboard/personas.html", {"rows": queries_team.personas_of(request.user)})


@page
def persona(request: HttpRequest, *, persona_id: int) -> HttpResponse:
    return _show(request, _persona(request, persona_id))


def _persona(request: HttpRequest, persona_id: int) -> Persona:
    rows = Persona.objects.for_user(request.user).select_related("organization")
    row: Persona = found(rows, pk=persona_id)
    return row


def _homes(request: HttpRequest, row: Persona) -> list[Organization]:
    """Where the person may keep it: in its own organization; a shipped one in any in which they may write."""
    user: Any = request.user
    rows = Organization.objects.order_by("name")
    if not user.is_superuser:
        rows = rows.filter(pk__in=organizations_with(user, WRITE))
    if row.organization_id is not None:
        rows = rows.filter(pk=row.organization_id)
    return list(rows[:100])


def _home(request: HttpRequest, row: Persona) -> Organization:
    """The organization a form is sent for."""
    if row.organization is not None:
        home: Organization = row.organization
    else:
        mine = Organization.objects.for_user(request.user)
        home = found(mine, slug=storable_text(request.POST.get("organization", "")))
    require(request, WRITE, home.pk)
    return home


def _show(request: HttpRequest, row: Persona, trouble: str = "", status: int = 200) -> HttpResponse:
    text = request.POST.get("skill_md", "") if trouble else persona_text(row)
    versions = list(
        row.versions.defer("text").order_by("-number")[: queries_team.VERSIONS],
    )
    chosen = number_in(request.GET.get("version", ""))
    agents = Agent.objects.for_user(request.user).filter(persona=row, retired_at=None)
    context = {
        "persona": row,
        "text": text,
        "preview": _preview(row.name, text),
        "note": request.POST.get("note", ""),
        "versions": versions,
        "newest": versions[0].number if versions else 0,
        "chosen": chosen,
        "diff": queries_team.version_diff(row, chosen) if chosen else None,
        "homes": _homes(request, row),
        "agents": list(agents.select_related("project").defer("project__prd").order_by("-id")[:30]),
        "trouble": trouble,
    }
    return show(request, "dashboard/persona.html", context, status)


def _preview(name: str, text: str) -> dict[str, Any]:
    """What Loom reads in the text; or what is wrong with it, and where."""
    try:
        file, warnings = persona_preview(name=name, text=text[: MAX_BYTES + 1])
    except LoomError as error:
        return {"trouble": error.told, "line": error.details.get("line", 0)}
    return {"file": file, "warnings": warnings, "html": rendered(file.body)}


@sent
def preview(request: HttpRequest, *, persona_id: int) -> HttpResponse:
    row = _persona(request, persona_id)
    told = _preview(row.name, storable_text(request.POST.get("skill_md", "")))
    return render(request, "parts/persona_preview.html", {"preview": told})


@sent
def persona_save(request: HttpRequest, *, persona_id: int) -> HttpResponse:
    """Keep what was typed as a new version; what is wrong with it is said beside what was typed."""
    row = _persona(request, persona_id)
    home = _home(request, row)
    try:
        _check_newest(row, number_in(request.POST.get("newest", "")))
        kept, warnings = persona_import(
            organization=home,
            name=row.name,
            text=storable_text(request.POST.get("skill_md", "")),
            author=str(request.user),
            note=storable_text(request.POST.get("note", "")) or "Edited.",
        )
    except LoomError as error:
        return _show(request, row, error.told, error.status)
    for warning in warnings:
        messages.warning(request, warning)
    messages.success(request, f"{kept.name} is kept; agents work as it from their next session on.")
    return HttpResponseRedirect(reverse("persona", args=[kept.pk]))


def _check_newest(row: Persona, number: int) -> None:
    """Refuses what was typed over another version than the newest."""
    newest = row.versions.order_by("-number").first()
    if newest is not None and newest.number != number:
        raise Conflict(
            f"{newest.author} saved version {newest.number} while you were typing.",
            hint="Look at it below; save again to replace it.",
        )


def _leading_to_another(does: Callable[..., tuple[Persona, str]]) -> Callable[..., HttpResponse]:
    """Sent from a persona's page, and answered with the page of the persona that came of it."""

    @never_cache
    @require_POST
    @login_required
    def view(request: HttpRequest, *, persona_id: int) -> HttpResponse:
        row = _persona(request, persona_id)
        home = _home(request, row)
        try:
            row, said = does(request, row, home)
        except LoomError as error:
            messages.error(request, error.told)
        else:
            messages.success(request, said)
        return HttpResponseRedirect(reverse("persona", args=[row.pk]))

    return view


def _clone(request: HttpRequest, row: Persona, home: Organization) -> tuple[Persona, str]:
    name = storable_text(request.POST.get("name", ""))
    made = persona_clone(persona=row, organization=home, name=name, author=str(request.user))
    return made, f"{made.name} begins as {row.name}."


def _restore(request: HttpRequest, row: Persona, home: Organization) -> tuple[Persona, str]:
    number = number_in(request.POST.get("version", ""))
    kept = persona_restore(persona=row, organization=home, number=number, author=str(request.user))
    return kept, f"{kept.name} says again what version {number} said."


persona_clones, persona_restores = _leading_to_another(_clone), _leading_to_another(_restore)


@act
def persona_removes(request: HttpRequest, *, persona_id: int) -> str:
    row = _persona(request, persona_id)
    require(request, "personas:delete", row.organization_id)
    persona_remove(persona=row, author=str(request.user))
    return f"{row.name} is given up."
