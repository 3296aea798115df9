"""Answers where no view answers: programs get JSON, people a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views import defaults
from django.views.decorators.cache import cache_control

API_PREFIX = "/api/"
REDOC = "drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"
PICTURE = b"https://cdn.redoc.ly/redoc/logo-mini.svg"


def _answer(status: int, code: str, sentence: str) -> JsonResponse:
    return JsonResponse({"error": sentence, "code": code, "details": {}}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if request.path.startswith(API_PREFIX):
        return _answer(400, "bad_input", "The request makes no sense as it stands.")
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if request.path.startswith(API_PREFIX):
        return _answer(404, "not_found", f"There is no {request.path[:200]}.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    if request.path.startswith(API_PREFIX):
        return _answer(500, "internal", "Something went wrong here; the log says what.")
    return defaults.server_error(request)


@cache_control(public=True, max_age=24 * 3600)
def redoc_script(request: HttpRequest) -> HttpResponse:
    """ReDoc's script without the picture that it would fetch from its makers."""
    return HttpResponse(_redoc(), content_type="text/javascript")


@cache
def _redoc() -> bytes:
    return Path(str(finders.find(REDOC))).read_bytes().replace(PICTURE, b"data:,")
