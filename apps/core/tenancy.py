"""Which rows a person may see: those of their organizations and of projects shared with them.

A credential (API key, token, session) may reach less far than its owner: `user.access` says how far, and
narrows every queryset's `for_user` and every permission asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any])


@dataclass(frozen=True)
class Access:
    """How far the credential of a request reaches; None: as far as its owner."""

    credential: str = ""  # such as "key:12" or "login:<id>"; empty: the browser's session, or no request
    organization_id: int | None = None
    project_id: int | None = None
    scopes: frozenset[str] | None = None  # permissions, also "beads:*" and "*:read"
    grants: bool = False  # a service account may do what the scopes say; others at most what their role says

    @property
    def is_key(self) -> bool:
        return self.scopes is not None

    def covers(self, permission: str) -> bool:
        resource, _, action = permission.partition(":")
        wanted = {permission, f"{resource}:*", f"*:{action}", "*:*"}
        return self.scopes is None or not wanted.isdisjoint(self.scopes)


EVERYTHING = Access()


def access_of(user: Any) -> Access:
    found: Access = getattr(user, "access", EVERYTHING)
    return found


def visible_to(user: Any, rows: Rows, path: str) -> Rows:
    """The rows of the user's organizations; `path` leads from a row to its organization's id.

    Superusers see all, visitors and accounts that were closed see nothing.
    """
    if not user.is_active:
        return rows.none()
    rows = within_reach(access_of(user), rows, path)
    if user.is_superuser:
        return rows
    return rows.filter(belonging(rows.model, path, user.memberships.values("organization_id"), shares(user)))


def within_reach(access: Access, rows: Rows, path: str) -> Rows:
    """Without what the credential does not reach."""
    if access.organization_id is not None:
        rows = rows.filter(**{path: access.organization_id})
    if access.project_id is not None:
        project = project_path(rows.model, path)
        rows = rows.filter(**{project: access.project_id}) if project else rows.none()
    return rows


def belonging(model: type[Model], path: str, organizations: QuerySet[Any], projects: QuerySet[Any]) -> Q:
    """A row of one of these organizations (ids), or of one of these projects (ids)."""
    project = project_path(model, path)
    if not project:
        return Q(**{f"{path}__in": organizations})
    if not path.endswith("project__organization_id"):
        return Q(**{f"{path}__in": organizations}) | Q(**{f"{project}__in": projects})
    # One set of projects: the database walks the index of the rows' own project, without a join.
    table = _related(model, project.removesuffix("_id").split("__"))._base_manager
    found = table.filter(Q(organization_id__in=organizations) | Q(pk__in=projects))
    return Q(**{f"{project}__in": found.values("pk")})


def shares(user: Any, roles: Collection[str] | None = None) -> QuerySet[Any]:
    """Ids of the projects that were shared with this person, directly or by a group; with one of `roles`."""
    model = user._meta.get_field("project_shares").related_model
    found = model._base_manager.filter(user=user)
    by_group = user.groups.model._meta.get_field("project_shares").related_model._base_manager
    grouped = by_group.filter(group__user=user)
    if roles is not None:
        names = [share_codename(role) for role in roles]
        found = found.filter(permission__codename__in=names)
        grouped = grouped.filter(permission__codename__in=names)
    # A union cannot be filtered further, which a subquery need not be.
    ids: QuerySet[Any] = found.values("content_object_id").union(grouped.values("content_object_id"))
    return ids


def share_codename(role: str) -> str:
    """The permission on a project that is held by whom it is shared with in a role."""
    return f"share_{role}"


def project_path(model: type[Model], path: str) -> str:
    """Leads from a row to its project's id, where one leads from it to its organization's; or empty."""
    if not path.endswith("organization_id"):
        return ""
    way = path.removesuffix("organization_id")  # such as "decision__project__"
    owner = _related(model, [name for name in way.split("__") if name])
    if owner._meta.label == "projects.Project":
        return way.removesuffix("__") + "_id" if way else "pk"
    has_project = any(field.attname == "project_id" for field in owner._meta.concrete_fields)
    return f"{way}project_id" if has_project else ""


def _related(model: type[Model], path: list[str]) -> type[Model]:
    for name in path:
        model = model._meta.get_field(name).related_model  # type: ignore[assignment]
    return model
