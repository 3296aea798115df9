"""`/metrics`: for the Prometheus of the installation's operators."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from rest_framework.exceptions import APIException

from apps.accounts.authentication import person_from
from apps.analytics.metrics import CONTENT_TYPE, exposition


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Shown to superusers, and to whoever has LOOM_METRICS_TOKEN: it is about all organizations."""
    if _may(request):
        return HttpResponse(exposition(), content_type=CONTENT_TYPE)
    answer = HttpResponse("Send LOOM_METRICS_TOKEN as bearer token.\n", "text/plain", status=401)
    answer["WWW-Authenticate"] = 'Bearer realm="loom metrics"'
    return answer


def _may(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted: str = settings.LOOM_METRICS_TOKEN
    if wanted and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode()):
        return True
    try:
        person = person_from(request.headers) or request.user
    except APIException:
        return False
    return person.is_active and person.is_superuser
