"""The web process: the ASGI application under uvicorn."""

from __future__ import annotations

import importlib

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

# An open event stream never ends by itself; its reader comes back with Last-Event-ID.
GRACE_SECONDS = 2


class Command(BaseCommand):
    help = "Serve the dashboard and the API on LOOM_HOST and LOOM_PORT."

    def preload(self) -> None:
        """Import what the first request would otherwise wait for."""
        import_string(settings.ASGI_APPLICATION)
        importlib.import_module(settings.ROOT_URLCONF)

    def handle(self, *args: object, **options: object) -> None:
        uvicorn.run(
            settings.ASGI_APPLICATION.replace(".application", ":started"),
            factory=True,
            workers=settings.LOOM_WEB_PROCESSES,
            host=settings.LOOM_HOST,
            port=settings.LOOM_PORT,
            lifespan="off",
            proxy_headers=False,  # LOOM_PROXIES says whom to believe
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
