"""What the installation itself is set to, as far as it may be told: never a secret, a path or an address.

Environment variables set these; clients of the original look for them under these names.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection

BLOCKS = ("server", "database", "beads", "agents", "security", "web_ui", "temporal")


def installation() -> dict[str, Any]:
    return {
        "server": {
            "HTTPPort": settings.LOOM_PORT,
            "EnableHTTP": True,
            "EnableHTTPS": settings.SESSION_COOKIE_SECURE,
        },
        "database": {"Type": connection.vendor},
        "beads": {"AutoSync": True},
        "agents": {"MaxConcurrent": settings.LOOM_MAX_SESSIONS, "MaxTurns": settings.LOOM_MAX_TURNS},
        "security": {
            "EnableAuth": True,
            "RequestsPerUser": settings.LOOM_RATE_PER_USER,
        },
        "web_ui": {"Enabled": True},
        "temporal": {"Enabled": False},
    }
