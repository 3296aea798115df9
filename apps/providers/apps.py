"""App configuration: flows, handlers and the keys to mask are registered by being imported."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    name = "apps.providers"

    def ready(self) -> None:
        for module in ("flows", "handlers", "masked"):
            import_module(f"{self.name}.{module}")
