"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig


class BeadsConfig(AppConfig):
    name = "apps.beads"
