"""App configuration: flows and handlers are registered by being imported."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    name = "apps.workflows"

    def ready(self) -> None:
        for module in (
            "bead_flow",
            "prd_flow",
            "closing",
            "command_flow",
            "execution_handlers",
            "handlers",
            "language_flows",
            "language_standing",
            "system_flows",
            "webhooks",
            "taking_over",
        ):
            import_module(f"{self.name}.{module}")
