"""Sharing one project with a person or a group, who do not join its organization by that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models import Q, QuerySet
from guardian.shortcuts import assign_perm

from apps.accounts.models import Membership, PeopleGroup, Role, User
from apps.accounts.permissions import SHARED_AS
from apps.core.errors import BadInput, NotFound
from apps.core.tenancy import share_codename
from apps.events.bus import emit
from apps.projects.models import Project, ProjectGroupShare, ProjectUserShare


@dataclass(frozen=True)
class Share:
    """Who may look at or work on a project; `id` is `user-<id>` or `group-<id>`."""

    id: str
    kind: str
    name: str
    role: str


def shares_of(project: Project) -> list[Share]:
    """Everybody with whom the project is shared, people first."""
    people = ProjectUserShare.objects.filter(content_object=project).select_related("user", "permission")
    groups = ProjectGroupShare.objects.filter(content_object=project)
    groups = groups.select_related("group__people", "permission")
    found = [Share(f"user-{row.user_id}", "user", str(row.user), _role(row)) for row in people]
    found += [
        Share(f"group-{row.group.people.pk}", "group", row.group.people.name, _role(row)) for row in groups
    ]
    return sorted(found, key=lambda share: (share.kind != "user", share.name))


@transaction.atomic
def share_set(*, project: Project, to: User | PeopleGroup, role: str, actor: str = "") -> Share:
    """Share the project in a role, in place of the one it was shared in."""
    if role not in SHARED_AS:
        raise BadInput(
            f"A project cannot be shared as {role!r}.",
            hint="Use user or viewer.",
            details={"field": "role"},
        )
    Project.objects.locked(project.pk)  # who shares it at the same moment takes the place of this one
    _clear(project, to)
    holder = to if isinstance(to, User) else to.group
    assign_perm(f"projects.{share_codename(role)}", holder, project)
    kind = "user" if isinstance(to, User) else "group"
    share = Share(f"{kind}-{to.pk}", kind, str(to), role)
    _tell("project.shared", project, share, actor)
    return share


@transaction.atomic
def share_remove(*, project: Project, to: User | PeopleGroup, actor: str = "") -> None:
    """Stop sharing; NotFound if it was not shared with them."""
    if not _clear(project, to):
        raise NotFound(f"This project is not shared with {to}.")
    kind = "user" if isinstance(to, User) else "group"
    _tell("project.unshared", project, Share(f"{kind}-{to.pk}", kind, str(to), ""), actor)


def _clear(project: Project, to: User | PeopleGroup) -> int:
    if isinstance(to, User):
        return ProjectUserShare.objects.filter(content_object=project, user=to).delete()[0]
    return ProjectGroupShare.objects.filter(content_object=project, group=to.group).delete()[0]


def _role(row: Any) -> str:
    permission: Permission = row.permission
    return next(role for role in Role.values if permission.codename == share_codename(role))


def _tell(kind: str, project: Project, share: Share, actor: str) -> None:
    emit(
        kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
        shared_with=share.id,
        name=share.name,
        role=share.role,
    )


def people_in(organization_id: int | None, project_id: int | None, roles: Collection[str]) -> QuerySet[User]:
    """Active people who have one of the roles in the organization, or in the project as it is shared."""
    members = Membership.objects.filter(organization=organization_id, role__in=roles)
    found = Q(pk__in=members.values("user_id"))
    if project_id is not None:
        codes = [share_codename(role) for role in SHARED_AS if role in roles]
        shared = {"content_object_id": project_id, "permission__codename__in": codes}
        found |= Q(pk__in=ProjectUserShare.objects.filter(**shared).values("user_id"))
        found |= Q(groups__in=ProjectGroupShare.objects.filter(**shared).values("group_id"))
    return User.objects.filter(found, is_active=True).distinct()
