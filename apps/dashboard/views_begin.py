"""Beginning: the sample, a project from a PRD, a model."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from apps.accounts.models import Organization
from apps.accounts.permissions import organizations_with
from apps.accounts.services import DEFAULT_ORGANIZATION, organization_ensure
from apps.core.errors import BadInput, LoomError
from apps.dashboard import queries
from apps.dashboard.forms import ProviderForm, faults
from apps.dashboard.markdown import rendered
from apps.dashboard.pages import act, found, may, page, require, sent, show
from apps.projects.models import Project
from apps.projects.prd import MAX_BYTES, prd_decode, prd_title, requirements_cut
from apps.providers.models import Provider
from apps.providers.services import (
    Probe,
    provider_check,
    provider_create,
    provider_delete,
    provider_disable,
    provider_enable,
    provider_sync_environment,
    provider_test,
)
from apps.workflows.taking_over import project_take_over
from apps.workflows.weaving import Wish, machine_check, out_check, prd_read, providers_check, weave_begin


def begin_in(request: HttpRequest) -> list[str]:
    """Slugs of the organizations in which the person may begin projects.

    Superusers of a fresh installation begin in the default one, which is made then.
    """
    user: Any = request.user
    rows = Organization.objects.order_by("name")
    if not user.is_superuser:
        rows = rows.filter(pk__in=organizations_with(user, "projects:write"))
    slugs = list(rows.values_list("slug", flat=True)[:100])
    return slugs or ([DEFAULT_ORGANIZATION] if user.is_superuser else [])


class BeginForm(forms.Form):
    prd = forms.CharField(required=False, max_length=MAX_BYTES, strip=False)
    file = forms.FileField(required=False)
    organization = forms.CharField(max_length=60, required=False)
    approval = forms.ChoiceField(choices=Project.Approval.choices, required=False)
    budget = forms.DecimalField(
        label="Budget in USD", min_value=0, max_digits=12, decimal_places=2, required=False
    )
    sessions = forms.IntegerField(label="Sessions at a time", min_value=1, max_value=64, required=False)

    def text(self) -> str:
        """The PRD as text: the uploaded file if there is one."""
        file = self.cleaned_data.get("file")
        return prd_decode(file.read() if file else self.cleaned_data.get("prd", "").encode())


@page
def project_new(request: HttpRequest) -> HttpResponse:
    return _show_new(request, {"approval": "ask", "sessions": 4})


def _show_new(request: HttpRequest, given: Any, trouble: str = "", status: int = 200) -> HttpResponse:
    prd = given.get("prd", "")
    context = {
        "given": given,
        "prd": prd,
        "preview": _preview(prd),
        "organizations": begin_in(request) if may(request, "projects:write") else [],
        "only_demo": all(row.is_demo for row in queries.providers_of(request.user)),
        "trouble": trouble,
    }
    return show(request, "dashboard/project_new.html", context, status)


def _preview(text: str) -> dict[str, Any]:
    """What Loom reads in a PRD: its title, its requirements, the text as it will look; or what is wrong."""
    if not text.strip():
        return {}
    try:
        return {
            "title": prd_title(text),
            "statements": requirements_cut(prd_decode(text.encode())),
            "html": rendered(text),
        }
    except LoomError as error:
        return {"trouble": error.told}


@sent
def prd_preview(request: HttpRequest) -> HttpResponse:
    return render(request, "parts/prd_preview.html", {"preview": _preview(request.POST.get("prd", ""))})


@sent
def project_begin(request: HttpRequest) -> HttpResponse:
    """Begin to weave a PRD; what stands in the way is said on the form, which keeps what was typed."""
    form = BeginForm(request.POST, request.FILES)
    if not form.is_valid():
        return _show_new(request, request.POST, faults(form), 400)
    try:
        project = _begin(request, form.text(), form.cleaned_data)
    except LoomError as error:
        return _show_new(request, request.POST, error.told, error.status)
    messages.success(request, f"{project.name} is begun. Loom reads the PRD and plans.")
    return HttpResponseRedirect(reverse("project", args=[project.pk]))


def _slug(request: HttpRequest, wanted: str) -> str:
    """The organization that is meant, if the person may begin projects there."""
    allowed = begin_in(request) if may(request, "projects:write") else []
    slug = wanted or (allowed[0] if allowed else "")
    if slug not in allowed:
        raise BadInput("You may not begin projects in that organization.")
    return slug


def _begin(request: HttpRequest, prd: str, given: dict[str, Any]) -> Project:
    slug = _slug(request, given.get("organization", ""))
    machine_check()
    for warning in providers_check(prd, slug):
        messages.warning(request, warning)
    wish = Wish(
        organization=slug,
        approval=given.get("approval") or Project.Approval.ASK,
        budget_usd=float(given["budget"]) if given.get("budget") is not None else None,
        sessions=given.get("sessions") or 4,
    )
    return weave_begin(wish, prd=prd, out=out_check(None, prd_title(prd)))


@sent
def repository_begin(request: HttpRequest) -> HttpResponse:
    """Begin with a repository that exists; the form keeps all that was typed but the credential."""
    given = {name: request.POST.get(name, "").strip() for name in REPOSITORY}
    try:
        organization = organization_ensure(name=_slug(request, given.pop("organization")))
        project, _ = project_take_over(organization=organization, actor=str(request.user), **given)
    except LoomError as error:
        return _show_new(request, request.POST, error.told, error.status)
    messages.success(
        request, f"{project.name} is begun. Its repository is being copied; then add beads on the board."
    )
    return HttpResponseRedirect(reverse("project", args=[project.pk]))


REPOSITORY = ("address", "name", "branch", "way", "username", "credential", "organization")


@sent
def sample_start(request: HttpRequest) -> HttpResponse:
    """Weave the bundled sample with the scripted model."""
    require(request, "projects:write")
    try:
        project = _begin(request, prd_read(None), {"approval": Project.Approval.AUTO})
    except LoomError as error:
        messages.error(request, error.told)
        return HttpResponseRedirect(reverse("home"))
    messages.success(request, f"{project.name} is begun. Its threads appear here.")
    return HttpResponseRedirect(reverse("project", args=[project.pk]))


# -- Models --------------------------------------------------------------------------------------------


@page
def providers(request: HttpRequest) -> HttpResponse:
    found_rows = Provider.objects.for_user(request.user).select_related("organization").order_by("name")
    rows = list(found_rows[:200])
    context = {
        "rows": rows,
        "may_write": may(request, "providers:write"),
        "changeable": _changeable(request, rows, "providers:write"),
        "removable": _changeable(request, rows, "providers:delete"),
    }
    return show(request, "dashboard/providers.html", context)


def _changeable(request: HttpRequest, rows: list[Provider], permission: str) -> set[int]:
    """Ids of those that the person holds the permission for; one of all organizations is the operator's."""
    user: Any = request.user
    if user.is_superuser:
        return {row.pk for row in rows}
    mine = set(organizations_with(user, permission))
    return {row.pk for row in rows if row.organization_id in mine}


@page
def provider_new(request: HttpRequest) -> HttpResponse:
    return _show_provider(request, ProviderForm())


def _show_provider(
    request: HttpRequest, form: ProviderForm, trouble: str = "", status: int = 200
) -> HttpResponse:
    context = {"form": form, "trouble": trouble, "may_write": may(request, "providers:write")}
    return show(request, "dashboard/provider_new.html", context, status)


@sent
def provider_add(request: HttpRequest) -> HttpResponse:
    """Register a model and try it; what is wrong with it is said, and the form keeps all but the key."""
    require(request, "providers:write")
    form = ProviderForm(request.POST)
    if not form.is_valid():
        return _show_provider(request, form, status=400)
    organizations = (
        organizations_with(request.user, "providers:write") if request.user.is_authenticated else None
    )
    organization_id = organizations.first() if organizations is not None else None
    try:
        row = provider_create(organization_id=organization_id, actor=str(request.user), **form.cleaned_data)
    except LoomError as error:
        return _show_provider(request, form, error.told, error.status)
    probe = _tried(request, row)
    (messages.success if probe.ok else messages.error)(request, f"{probe.message} {probe.hint}".strip())
    return HttpResponseRedirect(reverse("providers"))


def _tried(request: HttpRequest, row: Provider) -> Probe:
    """Ask how it is, which costs nothing; if it is well, let it say a word, as agents will ask it to."""
    probe = provider_check(provider=row)
    payer = row.organization_id
    if payer is None and (slugs := begin_in(request)):
        payer = organization_ensure(name=slugs[0]).pk
    return provider_test(provider=row, organization_id=payer) if probe.ok and payer else probe


@act
def providers_look(request: HttpRequest) -> str:
    """Look for local servers and for keys in the environment of the server."""
    require(request, "system:write")
    connected = [row for row in provider_sync_environment() if not row.is_demo]
    if not connected:
        raise BadInput(
            "No model was found on this machine.",
            hint="Start a local server (Ollama, vLLM, llama.cpp, LM Studio) or set a key, and look again.",
        )
    return f"Found {', '.join(row.name for row in connected)}."


def _with_provider(request: HttpRequest, provider_id: int, permission: str = "providers:write") -> Provider:
    """A provider that the person may change; one of all organizations is the operator's."""
    row: Provider = found(Provider.objects.for_user(request.user), pk=provider_id)
    user: Any = request.user
    if row.organization_id is None and not user.is_superuser:
        raise Http404
    require(request, permission, row.organization_id)
    return row


@act
def provider_try(request: HttpRequest, *, provider_id: int) -> str:
    probe = _tried(request, _with_provider(request, provider_id))
    if not probe.ok:
        raise BadInput(probe.message, hint=probe.hint)
    return probe.message


@act
def provider_switch(request: HttpRequest, *, provider_id: int) -> str:
    row = _with_provider(request, provider_id)
    switch = provider_disable if row.enabled else provider_enable
    switch(provider_id=row.pk, actor=str(request.user))
    return f"{row.name} is {'no longer used' if row.enabled else 'used again'}."


@act
def provider_remove(request: HttpRequest, *, provider_id: int) -> str:
    row = _with_provider(request, provider_id, "providers:delete")
    provider_delete(provider_id=row.pk, actor=str(request.user))
    return f"{row.name} is removed; what it was paid stays in the books."
