"""The version: the newest release in CHANGELOG.md."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from django.conf import settings

RELEASE = re.compile(r"^## \[?(\d+\.\d+\.\d+)", re.MULTILINE)


def newest_release(changelog: str) -> str:
    """The first release heading; "0.0.0" when there is none."""
    found = RELEASE.search(changelog)
    return found.group(1) if found else "0.0.0"


@cache
def version() -> str:
    try:
        return newest_release((Path(settings.BASE_DIR) / "CHANGELOG.md").read_text(encoding="utf-8"))
    except OSError:
        return newest_release("")
