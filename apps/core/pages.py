"""Answers where no view answers: programs get JSON, people a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults

API_PREFIX = "/api/"


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
