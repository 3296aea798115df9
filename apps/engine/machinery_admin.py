"""The admin's page of queues and workers, and who may see the pages of the queue of jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError

from apps.engine.machinery import machinery
from apps.engine.models import Run

JOBS = "django_rq.admin"
log = logging.getLogger(__name__)
View = Callable[..., HttpResponse]


@never_cache
def machinery_view(request: HttpRequest) -> HttpResponse:
    """All tenants share the machines: for superusers, and staff who may see every job."""
    if not request.user.has_perm(JOBS):
        raise PermissionDenied
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        **machinery(),
        "title": "Queues and workers",
        "opts": Run._meta,
    }
    is_part = request.headers.get("X-Part") == "machinery"
    return TemplateResponse(request, f"admin/engine/machinery{'_part' * is_part}.html", context)


def operators_only(view: View) -> View:
    """Jobs are of all tenants, and can be ended and repeated: being staff is not enough."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not (request.user.is_staff and request.user.has_perm(JOBS)):
            raise PermissionDenied
        try:
            return view(request, *args, **kwargs)
        except RedisError as error:
            log.warning("the pages of jobs are not shown, since the broker does not answer: %s", error)
            messages.error(request, "The broker does not answer, so nobody knows which jobs there are.")
            return redirect("admin:engine_machinery")

    return guarded
