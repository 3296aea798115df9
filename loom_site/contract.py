"""Every route that clients of the original Loom know, and what stands for those that are not built yet."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.urls import Resolver404, path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.core.errors import NotBuilt

# "*": named in the README. The last word is the resource whose permission is asked for.
ROUTES = """
* GET /health system
  GET /system/status system
  POST /auth/login users
  POST /auth/refresh users
  POST /auth/change-password users
  POST /auth/api-keys users
  GET /auth/api-keys users
  DELETE /auth/api-keys/{id} users
  GET /auth/me users
  GET /auth/users users
  POST /auth/users users
  GET /personas personas
  GET /personas/{group}/{name} personas
  PUT /personas/{group}/{name} personas
* GET /agents agents
* POST /agents agents
* GET /agents/{id} agents
  PUT /agents/{id} agents
  DELETE /agents/{id} agents
  POST /agents/{id}/clone agents
* GET /projects projects
  POST /projects projects
* GET /projects/{id} projects
  PUT /projects/{id} projects
  DELETE /projects/{id} projects
  POST /projects/bootstrap projects
* POST /projects/{id}/close projects
* POST /projects/{id}/reopen projects
* POST /projects/{id}/comments projects
  GET /projects/{id}/comments projects
* GET /projects/{id}/state projects
  POST /projects/{id}/agents projects
  GET /projects/{id}/git-key projects
  POST /projects/{id}/git-key projects
  GET /projects/{id}/files/read projects
  GET /projects/{id}/files/tree projects
  GET /projects/{id}/files/search projects
  POST /projects/{id}/files/patch projects
  POST /projects/git/sync projects
  POST /projects/git/commit projects
  POST /projects/git/push projects
  GET /projects/git/status projects
  GET /org-charts/{id} agents
* GET /beads beads
* POST /beads beads
* GET /beads/{id} beads
* PUT /beads/{id} beads
  PATCH /beads/{id} beads
  POST /beads/{id}/claim beads
  POST /beads/{id}/redispatch beads
  POST /beads/{id}/escalate beads
  GET /beads/{id}/conversation conversations
  GET /beads/{id}/comments beads
  POST /beads/{id}/comments beads
  PATCH /comments/{id} beads
  DELETE /comments/{id} beads
  POST /beads/auto-file beads
  GET /beads/workflow workflows
* GET /decisions decisions
* POST /decisions decisions
  GET /decisions/{id} decisions
* PUT /decisions/{id} decisions
  POST /decisions/{id}/decide decisions
  GET /file-locks beads
  POST /file-locks beads
  DELETE /file-locks/{id}/{path} beads
* GET /work-graph beads
  GET /providers providers
  POST /providers providers
  GET /providers/{id} providers
  PUT /providers/{id} providers
  DELETE /providers/{id} providers
  GET /providers/{id}/models providers
  POST /providers/{id}/negotiate providers
  GET /routing/policies providers
  POST /routing/select providers
  GET /models/recommended providers
  POST /work beads
  POST /repl repl
  POST /commands/execute projects
  GET /commands projects
  GET /commands/{id} projects
  POST /chat/completions conversations
  POST /chat/completions/stream conversations
  POST /pair conversations
  GET /conversations conversations
  GET /conversations/{id} conversations
  DELETE /conversations/{id} conversations
  POST /conversations/{id}/reset conversations
* GET /events/stream events
* GET /events/stats events
  GET /events events
  GET /activity-feed activity
  GET /activity-feed/stream activity
  GET /notifications activity
  GET /notifications/stream activity
  POST /notifications/{id}/read activity
  POST /notifications/mark-all-read activity
  GET /notifications/preferences activity
  PATCH /notifications/preferences activity
  GET /logs/recent system
  GET /logs/stream system
  GET /logs/export system
* GET /analytics/logs analytics
* GET /analytics/stats analytics
* GET /analytics/costs analytics
* GET /analytics/export analytics
* GET /analytics/export-stats analytics
  GET /analytics/batching analytics
  GET /cache/stats analytics
  GET /cache/config system
  POST /cache/clear system
  POST /cache/invalidate system
  GET /cache/analysis analytics
  GET /cache/opportunities analytics
  POST /cache/optimize analytics
  GET /cache/recommendations analytics
  GET /patterns/analysis analytics
  GET /patterns/expensive analytics
  GET /patterns/anomalies analytics
  GET /optimizations analytics
  GET /optimizations/substitutions analytics
  POST /optimizations/{id}/apply analytics
  GET /prompts/analysis analytics
  GET /prompts/optimizations analytics
  GET /config system
  PUT /config system
  GET /config/export.yaml system
  POST /config/import.yaml system
  GET /motivations motivations
  POST /motivations motivations
  GET /motivations/{id} motivations
  PUT /motivations/{id} motivations
  PATCH /motivations/{id} motivations
  DELETE /motivations/{id} motivations
  POST /motivations/{id}/enable motivations
  POST /motivations/{id}/disable motivations
  POST /motivations/{id}/trigger motivations
  GET /motivations/history motivations
  GET /motivations/idle motivations
  GET /motivations/roles motivations
  POST /motivations/defaults motivations
  GET /workflows workflows
  GET /workflows/{id} workflows
  GET /workflows/executions workflows
  GET /workflows/analytics workflows
  GET /federation/status system
  POST /federation/sync system
  POST /webhooks/github system
  GET /webhooks/status system
  POST /webhooks/openclaw system
  GET /openclaw/status system
"""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    resource: str
    is_named: bool

    @property
    def address(self) -> str:
        """One that the route matches."""
        filled = self.path
        for name in ("{id}", "{group}", "{name}", "{path}"):
            filled = filled.replace(name, "1")
        return f"/api/v1{filled}"


def routes() -> list[Route]:
    found = []
    for line in ROUTES.strip().splitlines():
        *star, method, where, resource = line.split()
        found.append(Route(method, where, resource, bool(star)))
    return found


class NotBuiltViewSet(TenantViewSet):
    """Answers 501; docs/api-status.md lists what does."""

    schema_tag = "not built"
    schema_answers: dict[str, Any] = {"say": {}}
    list_actions: frozenset[str] = frozenset()
    etag_actions = frozenset()
    pagination_class: Any = None
    filter_backends: Any = ()

    def say(self, request: Request, **kwargs: str) -> Response:
        raise NotBuilt(
            f"{request.method} {request.path[:200]} is not built yet.",
            hint="docs/api-status.md lists what is.",
        )


def _pattern(where: str, of: list[Route]) -> Any:
    django = where.removeprefix("/").replace("{path}", "<path:path>")
    for name in ("id", "group", "name"):
        django = django.replace(f"{{{name}}}", f"<str:{name}>")
    methods: dict[str, Any] = {route.method.lower(): "say" for route in of}
    view: Any = type("NotBuiltViewSet", (NotBuiltViewSet,), {"resource": of[0].resource})
    return path(django, view.as_view(methods))


def missing(built: list[Any]) -> list[Route]:
    """The routes that none of the patterns `built` answers."""
    return [route for route in routes() if not _answers(built, route)]


def unbuilt(built: list[Any]) -> list[Any]:
    """Patterns for them, to stand before the others: `beads/auto-file` is no bead."""
    by_path: dict[str, list[Route]] = {}
    for route in missing(built):
        by_path.setdefault(route.path, []).append(route)
    return [_pattern(where, of) for where, of in by_path.items()]


def _answers(patterns: list[Any], route: Route) -> bool:
    address = route.address.removeprefix("/api/v1/")
    for pattern in patterns:
        with suppress(Resolver404):
            if (match := pattern.resolve(address)) is not None:
                return route.method.lower() in _methods(match.func)
    return False


def _methods(callback: Any) -> Collection[str]:
    actions = getattr(callback, "actions", None)
    if actions is not None:
        return list(actions)
    view = getattr(callback, "cls", None)
    return ["get"] if view is None else [name for name in view.http_method_names if hasattr(view, name)]
