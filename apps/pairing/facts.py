"""What Loom knows of somebody's work, in words for a model: only what that person may read, and bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from apps.accounts.models import Organization, User
from apps.accounts.permissions import rows_with
from apps.agents.models import Agent, Evidence
from apps.agents.secrets import project_masker
from apps.beads.models import Bead
from apps.beads.queries import ready_or_not
from apps.core.masking import Masker
from apps.decisions.models import Decision
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Budget, Call

PROJECTS, ROWS, WORDS, CHARS = 30, 25, 8, 240
MOST = 40_000  # characters in all
PROJECT = "project__organization_id"
_WORD = re.compile(r"[\w-]{4,40}")


def facts_of(person: User, organization: Organization, project: Project | None, question: str) -> str:
    """The state of the projects, as Markdown; of one, if one is named."""
    projects = rows_with(person, "projects:read", Project.objects.for_user(person), "organization_id")
    projects = projects.filter(organization=organization)
    if project is not None:
        projects = projects.filter(pk=project.pk)
    shown = list(projects.defer("prd").order_by("status", "-id")[:PROJECTS])
    sections = _Facts(person, [one.pk for one in shown]).sections(shown, question)
    return "\n\n".join(f"## {title}\n{body or '(nothing)'}" for title, body in sections)[:MOST]


class _Facts:
    """Rows of these projects, as far as the person may read them."""

    def __init__(self, person: User, projects: list[int]) -> None:
        self._person, self._projects = person, projects
        self._masked = Masker(chain.from_iterable(project_masker(pk).secrets for pk in projects))

    def sections(self, shown: list[Project], question: str) -> Iterable[tuple[str, str]]:
        return (
            (f"Projects, now ({timezone.now():%Y-%m-%d %H:%M} UTC)", self._overview(shown)),
            ("Agents at work", self._at_work()),
            ("Beads that wait for a person", self._blocked()),
            ("Open decisions", self._decisions()),
            (
                "Beads that are ready",
                self._beads_told(ready_or_not(self._beads(), True).order_by("priority", "id")),
            ),
            ("Merged last, with the checks of the merged commit", self._merged()),
            ("Money", self._money()),
            ("Beads that the question may be about", self._about(question)),
            ("What happened last", self._events()),
        )

    def _rows(self, permission: str, rows: QuerySet[Any], path: str = PROJECT) -> QuerySet[Any]:
        return rows_with(self._person, f"{permission}:read", rows, path)

    def _beads(self) -> QuerySet[Bead]:
        rows = Bead.objects.for_user(self._person).filter(project__in=self._projects)
        return self._rows("beads", rows).defer("draft")

    def _overview(self, shown: list[Project]) -> str:
        counted = self._beads().order_by().values("project_id", "status").annotate(n=Count("pk"))
        counts: dict[int, list[str]] = {}
        for row in counted:
            counts.setdefault(row["project_id"], []).append(f"{row['n']} {row['status']}")
        return self._lines(
            f"{one.name} (id {one.pk}, {one.status}): beads: {', '.join(counts.get(one.pk, ['none']))}"
            for one in shown
        )

    def _at_work(self) -> str:
        rows = Agent.objects.for_user(self._person).filter(
            project__in=self._projects, status=Agent.Status.WORKING
        )
        team = self._rows("agents", rows).select_related("project", "current_bead")
        return self._lines(
            f"{one.name} ({one.role}, {one.project.name}): "
            f"{one.current_bead or 'no bead'}{f'; now {one.current_action}' if one.current_action else ''}"
            for one in team.order_by("project", "id")[:ROWS]
        )

    def _blocked(self) -> str:
        rows = self._beads().filter(status=Bead.Status.BLOCKED).order_by("priority", "id")[:ROWS]
        return self._lines(
            f"{bead.key} P{bead.priority} {bead.title}: {bead.blocked_reason}" for bead in rows
        )

    def _decisions(self) -> str:
        rows = Decision.objects.for_user(self._person).filter(project__in=self._projects).open()
        return self._lines(
            f"decision {one.pk}: {one.question} (options {', '.join(o['key'] for o in one.options)}; "
            f"recommended {one.recommendation or 'nothing'}; asked by {one.requester})"
            for one in self._rows("decisions", rows).order_by("priority", "id")[:ROWS]
        )

    def _merged(self) -> str:
        rows = list(self._beads().exclude(merged_commit="").order_by("-closed_at")[:ROWS])
        proof = Evidence.objects.filter(bead__in=rows, kind=Evidence.Kind.MERGE).order_by()
        passed = dict(proof.filter(passed=True).values_list("bead_id").annotate(n=Count("pk")))
        return self._lines(
            f"{bead.key} {bead.title}: {bead.merged_commit[:10]}, {passed.get(bead.pk, 0)} checks passed"
            for bead in rows
        )

    def _money(self) -> str:
        budgets = Budget.objects.for_user(self._person).filter(
            scope=Budget.Scope.PROJECT, scope_id__in=self._projects, limit_microusd__isnull=False
        )
        limits = {one.scope_id: one for one in self._rows("analytics", budgets, "organization_id")}
        calls = Call.objects.for_user(self._person).filter(project_id__in=self._projects)
        real = Sum("cost_microusd", filter=Q(nominal=False))
        sums = self._rows("analytics", calls, "organization_id").order_by().values("project_id")
        return self._lines(
            f"project {row['project_id']}: ${(row['cost'] or 0) / 1e6:.4f} in {row['n']} calls of models"
            + (f" of ${limit.limit_microusd / 1e6:.2f}" if (limit := limits.get(row["project_id"])) else "")
            for row in sums.annotate(cost=real, n=Count("pk"))
        )

    def _about(self, question: str) -> str:
        wanted = Q(key__in=re.findall(r"[A-Za-z][\w]*-\d+", question)[:WORDS])
        for word in _WORD.findall(question)[: 2 * WORDS]:
            wanted |= Q(title__icontains=word)
        return self._beads_told(self._beads().filter(wanted).order_by("status", "priority", "id"))

    def _events(self) -> str:
        rows = Event.objects.filter(project_id__in=self._readable_events()).order_by("-id")
        return self._lines(
            f"{one.created_at:%m-%d %H:%M} {one.kind} {one.subject} "
            f"{one.data.get('title', '')} by {one.actor or 'Loom'}"
            for one in rows[:ROWS]
        )

    def _readable_events(self) -> list[int]:
        rows = Project.objects.for_user(self._person).filter(pk__in=self._projects)
        return list(self._rows("events", rows, "organization_id").values_list("pk", flat=True))

    def _beads_told(self, rows: QuerySet[Bead]) -> str:
        return self._lines(
            f"{bead.key} ({bead.status}{f', {bead.stage}' if bead.stage else ''}, P{bead.priority}, "
            f"{bead.assigned_to or bead.role or 'nobody yet'}) {bead.title}"
            f"{f': {bead.description}' if bead.description else ''}"
            for bead in rows[:ROWS]
        )

    def _lines(self, texts: Iterable[str]) -> str:
        """Masked before they are cut: half a secret is not known as one."""
        return "\n".join(f"- {self._masked.text(' '.join(text.split()))[:CHARS]}" for text in texts)
