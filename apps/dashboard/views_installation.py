"""The installation's own page, for those who operate it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from apps.dashboard.pages import page, show
from apps.dashboard.queries_installation import installation as installation_read
from apps.engine.machinery_admin import JOBS


@page
def installation(request: HttpRequest) -> HttpResponse:
    """All tenants share the machines: for superusers, and staff who may see every job."""
    user: Any = request.user
    if not (user.is_staff and user.has_perm(JOBS)):
        raise Http404
    return show(request, "dashboard/installation.html", installation_read())
