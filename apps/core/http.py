"""Defaults of the API that the framework imports before its views: who asks, and what bodies are."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import orjson
from django.conf import settings
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication as DRFSessionAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

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


def json_bytes(data: Any, option: int = 0) -> bytes:
    """JSON of what views answer: times in UTC with a Z, whatever else as the framework's encoder has it."""
    try:
        return orjson.dumps(
            data,
            default=JSONEncoder().default,
            option=option | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS,
        )
    except TypeError:  # numbers of more than 64 bits, half of a surrogate pair
        return json.dumps(data, cls=JSONEncoder, sort_keys=bool(option & orjson.OPT_SORT_KEYS)).encode()


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        raw = json_bytes(data)
        if (renderer_context or {}).get("indent"):  # for people, in the browsable API
            return orjson.dumps(orjson.loads(raw), option=orjson.OPT_INDENT_2)
        return raw
