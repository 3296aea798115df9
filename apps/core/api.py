"""What every API view shares: the error body and numbers of the query string."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import RequestDataTooBig
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from apps.core.errors import BadInput, LoomError, TooLarge

MAX_NUMBER = 2**63 - 1
NONE = re.compile(r"^No ([A-Z]\w*) matches the given query\.$")  # Django's words, of a class


def _none_said(found: re.Match[str]) -> str:
    """`WorkflowDefinition` are two words to those who ask for one."""
    return f"There is no such {' '.join(re.findall('[A-Z]+(?![a-z])|[A-Z][a-z]*', found[1])).lower()}."


def query_number(request: Request, name: str, *, default: int | None = None, least: int = 0) -> int | None:
    """A whole number of the query string; BadInput if it is none."""
    text = request.query_params.get(name, "").strip()
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    if not least <= number <= MAX_NUMBER:
        raise BadInput(f"{name} must be a whole number from {least} up.", details={"field": name})
    return number


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every known error as {"error": sentence, "code": slug, "details": {...}}."""
    if isinstance(error, RequestDataTooBig):
        error = TooLarge("The body of the request is too large.")
    if isinstance(error, LoomError):
        seconds = error.details.get("retry_after")
        return Response(
            error.body(), status=error.status, headers={"Retry-After": str(seconds)} if seconds else None
        )
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
        body = {
            "error": NONE.sub(_none_said, str(detail)),
            "code": getattr(detail, "code", "error"),
            "details": {},
        }
    response.data = body
    return response
