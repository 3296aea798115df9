"""Small words of the templates: money, time, and the six shapes of state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# State -> symbol in templates/parts/shapes.html, color class, what it means.
SHAPES = {
    "open": ("open", "idle", "ready"),
    "waiting": ("block", "idle", "waits"),
    "working": ("work", "run", "at work"),
    "person": ("need", "needs", "needs you"),
    "failed": ("fail", "fail", "failed"),
    "done": ("done", "done", "done"),
}


@register.simple_tag
def shape(state: str) -> SafeString:
    """A state's shape with its color, named for those who cannot see it."""
    symbol, color, meaning = SHAPES[state]
    return format_html(
        '<svg class="shape {}" width="14" height="14" role="img" aria-label="{}"><use href="#{}"/></svg>',
        color,
        meaning,
        symbol,
    )


@register.filter
def money(microusd: int) -> str:
    """Micro-USD as dollars: two places, three for what is less than ten cents."""
    dollars = microusd / 1_000_000
    if 0 < dollars < 0.0995:
        return f"${dollars:.3f}" if dollars >= 0.0005 else "under $0.001"
    return f"${dollars:,.2f}"


@register.filter
def share(part: int, whole: int | None) -> int:
    """Per cent, within 0 and 100."""
    return min(100, max(0, round(100 * part / whole))) if whole else 0


@register.filter
def ago(moment: datetime) -> str:
    """How long ago or how long until, in one unit."""
    seconds = (timezone.now() - moment).total_seconds()
    size = abs(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if size >= length:
            return f"{size / length:.0f} {unit}"
    return "now" if seconds >= 0 else "under 1 min"


@register.filter
def short(commit: str) -> str:
    return commit[:7]


@register.filter
def told(counts: dict[str, Any]) -> str:
    """What a check counted, in words."""
    words = ("passed", "failed", "skipped")
    return ", ".join(f"{counts[f'{word}_count']} {word}" for word in words if counts.get(f"{word}_count"))
