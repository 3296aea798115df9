"""Which rows a person may see: those of their organizations and of projects shared with them.

A credential (API key, token, session) may reach less far than its owner: `user.access` says how far, and
narrows every queryset's `for_user` and every permission asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from apps.core.lookup import PLACE, Statement

Rows = TypeVar("Rows", bound=QuerySet[Any])
Ids = QuerySet[Any] | tuple[int, ...]


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
SERVICE = "service"  # the role that allows nothing by itself
REMEMBERED = 200  # ids that a statement names one by one; of more it asks the database itself


@dataclass(frozen=True)
class Circle:
    """Where somebody belonged when a page began to be read: ids of organizations, and of projects shared."""

    organizations: tuple[int, ...]
    projects: tuple[int, ...]


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
    circle: Circle | None = getattr(user, "circle", None)
    if circle is not None:
        return rows.filter(belonging(rows.model, path, circle.organizations, circle.projects))
    return rows.filter(belonging(rows.model, path, organizations_of(user), shares(user)))


def organizations_of(user: Any) -> QuerySet[Any]:
    """Ids of the organizations that somebody belongs to; a service account does only by its key."""
    rows = user.memberships.all()
    found: QuerySet[Any] = rows if access_of(user).is_key else rows.exclude(role=SERVICE)
    return found.values("organization_id")


def circle_read(user: Any) -> None:
    """Read once where this person belongs, for the many statements of one page.

    Only for what reads and is over in a moment: whoever is let in or put out meanwhile is not noticed.
    """
    if not user.is_active or user.is_superuser:
        return
    statements = _circle_of(user.__class__, access_of(user).is_key)
    organizations, projects = (rows.fetch(user.pk) for rows in statements)
    if max(len(organizations), len(projects)) <= REMEMBERED:
        user.circle = Circle(tuple(pk for (pk,) in organizations), tuple(pk for (pk,) in projects))


@cache
def _circle_of(model: type[Any], is_key: bool) -> list[Statement]:
    anybody = model(pk=PLACE)
    anybody.access = Access(scopes=frozenset() if is_key else None)
    wanted = organizations_of(anybody).values_list("organization_id"), shares(anybody)
    return [one for rows in wanted if (one := Statement.of(rows)) is not None]


def within_reach(access: Access, rows: Rows, path: str) -> Rows:
    """Without what the credential does not reach."""
    if access.organization_id is not None:
        rows = rows.filter(**{path: access.organization_id})
    if access.project_id is not None:
        project = project_path(rows.model, path)
        rows = rows.filter(**{project: access.project_id}) if project else rows.none()
    return rows


def belonging(model: type[Model], path: str, organizations: Ids, projects: Ids) -> Q:
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
