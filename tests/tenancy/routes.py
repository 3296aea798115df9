"""All routes there are, read from the URL conf."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.views.generic.edit import ProcessFormView

from apps.accounts.permissions import METHOD_ACTIONS

ELSEWHERE = ("admin/", "queues/")  # for staff only; a test of their own
METHODS = ("get", "post", "put", "patch", "delete")
GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()\[\]\\]|\\.|\[(?:[^\]\\]|\\.)*\]|\([^()]*\))*\)|<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Route:
    """`name` is what a row of the table is called, such as `GET /api/v1/beads/{pk}`."""

    method: str
    path: str
    permission: str = ""  # what the view asks for; empty: a page, or the view does not say

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api/")


def all_routes() -> list[Route]:
    """Every method of every route."""
    found: dict[str, Route] = {}
    for path, pattern in _patterns(get_resolver().url_patterns):
        for method, permission in _methods(pattern.callback):
            route = Route(method, path, permission)
            found.setdefault(route.name, route)
    return list(found.values())


def _patterns(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        text = prefix + str(pattern.pattern)
        if text.startswith(ELSEWHERE):
            continue
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, text)
        elif "format>" not in text and r"\.(?P" not in text:  # the same view with .json behind it
            yield readable(text), pattern


def readable(pattern: str) -> str:
    """`^decisions/(?P<pk>[^/.]+)$` is /decisions/{pk}."""
    text = GROUP.sub(lambda found: "{" + (found[1] or found[2]) + "}", pattern)
    text = text.replace("^", "").replace("$", "").replace(r"\Z", "").replace("\\", "")
    return "/" + text


def _methods(callback: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    actions: dict[str, str] = getattr(callback, "actions", None) or {}
    resource = getattr(view, "resource", "") or getattr(callback, "resource", "")
    named = getattr(view, "permission_actions", {})
    methods = list(actions) or [
        name for name in getattr(view, "http_method_names", ()) if hasattr(view, name)
    ]
    if view is not None and issubclass(view, ProcessFormView):
        methods = [name for name in methods if name != "put"]  # the framework's second name for post
    for method in methods or _required(callback):
        if method in METHODS:
            action = named.get(actions.get(method, "")) or METHOD_ACTIONS[method.upper()]
            yield method, f"{resource}:{action}" if resource else ""


def _required(callback: Any) -> list[str]:
    """The methods that `require_http_methods` and its kin let a plain view have; else get."""
    while callback is not None:
        names = getattr(getattr(callback, "__code__", None), "co_freevars", ())
        cells = [cell.cell_contents for cell in getattr(callback, "__closure__", None) or ()]
        if "request_method_list" in names:
            return [method.lower() for method in cells[names.index("request_method_list")]]
        callback = getattr(callback, "__wrapped__", None)
    return ["get"]
