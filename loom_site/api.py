"""The routes of /api/v1/: each app's API module exposes `urlpatterns`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from apps.core.health import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("health", health, name="health"),
    path("", include("apps.decisions.api")),
    path("", include("apps.workflows.escalation_api")),
    path("", include("apps.workflows.runs_api")),
    path("", include("apps.workflows.api")),
    path("", include("apps.motivations.api")),
]
