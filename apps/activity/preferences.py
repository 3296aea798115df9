"""What a person's preferences say of a notification: whether it is told, by which ways, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.utils.dateparse import parse_time

from apps.activity.interests import MAX_WORDS, fits, kinds_checked
from apps.activity.models import Delivery, NotificationPreferences, Priority
from apps.core.errors import BadInput

Digest = NotificationPreferences.Digest
DAILY_AT = time(8)  # local time
FIELDS: Final = (
    "enable_in_app", "enable_email", "enable_webhook", "subscribed_events", "project_filters", "min_priority",
    "digest_mode", "quiet_hours_start", "quiet_hours_end", "time_zone", "webhook_url",
)  # fmt: skip


def wants(
    preferences: NotificationPreferences, kind: str, project_id: int | None, priority: Priority
) -> bool:
    if priority.rank < Priority(preferences.min_priority).rank:
        return False
    if preferences.project_filters and project_id not in {None, *preferences.project_filters}:
        return False
    return fits(kind, tuple(preferences.subscribed_events))


def channels(preferences: NotificationPreferences) -> list[Delivery.Channel]:
    """By which ways it is told beside the pages."""
    enabled = {
        Delivery.Channel.EMAIL: preferences.enable_email,
        Delivery.Channel.WEBHOOK: preferences.enable_webhook,
    }
    return [channel for channel, is_on in enabled.items() if is_on]


def due_at(preferences: NotificationPreferences, now: datetime) -> datetime:
    """When something that happens now is sent: at once or with the next digest, but not in quiet hours."""
    zone = ZoneInfo(preferences.time_zone)
    local = now.astimezone(zone)
    if preferences.digest_mode == Digest.HOURLY:
        local = _hour_later(local.replace(minute=0, second=0, microsecond=0))
    elif preferences.digest_mode == Digest.DAILY:
        local = _next(local, DAILY_AT)
    return _after_quiet(preferences, local).astimezone(now.tzinfo)


def after_quiet(preferences: NotificationPreferences, moment: datetime) -> datetime:
    """That moment, or the end of the quiet hours in which it lies."""
    local = moment.astimezone(ZoneInfo(preferences.time_zone))
    return _after_quiet(preferences, local).astimezone(moment.tzinfo)


def _hour_later(local: datetime) -> datetime:
    """By the sun, not by the clocks, which may be set back meanwhile."""
    return (local.astimezone(UTC) + timedelta(hours=1)).astimezone(local.tzinfo)


def _after_quiet(preferences: NotificationPreferences, local: datetime) -> datetime:
    start, end = preferences.quiet_hours_start, preferences.quiet_hours_end
    if start is None or end is None or start == end:
        return local
    at = local.time()
    is_quiet = start <= at < end if start < end else at >= start or at < end
    return _next(local, end) if is_quiet else local


def _next(local: datetime, at: time) -> datetime:
    """The next moment, after this one, at which clocks there show `at`, or have just passed over it."""
    for days in range(3):
        naive = datetime.combine(local.date() + timedelta(days=days), at)
        for moment in _moments(naive, local.tzinfo):
            if moment.astimezone(UTC) > local.astimezone(UTC):
                return moment
    raise AssertionError("Clocks show every time once in two days.")


def _moments(naive: datetime, zone: tzinfo | None) -> list[datetime]:
    """When clocks show that: twice in the hour that is set back; once, an hour late, in the one left out."""
    first, second = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    is_twice = second.utcoffset() != first.utcoffset() and _is_shown(second)
    return [first, second] if is_twice else [first]


def _is_shown(local: datetime) -> bool:
    there_and_back = local.astimezone(UTC).astimezone(local.tzinfo)
    return there_and_back.replace(tzinfo=None, fold=0) == local.replace(tzinfo=None, fold=0)


def fields_checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for the fields that were given; BadInput where one makes no sense."""
    if unknown := sorted(given.keys() - set(FIELDS)):
        raise _bad(unknown[0], f"There is no preference {unknown[0][:40]!r}.")
    return {name: _CHECKS[name](name, value) for name, value in given.items()}


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _bad(name, f"{name} must be true or false.")
    return value


def _kinds(name: str, value: Any) -> list[str]:
    words = _listed(name, value, str)
    return list(kinds_checked(words, name))


def _projects(name: str, value: Any) -> list[int]:
    return sorted(set(_listed(name, value, int)))


def _listed(name: str, value: Any, kind: type) -> list[Any]:
    is_list = isinstance(value, list) and all(type(item) is kind for item in value)
    if not is_list or len(value) > MAX_WORDS:
        raise _bad(name, f"{name} must be a list of at most {MAX_WORDS} items.")
    return list(value)


def _choice(name: str, value: Any) -> str:
    allowed = Priority.values if name == "min_priority" else Digest.values
    if value not in allowed:
        raise _bad(name, f"{name} must be one of: {', '.join(allowed)}.")
    return str(value)


def _clock(name: str, value: Any) -> time | None:
    if value in (None, ""):
        return None
    try:
        found = parse_time(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise _bad(name, f"{name} must be a time such as 22:30, or null.")
    return found.replace(microsecond=0)


def _zone(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in available_timezones():
        raise _bad(name, "time_zone must be a name such as Europe/Berlin.")
    return value


def _url(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise _bad(name, f"{name} must be an address of at most 500 characters.")
    if not value:
        return ""
    if not _is_address(value):
        raise _bad(name, f"{name} must be an address such as https://example.org/hook, without a password.")
    if not value.startswith("https:") and not settings.LOOM_WEBHOOK_PRIVATE:
        raise _bad(name, f"{name} must begin with https://.")
    return value


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
    except ValueError:
        return False
    return is_whole and "@" not in parts.netloc and text.isascii() and text.isprintable() and " " not in text


def _bad(field: str, message: str) -> BadInput:
    return BadInput(message, details={"field": field})


_CHECKS = {
    **dict.fromkeys(("enable_in_app", "enable_email", "enable_webhook"), _flag),
    **dict.fromkeys(("min_priority", "digest_mode"), _choice),
    **dict.fromkeys(("quiet_hours_start", "quiet_hours_end"), _clock),
    "subscribed_events": _kinds,
    "project_filters": _projects,
    "time_zone": _zone,
    "webhook_url": _url,
}
