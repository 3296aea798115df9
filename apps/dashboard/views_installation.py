"""The installation's own page, for those who operate it."""

from __future__ import annotations

import time
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse

from apps.dashboard.pages import page_told_by, show
from apps.dashboard.queries_installation import installation as installation_read
from apps.engine.machinery_admin import JOBS

FRESH_S: Final = 10  # events do not tell of health: it is asked anew so often, and no oftener


@page_told_by(lambda request: int(time.time() // FRESH_S))
def installation(request: HttpRequest) -> HttpResponse:
    """All tenants share the machines: for superusers, and staff who may see every job."""
    user: Any = request.user
    if not (user.is_staff and user.has_perm(JOBS)):
        raise Http404
    return show(request, "dashboard/installation.html", installation_read())
