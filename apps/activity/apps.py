"""App configuration: handlers are registered by being imported."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ActivityConfig(AppConfig):
    name = "apps.activity"

    def ready(self) -> None:
        import_module(f"{self.name}.handlers")
