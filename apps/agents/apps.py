"""App configuration: handlers are registered by being imported."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"

    def ready(self) -> None:
        for module in ("handlers", "lesson_handlers", "replay", "authority"):
            import_module(f"{self.name}.{module}")
