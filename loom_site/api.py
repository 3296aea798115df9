"""The routes of /api/v1/: each app's API module exposes `urlpatterns`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from apps.core.health import health
from loom_site.contract import unbuilt

built: list[URLPattern | URLResolver] = [
    path("health", health, name="health"),
    path("", include("apps.workflows.api")),  # `beads/workflow` is no bead
    path("", include("apps.workflows.work_api")),  # nor is `beads/auto-file`
    path("", include("apps.beads.api")),  # asked for most, and found early
    path("", include("apps.accounts.routes")),
    path("", include("apps.projects.sharing_api")),
    path("", include("apps.commands.api")),
    path("", include("apps.agents.api")),
    path("", include("apps.decisions.api")),
    path("", include("apps.decisions.openclaw_api")),
    path("", include("apps.workflows.escalation_api")),
    path("", include("apps.workflows.git_api")),
    path("", include("apps.workflows.command_api")),
    path("", include("apps.workflows.webhooks_api")),
    path("", include("apps.workflows.runs_api")),
    path("", include("apps.workflows.system_api")),
    path("", include("apps.motivations.api")),
    path("", include("apps.pairing.api")),
    path("", include("apps.pairing.chat_api")),
    path("", include("apps.pairing.repl_api")),
    path("", include("apps.workflows.api_projects")),
    path("", include("apps.providers.api")),
    path("", include("apps.providers.preferences_api")),
    path("", include("apps.analytics.api")),
    path("", include("apps.analytics.saving_api")),
    path("", include("apps.configuration.api")),
    path("", include("apps.activity.api")),
]
urlpatterns = [*unbuilt(built), *built]
