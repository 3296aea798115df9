"""Sessions of browsers: whose they are, and when and from where they were used last; people end them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from apps.core.origin import origin_current

TOUCH_AFTER = timedelta(minutes=5)  # not every request is worth a write


class SessionStore(DatabaseStore):
    """Django's, in a table that knows more of each session."""

    @classmethod
    def get_model_class(cls) -> Any:
        # The models are not there yet while the middleware reads this module.
        from apps.accounts.models import BrowserSession  # noqa: PLC0415

        return BrowserSession

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        return _told(super().create_model_instance(data), data)

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        return _told(await super().acreate_model_instance(data), data)

    def _get_session_from_db(self) -> Any:
        row = super()._get_session_from_db()  # type: ignore[misc]
        if row is not None and _is_stale(row):
            self.model.objects.filter(pk=row.pk).update(**_seen())
        return row

    async def _aget_session_from_db(self) -> Any:
        row = await super()._aget_session_from_db()  # type: ignore[misc]
        if row is not None and _is_stale(row):
            await self.model.objects.filter(pk=row.pk).aupdate(**_seen())
        return row


def _told(row: Any, data: dict[str, Any]) -> Any:
    row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
    for name, value in _seen().items():
        setattr(row, name, value)
    return row


def _is_stale(row: Any) -> bool:
    return bool(row.used_at < timezone.now() - TOUCH_AFTER)


def _seen() -> dict[str, Any]:
    """When it is used, and where the request in hand comes from; a websocket's messages are none."""
    origin = origin_current()
    place = {"address": origin.address, "user_agent": origin.user_agent} if origin else {}
    return {"used_at": timezone.now(), **place}
