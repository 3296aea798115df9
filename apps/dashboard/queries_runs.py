"""Durable runs: what each is about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.urls import reverse

from apps.agents.models import Agent
from apps.dashboard.markdown import plain
from apps.dashboard.queries_lists import PER_PAGE, beads_by_id
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.projects.models import Project
from apps.providers.models import Provider

RUN_FLOWS = 40
KEYED = re.compile(r"(agent|decision|provider):(\d{1,18})(?::|$)", re.ASCII)


class Subject(NamedTuple):
    kind: str
    words: str
    address: str


def runs_page(user: Any, status: str, flow: str, page: str | None) -> tuple[Page[Run], list[str]]:
    rows: QuerySet[Run] = Run.objects.for_user(user).defer("input", "output")
    flows = list(rows.order_by("flow").values_list("flow", flat=True).distinct()[:RUN_FLOWS])
    if status in Run.Status.values:
        rows = rows.filter(status=status)
    elif status == "unfinished":
        rows = rows.filter(status__in=Run.UNFINISHED)
    if flow:
        rows = rows.filter(flow=flow)
    return Paginator(rows.order_by("-pk"), PER_PAGE).get_page(page), flows


def subjects_of(user: Any, runs: Iterable[Run]) -> dict[int, Subject]:
    """Run -> what its key names (a decision, an agent, a model), else its bead, else its project."""
    runs = list(runs)
    keyed = {run.pk: (found[1], int(found[2])) for run in runs if (found := KEYED.match(run.key))}
    named = _named(user, keyed.values())
    beads = beads_by_id({run.bead_id for run in runs})
    projects = dict(
        Project.objects.for_user(user)
        .filter(pk__in={run.project_id for run in runs if run.project_id})
        .values_list("pk", "name")
    )
    subjects = {}
    for run in runs:
        subject = named.get(keyed.get(run.pk, ("", 0)))
        if subject is None and (bead := beads.get(run.bead_id or 0)):
            subject = Subject("bead", bead.title, reverse("bead", args=[bead.key]))
        if subject is None and run.project_id in projects:
            address = reverse("project", args=[run.project_id])
            subject = Subject("project", projects[run.project_id], address)
        if subject is not None:
            subjects[run.pk] = subject
    return subjects


def _named(user: Any, keyed: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Subject]:
    wanted: dict[str, set[int]] = defaultdict(set)
    for kind, pk in keyed:
        wanted[kind].add(pk)
    decisions = Decision.objects.for_user(user).filter(pk__in=wanted["decision"])
    agents = Agent.objects.for_user(user).filter(pk__in=wanted["agent"])
    models = Provider.objects.for_user(user).filter(pk__in=wanted["provider"])
    return {
        **{
            ("decision", pk): Subject("decision", plain(question), reverse("decision", args=[pk]))
            for pk, question in decisions.values_list("pk", "question")
        },
        **{
            ("agent", pk): Subject("agent", name, f"{reverse('agents')}?project={project}#agent-{pk}")
            for pk, name, project in agents.values_list("pk", "name", "project_id")
        },
        **{
            ("provider", pk): Subject("model", name, f"{reverse('providers')}#provider-{pk}")
            for pk, name in models.values_list("pk", "name")
        },
    }
