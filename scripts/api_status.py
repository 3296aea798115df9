"""Writes docs/api-status.md: which routes of the contract are built. `--check` only compares."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api-status.md"
HEAD = """# What the API can

Every route of the contract that clients of the original Loom know, below `/api/v1`. Those marked ★ are named
in its README. What is not built answers 501. Written by `python -m scripts.api_status`, from the URL conf.

| | route | state |
|---|---|---|
"""

# Why a route is not built, by how its path begins.
REASONS = {
    "/cache": "Loom keeps no answers of models, so there is nothing to configure, clear or invalidate.",
    "/federation": "It is about a coordinator of Dolt servers, of which Loom has none.",
}


def page() -> str:
    from loom_site.api import built  # noqa: PLC0415 - after Django is set up
    from loom_site.contract import missing, routes  # noqa: PLC0415

    absent = set(missing(built))
    lines = [
        f"| {'★' if route.is_named else ''} | `{route.method} {route.path}` "
        f"| {'501' if route in absent else 'built'} |\n"
        for route in routes()
    ]
    count = f"\n{len(lines) - len(absent)} of {len(lines)} routes are built.\n"
    return HEAD + "".join(lines) + count + _reasons([route.path for route in routes() if route in absent])


def _reasons(paths: list[str]) -> str:
    """One for each absent route: a route without a reason is an error."""
    found = {path: next(why for start, why in REASONS.items() if path.startswith(start)) for path in paths}
    if not found:
        return ""
    lines = [f"- `{path}`: {why}\n" for path, why in found.items()]
    return "\nWhy the others are not:\n\n" + "".join(lines)


def main() -> int:
    import django  # noqa: PLC0415

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loom_site.settings")
    django.setup()
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/api-status.md is not true any more; run: python -m scripts.api_status")
    return 1


if __name__ == "__main__":
    sys.exit(main())
