"""What the routes of all streams share."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import stream_person, stream_token
from apps.accounts.models import User
from apps.accounts.permissions import READ
from apps.accounts.tokens import STREAM_SECONDS
from apps.activity.guard import Pass
from apps.activity.sight import Sight, sight_of
from apps.activity.sse import MAX_REPLAY, Seeing, Stream, hello, resync
from apps.core.errors import Forbidden
from apps.core.streaming import EVENT_STREAM, HEADERS, stream_open
from apps.events.feed import Feed
from apps.events.position import Position

TOKEN = "token"  # noqa: S105 - the name of a parameter
SHARED_PARAMETERS = [
    OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="Go on after this event."),
    OpenApiParameter("last_event_id", str, description="The same, for clients that cannot send the header."),
    OpenApiParameter(TOKEN, str, description="A stream token, for clients that can send no header at all."),
]


class StreamTokenAuthentication(BaseAuthentication):
    """`?token=`, from POST /auth/stream-token: a browser's EventSource sends no headers.

    It stands in addresses, which are kept here and there; so it lets nobody do more than read.
    """

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        given = request.query_params.get(TOKEN, "") if request.method in SAFE_METHODS else ""
        person = stream_person(given) if given else None
        if given and person is None:
            raise AuthenticationFailed("The stream token is not valid any more. Get a new one.")
        return (person, TOKEN) if person is not None else None


class StreamTokenView(APIView):
    """A token that opens a stream in the caller's name, for clients that can send no headers."""

    resource = "account"
    permission_actions = {None: READ}  # it lets nobody do more than they may

    @extend_schema(
        request=None,
        responses={
            201: inline_serializer(
                "StreamToken", {"token": serializers.CharField(), "expires_in": serializers.IntegerField()}
            )
        },
    )
    def post(self, request: Request) -> Response:
        """Good for `expires_in` seconds; a stream that is open by then goes on."""
        person: Any = request.user
        session_key = getattr(getattr(request, "session", None), "session_key", None) or ""
        body = {"token": stream_token(person, session_key=session_key), "expires_in": STREAM_SECONDS}
        return Response(body, status=201, headers={"Cache-Control": "no-store"})


class AnyAccept(DefaultContentNegotiation):
    """Errors are JSON whatever the client accepts: EventSource accepts nothing but event streams."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class StreamView(APIView):
    """A subclass sets `resource`, `feed`, `message` and `interest`."""

    resource = ""
    feed: ClassVar[Feed]
    message = ""
    content_negotiation_class = AnyAccept

    def get_authenticators(self) -> list[Any]:
        return [*super().get_authenticators(), StreamTokenAuthentication()]

    recent: ClassVar[int] = 0  # rows that a new reader is given first

    def interest(self, request: Request, sight: Sight) -> Seeing:
        raise NotImplementedError

    @extend_schema(responses={(200, EVENT_STREAM): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        person: Any = request.user
        permission = f"{self.resource}:{READ}"
        sight = sight_of(person, permission)
        if sight is None:
            raise Forbidden(f"You lack the permission {permission}.")
        interest, since = self.interest(request, sight), _since(request)
        response = HttpResponse(content_type=EVENT_STREAM, headers=HEADERS)
        stream = Stream(
            self.feed,
            interest,
            Pass.of(request, permission),
            message=self.message,
            since=since,
            recent=self.recent,
        )
        if request.method != "GET" or stream_open(request, stream):
            return response
        response.content = self._at_once(interest, since)
        return response

    def _at_once(self, interest: Seeing, since: Position | None) -> bytes:
        """All there is now, for servers without long answers: the client comes again after a while."""
        here, frames = self.feed.snapshot(interest, since, limit=MAX_REPLAY)
        missed = b"".join(frame.data for frame in frames) if frames is not None else None
        if missed is None and since is not None:
            missed = resync(since, here)
        return hello(self.message, since or here) + (missed or b"")


def _since(request: Request) -> Position | None:
    given = request.headers.get("Last-Event-ID", "") or request.query_params.get("last_event_id", "")
    return Position.parse(given) if given.strip() else None
