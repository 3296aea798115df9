"""Streams live for hours; this ends them within seconds when their reader's access ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error as DatabaseError

from apps.accounts.authentication import person_renew
from apps.accounts.models import BrowserSession, User
from apps.activity.sight import Sight, sight_of
from apps.core.tenancy import Access, access_of
from apps.events.feed import in_thread

CHECK_SECONDS = 2.0
SHARE = 0.05  # of the time may go into checks, however many people there are

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pass:
    """What a reader was let in with. Those with equal passes are checked together."""

    user_id: int
    password: str
    access: Access
    session_key: str
    permission: str

    @classmethod
    def of(cls, request: Any, permission: str) -> Pass:
        person: User = request.user
        access = access_of(person)
        session = getattr(request, "session", None)
        key = (session.session_key or "") if session is not None and not access.credential else ""
        return cls(person.pk, person.password, access, key, permission)

    def person(self) -> User:
        person = User(pk=self.user_id, password=self.password)
        person.access = self.access
        return person


def passes_renew(passes: set[Pass]) -> dict[Pass, Sight | None]:
    """What each of them sees now; None where the access has ended."""
    keys = {one.session_key for one in passes if one.session_key}
    alive = set(BrowserSession.objects.filter(session_key__in=keys).values_list("session_key", flat=True))
    return {one: _renew(one) if one.session_key in {"", *alive} else None for one in passes}


def _renew(given: Pass) -> Sight | None:
    person = person_renew(given.person())
    return sight_of(person, given.permission) if person is not None else None


class Guard:
    """Of one event loop."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[Pass, Callable[[Sight | None], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, given: Pass, told: Callable[[Sight | None], None]) -> Iterator[None]:
        """Until the end of the block, `told` hears now and then what the person sees, or None at the end."""
        mark = object()
        self._watched[mark] = (given, told)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="loom-guard")
        try:
            yield
        finally:
            del self._watched[mark]
            if not self._watched:
                self._task.cancel()

    async def _run(self) -> None:
        rest = CHECK_SECONDS
        while True:
            await asyncio.sleep(rest)
            began = time.monotonic()
            try:
                sights = await in_thread(passes_renew, {given for given, _ in self._watched.values()})
            except DatabaseError as error:
                log.warning("access to streams could not be checked: %s", error)
                continue
            except Exception:
                # Whatever it is: with this task all streams would lose the only one who ends them.
                log.exception("access to streams could not be checked")
                continue
            rest = max(CHECK_SECONDS, (time.monotonic() - began) / SHARE)
            for given, told in list(self._watched.values()):
                if given in sights:
                    told(sights[given])


_guards: WeakKeyDictionary[asyncio.AbstractEventLoop, Guard] = WeakKeyDictionary()


def guard() -> Guard:
    return _guards.setdefault(asyncio.get_running_loop(), Guard())
