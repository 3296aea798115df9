"""Who may do what: `<resource>:<action>` by role, in the organization the object belongs to.

A person may be an administrator of one organization and look on in another, so a permission is asked for
in an organization, or in a project, which may be shared with people of others. API keys narrow it further.
`permission_require` is for code that knows which; `ResourcePermission` guards all routes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.accounts.models import Membership, Role, User
from apps.core.errors import Forbidden
from apps.core.lookup import PLACE, Statement
from apps.core.tenancy import Access, Rows, access_of, belonging, shares, within_reach

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from rest_framework.views import APIView  # which imports this module

    Person = User | AnonymousUser

READ, WRITE, DELETE, ADMIN, USE = "read", "write", "delete", "admin", "use"
ACTIONS = (READ, WRITE, DELETE, ADMIN, USE)
ACCOUNT = "account"  # oneself: held by everybody who is logged in, though no API key may write it
RESOURCES = (
    ACCOUNT,
    "activity",
    "agents",
    "analytics",
    "audit",
    "beads",
    "conversations",
    "decisions",
    "events",
    "logs",
    "motivations",
    "notifications",
    "organizations",
    "personas",
    "projects",
    "providers",
    "repl",
    "runs",
    "system",
    "users",
    "workflows",
)
FOR_ADMINISTRATORS = frozenset({"audit", "system", "users"})  # resources no other role reads or writes
ROLE_ACTIONS: dict[str, frozenset[str]] = {
    Role.ADMIN: frozenset(ACTIONS),
    Role.USER: frozenset({READ, WRITE, USE}),
    Role.VIEWER: frozenset({READ}),
    Role.SERVICE: frozenset(),  # may do what its API key says
}
WRITTEN_BY_ADMINISTRATORS = frozenset({"organizations"})  # read by all members
SHARED_AS = (Role.USER, Role.VIEWER)  # roles in which a single project can be shared
METHOD_ACTIONS = {
    "GET": READ,
    "HEAD": READ,
    "OPTIONS": READ,
    "POST": WRITE,
    "PUT": WRITE,
    "PATCH": WRITE,
    "DELETE": DELETE,
}


def roles_with(permission: str) -> list[str]:
    """The roles that may do `<resource>:<action>`."""
    resource, _, action = permission.partition(":")
    if resource not in RESOURCES or action not in ACTIONS:
        raise ValueError(f"{permission!r} is no permission: it must be <resource>:<action>.")
    if resource in FOR_ADMINISTRATORS or (resource in WRITTEN_BY_ADMINISTRATORS and action != READ):
        return [Role.ADMIN]
    return [role for role, actions in ROLE_ACTIONS.items() if action in actions]


def permissions_of(role: str) -> list[str]:
    """All that a role may do, as programs are told it."""
    if role == Role.ADMIN:
        return ["*:*"]
    return [
        f"{resource}:{action}"
        for resource in RESOURCES
        if resource != ACCOUNT
        for action in ACTIONS
        if role in roles_with(f"{resource}:{action}")
    ]


def matching(scope: str) -> list[str]:
    """The permissions that a scope such as `beads:read`, `beads:*` or `*:read` stands for."""
    resource, _, action = scope.partition(":")
    return [
        f"{one}:{other}"
        for one in (RESOURCES if resource == "*" else [resource])
        for other in (ACTIONS if action == "*" else [action])
        if one != ACCOUNT
    ]


def organizations_with(user: User, permission: str) -> QuerySet[Membership, int]:
    """Ids of the organizations in which this person's role holds the permission, and the credential too."""
    access, roles = access_of(user), roles_with(permission)
    if access.grants:
        roles = [*roles, Role.SERVICE]
    held = Membership.objects.filter(user=user, role__in=roles if access.covers(permission) else [])
    if access.organization_id is not None:
        held = held.filter(organization_id=access.organization_id)
    return held.values_list("organization_id", flat=True)


def projects_with(user: User, permission: str) -> QuerySet[Any]:
    """Ids of the projects shared with this person in a role that holds the permission."""
    held = roles_with(permission) if access_of(user).covers(permission) else []
    return shares(user, [role for role in SHARED_AS if role in held])


def rows_with(user: User, permission: str, rows: Rows, path: str) -> Rows:
    """The rows in whose organization or project this person holds the permission.

    `path` leads from a row to its organization's id.
    """
    access = access_of(user)
    if not user.is_active or not access.covers(permission):
        return rows.none()
    rows = within_reach(access, rows, path)
    if user.is_superuser:
        return rows
    held = belonging(rows.model, path, organizations_with(user, permission), projects_with(user, permission))
    return rows.filter(held)


def permission_holds(
    user: Person, permission: str, organization_id: int | None = None, project_id: int | None = None
) -> bool:
    """The person may do this in that organization, or in that project of it; without either, somewhere."""
    if not user.is_active or not isinstance(user, User):
        return False
    access = access_of(user)
    if permission.partition(":")[0] == ACCOUNT:
        return not access.is_key or permission == f"{ACCOUNT}:{READ}"
    if not _reaches(access, permission, organization_id, project_id):
        return False
    if user.is_superuser:
        return True
    if organization_id is None and project_id is None:
        somewhere = _somewhere(access, permission)
        return bool(somewhere and somewhere.fetch(user.pk)) or projects_with(user, permission).exists()
    held = organizations_with(user, permission)
    if organization_id is not None and held.filter(organization_id=organization_id).exists():
        return True
    if project_id is None:
        return False
    return project_id in {row["content_object_id"] for row in projects_with(user, permission)}


@lru_cache(maxsize=1024)
def _somewhere(access: Access, permission: str) -> Statement | None:
    """Asked for by every request."""
    anybody = User(pk=PLACE)
    anybody.access = access
    return Statement.of(organizations_with(anybody, permission)[:1])


def _reaches(access: Access, permission: str, organization_id: int | None, project_id: int | None) -> bool:
    if not access.covers(permission):
        return False
    if organization_id is None and project_id is None:
        return True
    if access.organization_id not in (None, organization_id):
        return False
    return access.project_id in (None, project_id)


def permission_require(
    user: Person, permission: str, organization_id: int | None = None, project_id: int | None = None
) -> None:
    """Forbidden, saying which permission is missing, unless `permission_holds`."""
    if not permission_holds(user, permission, organization_id, project_id):
        is_key = access_of(user).is_key
        raise Forbidden(
            f"{'This API key lacks' if is_key else 'You lack'} the permission {permission}.",
            hint="Make a key that has it."
            if is_key
            else "Ask an administrator of the organization for a role that has it.",
            details={"permission": permission},
        )


def role_give_require(giver: Person, role: str) -> None:
    """Forbidden where an API key would let somebody in who may do more than the key itself.

    Else one that may only write users were as good as an administrator's password.
    """
    access = access_of(giver)
    lacking = [one for one in permissions_of(role) if not access.covers(one)]
    if lacking:
        raise Forbidden(
            f"This API key lacks {lacking[0]}, which the role {role} holds.",
            hint="A key can give a role only if it may do all that the role may.",
            details={"permission": lacking[0]},
        )


def permission_of(view: APIView, method: str | None) -> str:
    """What a route asks for: the view's `resource`, and what `permission_actions` or the method says."""
    resource = getattr(view, "resource", "")
    named = getattr(view, "permission_actions", {}).get(getattr(view, "action", None))
    action = named or METHOD_ACTIONS.get(method or "", ADMIN)
    if not resource:
        raise Forbidden("This route is closed: it does not say which permission it needs.")
    return f"{resource}:{action}"


class ResourcePermission(BasePermission):
    """The default of every API route; one without a `resource` lets nobody in."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user.is_authenticated:
            return False
        permission_require(request.user, permission_of(view, request.method))
        return True

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        """Asked again for the object found: the person's role there is what counts."""
        organization_of = getattr(view, "organization_of", None)
        if organization_of is None:
            raise Forbidden("This route is closed: it does not say whose objects it shows.")
        project_of = getattr(view, "project_of", None)
        project_id = project_of(obj) if project_of is not None else None
        permission_require(
            request.user, permission_of(view, request.method), organization_of(obj), project_id
        )
        return True
