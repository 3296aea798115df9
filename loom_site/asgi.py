"""The ASGI application."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from apps.core.telemetry import requests_instrument

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loom_site.settings")
requests_instrument()

application = get_asgi_application()
