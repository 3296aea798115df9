"""What the API's views share: rows of one's own organizations, permissions in the right one, pages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import Organization
from apps.accounts.permissions import READ, organizations_with, permission_of, permission_require, rows_with
from apps.core.api_conditions import ConditionalMixin
from apps.core.api_lists import Filter, ListFilters, Listing, rows_asked
from apps.core.api_once import OnceMixin
from apps.core.api_pages import BareArrayPagination
from apps.core.errors import BadInput, NotFound
from apps.core.tenancy import project_path

if TYPE_CHECKING:
    ViewSet = GenericViewSet[Any]
else:
    # At run time the class takes no parameters.
    ViewSet = GenericViewSet

M = TypeVar("M", bound=Model)


def _follow(path: str, obj: Any) -> Any:
    return reduce(getattr, path.split("__"), obj)


def _project_of(obj: Any, organization_path: str) -> Any:
    path = project_path(type(obj), organization_path)
    return _follow(path, obj) if path else None


class TenantViewSet(OnceMixin, ConditionalMixin, ListModelMixin, RetrieveModelMixin, ViewSet):
    """List and retrieve rows of the person's organizations; what writes is added and calls services.

    A subclass sets `resource` (asked for is `<resource>:<read|write|delete>` by method, or what
    `permission_actions` says for an action) and `get_queryset` from `Model.objects.for_user(user)`.
    """

    resource = ""
    permission_actions: dict[str, str] = {}
    organization_path = "project__organization_id"  # leads from a row to its organization's id
    pagination_class = BareArrayPagination
    filter_backends = (ListFilters,)
    filters: Mapping[str, Filter] | None = None  # what the list understands; None: this is not said yet
    orderings: Mapping[str, str] = {}  # parameter -> field, of fields that are never null
    search_fields: Collection[str] = ()
    extra_parameters: Collection[str] = ()  # what the view reads from the query string itself
    listings: Mapping[str, Listing] = {}  # the same of other actions that answer lists

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Without the organizations and shared projects in which one's role may not read this."""
        rows: QuerySet[Any] = super().filter_queryset(queryset)
        user: Any = self.request.user
        return rows_with(user, f"{self.resource}:{READ}", rows, self.organization_path)

    def listed(self, rows: Any, bodies: Callable[[Any], Any]) -> Response:
        """The answer to a list of what an object has, by what `listings` says of this action."""
        if not isinstance(rows, list):
            rows = rows_asked(self.request, rows, self)
        return self.get_paginated_response(bodies(self.paginate_queryset(rows) or []))

    def organization_of(self, obj: Any) -> Any:
        return _follow(self.organization_path, obj)

    def project_of(self, obj: Any) -> Any:
        return _project_of(obj, self.organization_path)

    @property
    def body(self) -> dict[str, Any]:
        """The request's JSON object."""
        body: Any = self.request.data
        return dict(body)

    def permission_check(self, organization_id: int, project_id: int | None = None) -> None:
        """For writes: Forbidden unless the person may do what this request does there."""
        permission = permission_of(self, self.request.method)
        permission_require(self.request.user, permission, organization_id, project_id)

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
        self.permission_check(_follow(organization_path, found), _project_of(found, organization_path))
        return found

    def organization_get(self, given: Any = None, *, project: Any = None) -> Organization:
        """The organization of a write: the one given (id or slug), else the only one it can be meant for.

        If the write names a `project` too, it is the project's, which `given` must not contradict.
        """
        if project is not None:
            of: Organization = project.organization
            if given not in (None, "") and str(given) not in (str(of.pk), of.slug):
                raise BadInput(
                    f"The project belongs to {of.slug}, not to {str(given)[:80]!r}.",
                    hint="Send one of the two.",
                    details={"field": "organization"},
                )
            return of
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
