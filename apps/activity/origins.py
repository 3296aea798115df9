"""Which pages may open a WebSocket: a browser sends its cookies along, whoever's page asks it to."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings

from apps.core.bodies import Application, Receive, Scope, Send


class OwnOrigins:
    """Lets in pages of this host and of LOOM_TRUSTED_ORIGINS, and programs, which send no Origin."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        chosen = self._application if is_trusted(headers) else WebsocketDenier.as_asgi()
        await chosen(scope, receive, send)


def is_trusted(headers: Mapping[bytes, str]) -> bool:
    origin = headers.get(b"origin")
    if origin is None:
        return True
    try:
        place = urlsplit(origin).netloc.lower()
    except ValueError:  # no browser sends that
        return False
    return place == headers.get(b"host", "").lower() or origin in settings.CSRF_TRUSTED_ORIGINS
