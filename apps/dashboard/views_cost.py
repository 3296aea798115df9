"""Cost, and what could cost less."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from apps.accounts.permissions import permission_holds
from apps.analytics.applying import optimization_apply
from apps.analytics.ledger import grouped
from apps.core.tables import csv_lines
from apps.dashboard import queries, queries_cost
from apps.dashboard.pages import act, found, may, number_in, page, require, show
from apps.dashboard.queries_saving import saving_of
from apps.engine.models import Run
from apps.projects.models import Project
from apps.providers.models import Preference
from apps.providers.preferences import preference_remove


def _project(request: HttpRequest, wanted: str) -> Project | None:
    if not (number := number_in(wanted)):
        return None
    row: Project = found(Project.objects.for_user(request.user).defer("prd"), pk=number)
    return row


@page
def analytics(request: HttpRequest) -> HttpResponse:
    span = queries_cost.span_of(request.GET.get("span", ""))
    chosen = _project(request, request.GET.get("project", ""))
    cost = queries_cost.cost_of(request.user, span, chosen)
    calls, window = queries_cost.calls_of(request.user, span, chosen), queries_cost.SPANS[span][1]
    context = {
        "cost": cost,
        "span": span,
        "spans": [(key, words) for key, (words, _, _) in queries_cost.SPANS.items()],
        "chosen": chosen,
        "statuses": [(status, cost.runs[status]) for status in Run.Status.values if status in cost.runs],
        "choices": queries.projects_of(request.user),
        "saving": saving_of(request.user, calls, window, chosen),
        "may_choose": may(request, "providers:write"),
    }
    return show(request, "dashboard/cost.html", context)


@act
def optimization_applies(request: HttpRequest) -> str:
    """For the time and the project that the page was about."""
    span = queries_cost.span_of(request.POST.get("span", ""))
    chosen = _project(request, request.POST.get("project", ""))
    require(request, "providers:write", *([chosen.organization_id, chosen.pk] if chosen else []))
    rows = optimization_apply(
        calls=queries_cost.calls_of(request.user, span, chosen),
        window=queries_cost.SPANS[span][1],
        optimization_id=request.POST.get("optimization", ""),
        others=set,
        may_write=lambda organization, project: permission_holds(
            request.user, "providers:write", organization, project
        ),
        actor=str(request.user),
    )
    roles = ", ".join(sorted({row.role or "people" for row in rows}))
    return f"{rows[0].model} of {rows[0].provider.name} is asked first by {roles} from now on."


@act
def preference_undoes(request: HttpRequest, *, preference_id: int) -> str:
    row: Preference = found(Preference.objects.for_user(request.user), pk=preference_id)
    require(request, "providers:write", row.organization_id, row.project_id)
    preference_remove(preference_id=row.pk, actor=str(request.user))
    return "The routing policy chooses again."


@page
def analytics_csv(request: HttpRequest) -> HttpResponse:
    """Over time, or by project, agent or model."""
    span, by = queries_cost.span_of(request.GET.get("span", "")), request.GET.get("by", "")
    rows = queries_cost.calls_of(request.user, span, _project(request, request.GET.get("project", "")))
    if by in queries_cost.GROUPS:
        told = [(group.name, group.figures) for group in grouped(rows, by)]
    else:
        by = "from"
        told = [(slot.at.isoformat(), slot.figures) for slot in queries_cost.slots_of(rows, span)]
    head = [by, "calls", "failed", "tokens", "latency_ms", "cost_usd"]
    lines = [
        [name, one.requests, one.failed, one.tokens, one.latency_ms, f"{one.cost_usd:.6f}"]
        for name, one in told
    ]
    response = HttpResponse("".join(csv_lines([head, *lines])), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="loom-cost-{by}.csv"'
    return response
