"""Defaults of the API that the framework imports before its views: who asks, and what a body may be."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.conf import settings
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication as DRFSessionAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from apps.core.errors import BadInput, TooLarge
from apps.core.storable import storable


class SessionAuthentication(DRFSessionAuthentication):
    """The session of the browser; names itself, so that a visitor gets 401 and not 403."""

    def authenticate_header(self, request: Request) -> str:
        return "Session"


class ObjectParser(JSONParser):
    """A JSON object of bounded size, whatever Content-Type says (clients of the original do not bother)."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        if str(media_type).startswith("multipart/"):
            raise exceptions.UnsupportedMediaType(media_type)
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"A request may have {limit:,} bytes at most.")
        if not raw.strip():
            return {}
        try:
            body = storable(super().parse(BytesIO(raw), media_type, parser_context))
        except RecursionError:
            raise exceptions.ParseError("JSON parse error - nested too deeply.") from None
        if not isinstance(body, dict):
            raise BadInput("The body must be a JSON object.")
        return body
