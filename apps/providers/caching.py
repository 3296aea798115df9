"""Prompt caches that must be asked for: which messages a provider shall keep."""

from __future__ import annotations

import re
from typing import Any

# Others cache the beginnings of prompts by themselves.
_ASKS = re.compile(r"(?:^|[/.])(?:anthropic|claude)", re.IGNORECASE)
MARK = {"type": "ephemeral"}


def cache_marked(messages: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    """The messages, with marks behind the system message, the task, and everything sent so far."""
    if not _ASKS.search(model):
        return messages
    marked = {0, 1, len(messages) - 1}
    return [
        {**message, "cache_control": MARK} if place in marked else message
        for place, message in enumerate(messages)
    ]
