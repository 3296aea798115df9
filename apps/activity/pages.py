"""Lists of one's own rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rest_framework.mixins import ListModelMixin

from apps.accounts.api import ViewSet
from apps.core.api_lists import Filter, ListFilters
from apps.core.api_pages import BareArrayPagination


class OwnViewSet(ListModelMixin, ViewSet):
    """Rows of the caller alone; `get_queryset` reads them through `for_user`."""

    resource = ""
    pagination_class = BareArrayPagination
    filter_backends = (ListFilters,)
    filters: Mapping[str, Filter] | None = None
    orderings: Mapping[str, str] = {}
    search_fields: Collection[str] = ()
    extra_parameters: Collection[str] = ()
