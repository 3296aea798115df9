"""The ASGI application."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from apps.core.bodies import BoundedBodies
from apps.core.telemetry import requests_instrument

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loom_site.settings")
requests_instrument()

application = BoundedBodies(get_asgi_application(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
