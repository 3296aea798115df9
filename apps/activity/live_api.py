"""`/sessions/{id}/live`: what the model of a session is writing just now, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import READ
from apps.activity.guard import Pass, guard
from apps.activity.sight import Sight
from apps.activity.sse import KEEP_ALIVE, RETRY_MS
from apps.activity.streams_api import AnyAccept, StreamTokenAuthentication
from apps.agents.live import channel_of
from apps.agents.models import Session
from apps.core.bodies import Receive
from apps.core.pubsub import Subscription, subscribe
from apps.core.streaming import EVENT_STREAM, HEADERS, stream_open
from apps.core.watching import RENEW_SECONDS, watch_begin, watch_renew
from apps.events.feed import in_thread

Send = Callable[[bytes], Awaitable[None]]
HELLO = b'retry: %d\nevent: connected\ndata: {"message": "Connected to stream"}\n\n' % RETRY_MS


class LiveStream:
    """The body of one reader's stream. As long as it is open, the worker knows that somebody looks."""

    def __init__(self, session: Session, given: Pass) -> None:
        self._channel, self._pass = channel_of(session.pk), given
        self._place = (session.project.organization_id, session.project_id)

    async def __call__(self, receive: Receive, send: Send) -> None:
        talk = asyncio.create_task(self._talk(send))
        gone = asyncio.create_task(_gone(receive))

        def see(sight: Sight | None) -> None:
            if sight is None or not sight.allows(*self._place):
                talk.cancel()

        try:
            with guard().watch(self._pass, see):
                await asyncio.wait({talk, gone}, return_when=asyncio.FIRST_COMPLETED)
            if talk.done() and not talk.cancelled():
                talk.result()
        finally:
            talk.cancel()
            gone.cancel()

    async def _talk(self, send: Send) -> None:
        async with subscribe(self._channel) as heard:
            await send(HELLO)
            while True:
                await send(await self._hear(heard))

    async def _hear(self, heard: Subscription) -> bytes:
        try:
            messages = await asyncio.wait_for(heard.get(), RENEW_SECONDS)
        except TimeoutError:
            await in_thread(watch_renew, self._channel)
            return KEEP_ALIVE
        if None in messages:  # now it is heard, or something was missed: all that there is comes again
            await in_thread(watch_begin, self._channel)
        return b"".join(b"event: live\ndata: %s\n\n" % message for message in messages if message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class LiveViewSet(TenantViewSet):
    resource = "conversations"
    atomic_actions: frozenset[str] = frozenset()
    content_negotiation_class = AnyAccept

    def get_authenticators(self) -> list[Any]:
        return [*super().get_authenticators(), StreamTokenAuthentication()]

    def get_queryset(self) -> Any:
        return Session.objects.for_user(self.request.user).select_related("project")

    @extend_schema(responses={(200, EVENT_STREAM): OpenApiTypes.STR})
    def live(self, request: Request, pk: int) -> HttpResponse:
        """Events `live`: `turn`, `seq`, and `parts` of `[kind, text]`; kind is text, thinking or
        `action:<place>:<name>`. With `whole` they are all there is of the turn, else they follow `seq - 1`.

        Nothing of it is kept: the finished turn stands in the session.
        """
        session = self.get_object()
        response = HttpResponse(content_type=EVENT_STREAM, headers=HEADERS)
        given = Pass.of(request, f"{self.resource}:{READ}")
        if request.method != "GET" or stream_open(request, LiveStream(session, given)):
            return response
        response.content = HELLO  # servers without long answers: nothing can be told in between
        return response


urlpatterns = [
    path("sessions/<int:pk>/live", LiveViewSet.as_view({"get": "live"}), name="session-live"),
]
