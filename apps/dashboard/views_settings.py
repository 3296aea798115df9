"""A project's settings: checks, sandbox, budget, and the git it is merged into."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.agents.deploy_keys import auth_method, deploy_key_make
from apps.agents.merge_models import policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.agents.project_checks import checks_told
from apps.core.errors import LoomError
from apps.dashboard.forms import GitForm, ProjectSettingsForm
from apps.dashboard.pages import act, may_in, page, project_found, require_in, sent, show
from apps.projects.models import Project
from apps.projects.services import project_update
from apps.projects.sharing import shares_of
from apps.providers.models import Budget
from apps.providers.services import budget_set


@page
def settings(request: HttpRequest, *, project_id: int) -> HttpResponse:
    return _settings(request, project_found(request, project_id))


def _settings(
    request: HttpRequest,
    shown: Project,
    form: ProjectSettingsForm | None = None,
    git_form: GitForm | None = None,
    status: int = 200,
) -> HttpResponse:
    budget = Budget.objects.filter(scope=Budget.Scope.PROJECT, scope_id=shown.pk).first()
    policy, may_set = policy_of(shown.pk), may_in(request, "projects:write", shown)
    administers = may_in(request, "projects:admin", shown)
    context = {
        "project": shown,
        "proves": checks_told(shown),
        "form": form or ProjectSettingsForm.of(shown, budget),
        "git_form": git_form or GitForm.of(policy),
        "policy": policy,
        "reached_by": auth_method(policy) if policy.remote else "",
        "budget": budget,
        "may_set": may_set,
        "may_write": may_set,
        "administers": administers,
        "shares": shares_of(shown) if administers else [],
    }
    return show(request, "dashboard/settings.html", context, status)


@sent
def settings_save(request: HttpRequest, *, project_id: int) -> HttpResponse:
    """Change settings, all or none; what is wrong is said, and nothing that was typed is lost."""
    shown = project_found(request, project_id)
    require_in(request, "projects:write", shown)
    form = ProjectSettingsForm(request.POST)
    if form.is_valid():
        try:
            _settings_save(shown, form, actor=str(request.user))
        except LoomError as error:
            form.add_error(None, error.told)
        else:
            messages.success(request, "Settings are saved.")
            return HttpResponseRedirect(reverse("settings", args=[shown.pk]))
    return _settings(request, shown, form, status=400)


@transaction.atomic
def _settings_save(shown: Project, form: ProjectSettingsForm, *, actor: str) -> None:
    project_update(project=shown, actor=actor, **form.settings(shown))
    budget_set(
        organization_id=shown.organization_id,
        scope=Budget.Scope.PROJECT,
        scope_id=shown.pk,
        limit_usd=form.cleaned_data["budget_usd"],
        actor=actor,
    )


# -- Git -------------------------------------------------------------------------------------------------


@sent
def git_save(request: HttpRequest, *, project_id: int) -> HttpResponse:
    """Change the rules of merging; a credential that is left empty stays as it is."""
    shown = project_found(request, project_id)
    require_in(request, "projects:admin", shown)
    form = GitForm(request.POST)
    if form.is_valid():
        try:
            merge_policy_set(project=shown, actor=str(request.user), **form.changes())
        except LoomError as error:
            field: Any = error.details.get("field")
            form.add_error(field if field in form.fields else None, error.told)
        else:
            messages.success(request, "Git is set.")
            return HttpResponseRedirect(reverse("settings", args=[shown.pk]) + "#git")
    return _settings(request, shown, git_form=form, status=400)


@act
def git_key(request: HttpRequest, *, project_id: int) -> str:
    shown = project_found(request, project_id)
    require_in(request, "projects:admin", shown)
    deploy_key_make(project=shown, actor=str(request.user))
    return "There is a new deploy key. Give its public half to the remote."
