"""All routes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

handler400 = "apps.core.pages.bad_request"
handler404 = "apps.core.pages.not_found"
handler500 = "apps.core.pages.server_error"

urlpatterns = [
    path("api/v1/", include("loom_site.api")),
    path("admin/", admin.site.urls),
    path("queues/", include("django_rq.urls")),
    path("", include("apps.dashboard.urls")),
]
