"""All routes."""

from __future__ import annotations

import django_rq.urls
from django.contrib import admin
from django.urls import URLPattern, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from apps.analytics.views import metrics
from apps.core import api_schema_text
from apps.core.pages import redoc_script
from apps.engine.machinery_admin import operators_only

SCHEMA = "/api/schema/?format=json"  # YAML takes a browser many times as long

queues = [
    URLPattern(page.pattern, operators_only(page.callback), page.default_args, page.name)
    for page in django_rq.urls.urlpatterns
]

handler400 = "apps.core.pages.bad_request"
handler404 = "apps.core.pages.not_found"
handler500 = "apps.core.pages.server_error"

urlpatterns = [
    path("api/v1/", include("loom_site.api")),
    path("api/schema/", SpectacularAPIView.as_view(renderer_classes=api_schema_text.ALL), name="schema"),
    path(
        "api/openapi.yaml",
        SpectacularAPIView.as_view(renderer_classes=api_schema_text.YAML),
        name="openapi-yaml",
    ),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url=SCHEMA), name="swagger"),
    path("api/redoc/", SpectacularRedocView.as_view(url=SCHEMA), name="redoc"),
    path("api/redoc/redoc.js", redoc_script, name="redoc-script"),
    # The admin's own page would neither count wrong passwords nor end tokens.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account-password")),
    path("admin/", admin.site.urls),
    path("queues/", include((queues, "django_rq"))),
    path("metrics", metrics, name="metrics"),
    path("", include("apps.accounts.urls")),
    path("", include("apps.dashboard.urls")),
]
