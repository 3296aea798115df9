"""App configuration: the flow and the handlers are registered by being imported."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class DecisionsConfig(AppConfig):
    name = "apps.decisions"

    def ready(self) -> None:
        for module in ("flows", "handlers"):
            import_module(f"{self.name}.{module}")
