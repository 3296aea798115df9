"""What every API view shares: the error body."""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from apps.core.errors import LoomError


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every known error as {"error": sentence, "code": slug, "details": {...}}."""
    if isinstance(error, LoomError):
        return Response(error.body(), status=error.status)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        body = {
            "error": "Some fields are not valid.",
            "code": "invalid",
            "details": {"fields": response.data},
        }
    else:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
        body = {"error": str(detail), "code": getattr(detail, "code", "error"), "details": {}}
    response.data = body
    return response
