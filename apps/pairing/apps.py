"""App configuration: flows are registered by being imported."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class PairingConfig(AppConfig):
    name = "apps.pairing"

    def ready(self) -> None:
        import_module(f"{self.name}.flows")
