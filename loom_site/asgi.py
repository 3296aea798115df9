"""The ASGI application: requests go to Django, WebSockets to Channels."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

from apps.core.bodies import BoundedBodies
from apps.core.serving import Threads
from apps.core.streaming import Streams
from apps.core.telemetry import requests_instrument, telemetry_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loom_site.settings")
requests_instrument()

served = Threads(get_asgi_application(), threads=settings.LOOM_WEB_THREADS)
application: Any = ProtocolTypeRouter(
    {
        "http": Streams(BoundedBodies(served, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)),
        "websocket": import_module("loom_site.sockets").application,  # models are loaded by now
    }
)


def started() -> Any:
    """The application of a web process that serves."""
    telemetry_start("web")
    return application
