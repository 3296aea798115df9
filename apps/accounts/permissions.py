"""Who may do what: `<resource>:<action>` by role, in the organization the object belongs to.

A person may be an administrator of one organization and look on in another, so a permission is asked for
in an organization. `permission_require` is for code that knows which; `ResourcePermission` guards all routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.accounts.models import Membership, Role, User
from apps.core.errors import Forbidden

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from rest_framework.views import APIView  # which imports this module

    Person = User | AnonymousUser

READ, WRITE, DELETE, ADMIN = "read", "write", "delete", "admin"
ACTIONS = (READ, WRITE, DELETE, ADMIN)
RESOURCES = (
    "activity",
    "agents",
    "analytics",
    "beads",
    "conversations",
    "decisions",
    "events",
    "motivations",
    "personas",
    "projects",
    "providers",
    "runs",
    "system",
    "users",
    "workflows",
)
FOR_ADMINISTRATORS = frozenset({"system", "users"})  # resources no other role reads or writes
ROLE_ACTIONS: dict[str, frozenset[str]] = {
    Role.ADMIN: frozenset(ACTIONS),
    Role.USER: frozenset({READ, WRITE}),
    Role.VIEWER: frozenset({READ}),
    Role.SERVICE: frozenset(),  # may do what its API key says
}
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
    if resource in FOR_ADMINISTRATORS:
        return [Role.ADMIN]
    return [role for role, actions in ROLE_ACTIONS.items() if action in actions]


def organizations_with(user: User, permission: str) -> QuerySet[Membership, int]:
    """Ids of the organizations in which this person's role holds the permission."""
    held = Membership.objects.filter(user=user, role__in=roles_with(permission))
    return held.values_list("organization_id", flat=True)


def permission_holds(user: Person, permission: str, organization_id: int | None = None) -> bool:
    """The person may do this in that organization; without one, in any. Superusers may do everything."""
    if not user.is_active or not isinstance(user, User):
        return False
    if user.is_superuser:
        return True
    held = organizations_with(user, permission)
    return (held if organization_id is None else held.filter(organization_id=organization_id)).exists()


def permission_require(user: Person, permission: str, organization_id: int | None = None) -> None:
    """Forbidden, saying which permission is missing, unless `permission_holds`."""
    if not permission_holds(user, permission, organization_id):
        raise Forbidden(
            f"You lack the permission {permission}.",
            hint="Ask an administrator of the organization for a role that has it.",
            details={"permission": permission},
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
        permission_require(request.user, permission_of(view, request.method), organization_of(obj))
        return True
