"""Checking a plan: references resolve, nothing waits in a circle, each requirement is somebody's work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction

from apps.agents.models import Persona, Session
from apps.agents.personas import role_resolve, roles_of
from apps.beads.graph import find_cycle
from apps.beads.models import WORKABLE, Bead, Dependency
from apps.decisions.models import Decision
from apps.events.bus import emit
from apps.projects.models import Project, Requirement


@dataclass
class Plan:
    """The drafted beads of a project with their references resolved, and what is wrong with them.

    What a draft does not say, such as that of a story which a person added, is as the bead's rows have it.
    """

    beads: list[Bead]
    requirements: dict[str, Requirement]
    problems: list[str] = field(default_factory=list)
    parents: dict[int, Bead] = field(default_factory=dict)
    blockers: dict[int, list[Bead]] = field(default_factory=dict)
    covered: dict[int, list[Requirement]] = field(default_factory=dict)
    roles: dict[int, str] = field(default_factory=dict)

    @property
    def stories(self) -> list[Bead]:
        return [bead for bead in self.beads if bead.type in WORKABLE]


def plan_read(project: Project) -> Plan:
    """Resolve the drafts and list every problem, most of them by the title of the bead."""
    drafted = Bead.objects.filter(project=project, status=Bead.Status.DEFERRED).select_related("parent")
    plan = Plan(
        beads=list(drafted.prefetch_related("dependencies__blocker", "requirements").order_by("id")),
        requirements={row.key: row for row in project.requirements.filter(status=Requirement.Status.ACTIVE)},
    )
    if not plan.stories:
        plan.problems.append("The plan holds no story: create at least one with create_bead.")
        return plan
    _check_titles(plan)
    _check_roles(plan, project.organization_id)
    _resolve_references(plan)
    _check_stories(plan)
    _check_cycles(plan)
    return plan


def _check_titles(plan: Plan) -> None:
    counts = Counter(bead.title.strip().lower() for bead in plan.beads)
    for title, count in counts.items():
        if count > 1:
            plan.problems.append(f"{count} beads have the title {title!r}.")


def _check_roles(plan: Plan, organization_id: int) -> None:
    roles = roles_of(Persona.objects.for_organization(organization_id))
    for bead in plan.stories:
        role = role_resolve(bead.role, roles) if bead.role else None
        if role is None and not bead.role and not bead.draft:
            continue  # a person's: whoever fits takes it
        if role is None:
            named = f"the unknown role {bead.role!r}" if bead.role else "no role"
            plan.problems.append(f"{bead.title!r} has {named}; the roles are {', '.join(sorted(roles))}.")
        else:
            plan.roles[bead.pk] = role


def _resolve_references(plan: Plan) -> None:
    names: dict[str, Bead] = {}
    for bead in plan.beads:
        for name in (bead.draft.get("ref", ""), bead.title, bead.key):
            if name:
                names.setdefault(name.strip().lower(), bead)
    for bead in plan.beads:
        _keep_rows(plan, bead)
        if parent := bead.draft.get("parent"):
            found = names.get(parent.strip().lower())
            if found is None:
                plan.problems.append(f"{bead.title!r} names the parent {parent!r}, which is not in the plan.")
            elif found.type != Bead.Type.EPIC:
                plan.problems.append(f"{bead.title!r} names the parent {parent!r}, which is not an epic.")
            else:
                plan.parents[bead.pk] = found
        for name in bead.draft.get("blocked_by", []):
            blocker = names.get(name.strip().lower())
            if blocker is None:
                plan.problems.append(f"{bead.title!r} is blocked by {name!r}, which is not in the plan.")
            else:
                plan.blockers.setdefault(bead.pk, []).append(blocker)


def _keep_rows(plan: Plan, bead: Bead) -> None:
    if "parent" not in bead.draft and bead.parent is not None:
        plan.parents[bead.pk] = bead.parent
    if "blocked_by" not in bead.draft:
        plan.blockers[bead.pk] = _blockers(bead)
    if "requirements" not in bead.draft:
        keys = {row.key for row in bead.requirements.all()}
        plan.covered[bead.pk] = [row for key, row in plan.requirements.items() if key in keys]


def _blockers(bead: Bead) -> list[Bead]:
    return [row.blocker for row in bead.dependencies.all() if row.kind == Dependency.Kind.BLOCKS]


def _check_stories(plan: Plan) -> None:
    for bead in plan.stories:
        if bead.draft and not [criterion for criterion in bead.acceptance if str(criterion).strip()]:
            plan.problems.append(f"{bead.title!r} has no acceptance criteria.")
        for key in bead.draft.get("requirements", []):
            requirement = plan.requirements.get(key.strip().upper())
            if requirement is None:
                plan.problems.append(f"{bead.title!r} names the requirement {key!r}, which does not exist.")
            else:
                plan.covered.setdefault(bead.pk, []).append(requirement)
    covered = {row.key for rows in plan.covered.values() for row in rows}
    for key, requirement in plan.requirements.items():
        if key not in covered:
            plan.problems.append(f"No story covers {key}: {requirement.text[:120]}")


def _check_cycles(plan: Plan) -> None:
    """An epic is finished by its children, so it counts as waiting for them."""
    edges: dict[int, list[int]] = {bead.pk: [] for bead in plan.beads}
    for bead_id, blockers in plan.blockers.items():
        edges[bead_id] += [blocker.pk for blocker in blockers if blocker.pk in edges]
    for bead_id, parent in plan.parents.items():
        if parent.pk in edges:
            edges[parent.pk].append(bead_id)
    if cycle := find_cycle(edges):
        titles = {bead.pk: bead.title for bead in plan.beads}
        plan.problems.append(
            "These wait for each other in a circle: " + " → ".join(titles[pk] for pk in cycle) + "."
        )


@transaction.atomic
def plan_check(*, project_id: int) -> list[str]:
    """The plan's problems; if there are none its references become real."""
    project = Project.objects.select_for_update().get(pk=project_id)
    plan = plan_read(project)
    if not plan.problems:
        _apply(plan)
    emit(
        "plan.refused" if plan.problems else "plan.held",
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        problems=plan.problems,
        stories=len(plan.stories),
    )
    return plan.problems


def _apply(plan: Plan) -> None:
    for bead in plan.beads:
        bead.parent = plan.parents.get(bead.pk)
        bead.role = plan.roles.get(bead.pk, bead.role)
    Bead.objects.bulk_update(plan.beads, ["parent", "role"])
    said = [bead.pk for bead in plan.beads if "blocked_by" in bead.draft]
    Dependency.objects.filter(bead__in=said).delete()
    Dependency.objects.bulk_create(
        [
            Dependency(bead_id=bead_id, blocker=blocker)
            for bead_id in said
            for blocker in {blocker.pk: blocker for blocker in plan.blockers.get(bead_id, [])}.values()
        ]
    )
    for bead in plan.stories:
        if "requirements" in bead.draft:
            bead.requirements.set(plan.covered.get(bead.pk, []))


def is_being_planned(project_id: int) -> bool:
    """Whether its plan is made, waits for approval, or is mended after it was sent back."""
    return (
        Session.objects.filter(
            project=project_id, kind=Session.Kind.PLAN, status=Session.Status.OPEN
        ).exists()
        or Decision.objects.open().filter(project=project_id, kind=Decision.Kind.PLAN).exists()
    )


def plan_text(project: Project) -> str:
    """The plan as a list in Markdown, for whoever approves it."""
    lines = []
    beads = Bead.objects.filter(project=project).prefetch_related("requirements", "dependencies__blocker")
    by_parent: dict[int | None, list[Bead]] = {}
    for bead in beads.order_by("id"):
        by_parent.setdefault(bead.parent_id, []).append(bead)
    for top in by_parent.get(None, []):
        lines.append(f"- {top.key} {top.type}: {top.title}")
        for story in by_parent.get(top.pk, []):
            keys = ", ".join(row.key for row in story.requirements.all())
            after = ", ".join(blocker.key for blocker in _blockers(story))
            lines.append(
                f"  - {story.key} {story.title} ({story.role}, P{story.priority}"
                + (f"; {keys}" if keys else "")
                + (f"; after {after}" if after else "")
                + ")"
            )
    return "\n".join(lines)
