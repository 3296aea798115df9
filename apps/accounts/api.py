"""What the API's views share: rows of one's own organizations, permissions in the right one, pages."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import Organization
from apps.accounts.permissions import READ, organizations_with, permission_of, permission_require
from apps.core.api import query_number
from apps.core.errors import BadInput, NotFound

if TYPE_CHECKING:
    ViewSet = GenericViewSet[Any]
else:
    # At run time the class takes no parameters.
    ViewSet = GenericViewSet

M = TypeVar("M", bound=Model)


class BareArrayPagination(LimitOffsetPagination):
    """Lists are bare arrays: the total stands in X-Total-Count, the neighboring pages in Link."""

    default_limit = 100
    max_limit = 1000

    def get_limit(self, request: Request) -> int:
        limit = query_number(request, "limit", default=self.default_limit, least=1)
        return min(limit or self.default_limit, self.max_limit)

    def get_offset(self, request: Request) -> int:
        return query_number(request, "offset", default=0) or 0

    def get_paginated_response(self, data: Any) -> Response:
        links = {"next": self.get_next_link(), "prev": self.get_previous_link()}
        headers = {"X-Total-Count": str(self.count)}
        if link := ", ".join(f'<{address}>; rel="{name}"' for name, address in links.items() if address):
            headers["Link"] = link
        return Response(data, headers=headers)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema


def _follow(path: str, obj: Any) -> Any:
    return reduce(getattr, path.split("__"), obj)


class TenantViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """List and retrieve rows of the person's organizations; what writes is added and calls services.

    A subclass sets `resource` (asked for is `<resource>:<read|write|delete>` by method, or what
    `permission_actions` says for an action) and `get_queryset` from `Model.objects.for_user(user)`.
    """

    resource = ""
    permission_actions: dict[str, str] = {}
    organization_path = "project__organization_id"  # leads from a row to its organization's id
    pagination_class = BareArrayPagination

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Without the organizations in which one's role may not read this."""
        rows = super().filter_queryset(queryset)
        user: Any = self.request.user
        if user.is_superuser:
            return rows
        readable = organizations_with(user, f"{self.resource}:{READ}")
        return rows.filter(**{f"{self.organization_path}__in": readable})

    def organization_of(self, obj: Any) -> Any:
        return _follow(self.organization_path, obj)

    @property
    def body(self) -> dict[str, Any]:
        """The request's JSON object."""
        body: Any = self.request.data
        return dict(body)

    def permission_check(self, organization_id: int) -> None:
        """For writes: Forbidden unless the person may do what this request does in that organization."""
        permission_require(self.request.user, permission_of(self, self.request.method), organization_id)

    def parent_get(
        self, rows: QuerySet[M], key: Any, *, field: str = "pk", organization_path: str = "organization_id"
    ) -> M:
        """The object a write is about, such as the project of a new bead; 404 where it is none of ours."""
        noun = rows.model._meta.verbose_name
        try:
            found = rows.filter(**{field: key}).first()
        except (TypeError, ValueError):
            found = None
        if found is None:
            raise NotFound(f"There is no {noun} {str(key)[:80]!r}.")
        self.permission_check(_follow(organization_path, found))
        return found

    def organization_get(self, given: Any = None) -> Organization:
        """The organization of a write: the one given (id or slug), else the only one it can be meant for."""
        mine = Organization.objects.for_user(self.request.user)
        if given not in (None, ""):
            return self.parent_get(
                mine, given, field="pk" if str(given).isdigit() else "slug", organization_path="pk"
            )
        user: Any = self.request.user
        if not user.is_superuser:
            held = organizations_with(user, permission_of(self, self.request.method))
            mine = mine.filter(pk__in=held)
        if len(found := list(mine[:2])) != 1:
            raise BadInput("Say which organization this is for.", hint="Send its id or slug as organization.")
        return found[0]
