"""Wiring: settings, URLs, ASGI and Celery; no logic."""

from __future__ import annotations

from loom_site.celery import app as celery_app

__all__ = ["celery_app"]
