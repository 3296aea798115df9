"""`make campaigns`: what Loom withstands, counted and printed as JSON.

Every module of this package that has `campaign(scale: float) -> dict` is one; its figures hold "ok".
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
import time
from typing import Any

import django

import tests.campaigns as package


def names() -> list[str]:
    found = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return [name for name in found if not name.startswith("_") and not name.startswith("test_")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make campaigns", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of campaigns; all without any")
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer cases (default: 1)")
    given = parser.parse_args()
    setup()
    figures: dict[str, Any] = {}
    for name in given.only or names():
        module = importlib.import_module(f"tests.campaigns.{name}")
        if not hasattr(module, "campaign"):
            continue
        began = time.monotonic()
        figures[name] = module.campaign(given.scale)
        figures[name]["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    return 0 if all(one["ok"] for one in figures.values()) else 1


def setup() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()


if __name__ == "__main__":
    sys.exit(main())
