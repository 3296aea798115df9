"""All routes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from apps.core.health import health

urlpatterns = [
    path("api/v1/health", health, name="health"),
    path("admin/", admin.site.urls),
    path("queues/", include("django_rq.urls")),
    path("", include("apps.dashboard.urls")),
]
