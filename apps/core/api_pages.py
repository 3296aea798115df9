"""Pages of lists: bare arrays, or arrays in an object where clients of the original expect one."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from typing import Any

from django.core import signing
from django.db.models import Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from apps.core.api import query_number
from apps.core.api_lists import bad, ordering_of, parameter

CURSOR_SALT = "loom.cursor"


class BareArrayPagination(BasePagination):
    """Lists are bare arrays: the total stands in X-Total-Count, the neighboring pages in Link.

    By `limit` and `offset`; or by `limit` and `cursor` (empty for the first page), which neither skips nor
    repeats rows when others come and go meanwhile.
    """

    default_limit = 100
    max_limit = 1000

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        limit = query_number(request, "limit", default=self.default_limit, least=1)
        self.limit = min(limit or self.default_limit, self.max_limit)
        self.count = len(queryset) if isinstance(queryset, list) else queryset.count()
        self.next: dict[str, Any] = {}
        self.offset = 0
        if "cursor" in request.query_params and not isinstance(queryset, list):
            return self._after_cursor(queryset, view)
        self.offset = query_number(request, "offset", default=0) or 0
        if self.offset >= self.count:
            return []
        if self.offset + self.limit < self.count:
            self.next = {"offset": self.offset + self.limit}
        return list(queryset[self.offset : self.offset + self.limit])

    def _after_cursor(self, rows: QuerySet[Any], view: Any) -> list[Any]:
        ordering = ordering_of(self.request, view, rows)
        if text := self.request.query_params["cursor"]:
            rows = rows.filter(_beyond(ordering, _cursor_read(text, ordering)))
        page = list(rows.order_by(*ordering)[: self.limit + 1])
        if len(page) > self.limit:
            page.pop()
            last = [_value(page[-1], field.removeprefix("-")) for field in ordering]
            self.next = {"cursor": signing.dumps([ordering, last], salt=CURSOR_SALT)}
        return page

    def _links(self) -> dict[str, str]:
        here, links = self.request.build_absolute_uri(), {}
        if self.next:
            ((name, value),) = self.next.items()
            links["next"] = replace_query_param(replace_query_param(here, "limit", self.limit), name, value)
        if self.offset:
            back = self.offset - self.limit
            links["prev"] = replace_query_param(here, "offset", back)
            if back <= 0:
                links["prev"] = remove_query_param(here, "offset")
            links["first"] = remove_query_param(here, "offset")
        elif self.request.query_params.get("cursor"):
            links["first"] = replace_query_param(here, "cursor", "")
        return links

    def get_paginated_response(self, data: Any) -> Response:
        headers = {"X-Total-Count": str(self.count)}
        if link := ", ".join(f'<{address}>; rel="{name}"' for name, address in self._links().items()):
            headers["Link"] = link
        return Response(data, headers=headers)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "default": self.default_limit}
        return [
            parameter("limit", limit, f"Rows of a page; more than {self.max_limit} gives {self.max_limit}."),
            parameter("offset", {"type": "integer", "minimum": 0, "default": 0}, "Rows to skip."),
            parameter("cursor", {"type": "string"}, "Where the last page ended, of its Link; empty: begin."),
        ]


class Envelope(BareArrayPagination):
    """`{<name>: [...], "count": <of this page>}`; the headers are those of bare lists."""

    name = ""
    counts_all = False  # `count` is of all pages
    tells_place = False  # with `limit` and `offset` too

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data = {self.name: data, "count": self.count if self.counts_all else len(data)}
        if self.tells_place:
            response.data |= {"limit": self.limit, "offset": self.offset}
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        number = {"type": "integer"}
        told = {self.name: schema, "count": number}
        if self.tells_place:
            told |= {"limit": number, "offset": number}
        return {"type": "object", "properties": told, "required": list(told)}


def _value(row: Any, path: str) -> Any:
    value = row[path] if isinstance(row, dict) else reduce(getattr, path.split("__"), row)
    return value.isoformat() if isinstance(value, datetime) else value


def _cursor_read(text: str, ordering: list[str]) -> list[Any]:
    try:
        made_for, values = signing.loads(text, salt=CURSOR_SALT)
    except (signing.BadSignature, ValueError):
        made_for, values = None, []
    if made_for != ordering:
        raise bad("cursor", "This is no cursor of this list in this order; begin with an empty one.")
    return list(values)


def _beyond(ordering: list[str], values: list[Any]) -> Q:
    """Rows that come after the one with these values."""
    beyond, same = Q(), Q()
    for field, value in zip(ordering, values, strict=True):
        name = field.removeprefix("-")
        side = "lt" if field.startswith("-") else "gt"
        beyond |= same & Q(**{f"{name}__{side}": value})
        same &= Q(**{name: value})
    return beyond
