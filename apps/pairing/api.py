"""The API of conversations, pair programming and chat; shapes as the original's."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import URLPattern, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import READ, permission_holds, permission_of, permission_require
from apps.activity.guard import Pass
from apps.activity.streams_api import AnyAccept, StreamTokenAuthentication
from apps.agents.models import Agent, Session
from apps.beads.models import Bead
from apps.core.api import query_number
from apps.core.api_lists import numbers, words
from apps.core.api_pages import Envelope
from apps.core.errors import BadInput, NotFound
from apps.core.streaming import EVENT_STREAM, HEADERS, stream_open
from apps.pairing.bodies import (
    ConversationBody,
    ConversationClaimBody,
    ConversationClaimInput,
    ConversationPageBody,
    ConversationResetInput,
    ExchangeBody,
    ForgottenBody,
    PairInput,
    RejectedBody,
    RejectInput,
    WholeExchangeBody,
)
from apps.pairing.claims import conversation_claim
from apps.pairing.conversations import (
    MOST_TURNS,
    TURNS,
    conversation_body,
    conversation_page,
    newest_turns,
)
from apps.pairing.models import Exchange
from apps.pairing.rejecting import change_reject
from apps.pairing.services import (
    conversation_delete,
    conversation_ensure,
    conversation_reset,
    exchange_ask,
    exchange_stop,
)
from apps.pairing.streams import AnswerStream, all_at_once


def streamed(request: Request, exchange: Exchange, hello: dict[str, Any], *, stops: bool) -> HttpResponse:
    """The stream of an answer, from `Last-Event-ID` on."""
    response = HttpResponse(content_type=EVENT_STREAM, headers=HEADERS)
    given = request.headers.get("Last-Event-ID", "") or request.query_params.get("last_event_id", "")
    after = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    if not stream_open(request, AnswerStream(exchange, hello, _pass(request), after=after, stops=stops)):
        response.content = all_at_once(exchange, hello, after)
    return response


def _pass(request: Request) -> Pass:
    """Who reads goes on reading as long as they may; a key that may only ask, as long as it may ask."""
    view = request.parser_context["view"]
    reading = f"{view.resource}:{READ}"
    permission = reading if permission_holds(request.user, reading) else permission_of(view, request.method)
    return Pass.of(request, permission)


class PairViewSet(TenantViewSet):
    """A person and an agent at work on one bead, in a worktree of their own.

    The agent may do what the person may. One message is answered at a time; who leaves the stream stops the
    answer after a while, unless somebody listens again.
    """

    resource = "conversations"
    serializer_class = ExchangeBody
    atomic_actions: frozenset[str] = frozenset()
    permission_actions = {"stop": "write", "claim": "write", "reject": "write"}
    schema_bodies = {"stop": None, "claim": ConversationClaimInput, "reject": RejectInput}
    schema_answers = {
        "retrieve": WholeExchangeBody,
        "stop": ExchangeBody,
        "claim": {202: ConversationClaimBody},
        "reject": RejectedBody,
    }
    content_negotiation_class = AnyAccept

    def get_authenticators(self) -> list[Any]:
        return [*super().get_authenticators(), StreamTokenAuthentication()]

    def get_queryset(self) -> QuerySet[Session]:
        rows = Session.objects.for_user(self.request.user).filter(kind=Session.Kind.PAIR)
        return rows.select_related("project", "agent", "bead")

    @property
    def _actor(self) -> str:
        return str(self.request.user.get_username())

    @extend_schema(request=PairInput, responses={(200, EVENT_STREAM): OpenApiTypes.STR, 202: ExchangeBody})
    def create(self, request: Request) -> HttpResponse:
        """Say something. The answer is a stream: connected, chunk, reset, actions, error, done."""
        given = PairInput.read(self.body)
        user: Any = request.user
        team = Agent.objects.for_user(user).filter(retired_at=None).select_related("project")
        named = given["agent_id"].removeprefix("agent-")
        key = int(named) if named.isascii() and named.isdigit() and len(named) < 19 else 0
        agent = self.parent_get(team, key, organization_path="project__organization_id")
        beads = Bead.objects.for_user(user).filter(project=agent.project_id)
        bead = beads.filter(key__iexact=given["bead_id"]).first()
        if bead is None:
            raise NotFound(f"There is no bead {given['bead_id'][:60]!r} in the agent's project.")
        session = conversation_ensure(agent=agent, bead=bead, actor=self._actor)
        exchange = exchange_ask(session=session, person=user, text=given["message"])
        if not given["stream"]:
            return Response(ExchangeBody(exchange).data, status=202)
        return streamed(request, exchange, self._hello(session, exchange), stops=True)

    def _hello(self, session: Session, exchange: Exchange) -> dict[str, Any]:
        return {
            "session_id": str(session.pk),
            "agent_name": session.agent.name,
            "message_count": session.exchanges.count(),
            "exchange_id": str(exchange.pk),
        }

    def _newest(self) -> tuple[Session, Exchange]:
        session: Session = self.get_object()
        exchange = session.exchanges.select_related("person").order_by("-id").first()
        if exchange is None:
            raise NotFound("Nothing was said in this conversation yet.")
        return session, exchange

    def retrieve(self, request: Request, pk: int) -> Response:
        """The newest message and how its answer stands."""
        _, exchange = self._newest()
        return Response(WholeExchangeBody(exchange).data)

    @extend_schema(responses={(200, EVENT_STREAM): OpenApiTypes.STR})
    def stream(self, request: Request, pk: int) -> HttpResponse:
        """Listen again to the newest answer, after `Last-Event-ID`."""
        session, exchange = self._newest()
        mine = exchange.person_id == request.user.pk
        return streamed(request, exchange, self._hello(session, exchange), stops=mine)

    def stop(self, request: Request, pk: int) -> Response:
        """End the answer at once; what was generated is paid for."""
        _, exchange = self._newest()
        exchange_stop(exchange=exchange, actor=self._actor)
        exchange.refresh_from_db()
        return Response(ExchangeBody(exchange).data)

    def claim(self, request: Request, pk: int) -> Response:
        """Have what was made verified, reviewed and merged as the bead's work."""
        session, given = self.get_object(), ConversationClaimInput.read(self.body)
        self.bead_check(session)
        claim = conversation_claim(session=session, summary=given["summary"], actor=self._actor)
        return Response(
            {
                "claim_id": str(claim.pk),
                "bead_id": claim.bead.key,
                "commit": claim.commit,
                "status": "claimed",
            },
            status=202,
        )

    def reject(self, request: Request, pk: int) -> Response:
        """Take back what the agent changed here, all of it or some files; it is told."""
        session, given = self.get_object(), RejectInput.read(self.body)
        self.bead_check(session)
        paths = change_reject(session=session, paths=given["paths"], actor=self._actor)
        return Response({"session_id": str(session.pk), "rejected": paths})

    def bead_check(self, session: Session) -> None:
        """Claiming, or taking back, is work on the bead, not only talk."""
        permission_require(
            self.request.user, "beads:write", session.project.organization_id, session.project_id
        )


ASKED_TURNS = [
    OpenApiParameter("limit", int, description=f"Turns: {TURNS}, at most {MOST_TURNS}."),
    OpenApiParameter("before", int, description="Only turns with smaller numbers."),
]


class ConversationPages(Envelope):
    name, default_limit, tells_place = "conversations", 50, True


class ConversationViewSet(TenantViewSet):
    """What was said in sessions: of people with agents, and of agents at work."""

    resource = "conversations"
    atomic_actions: frozenset[str] = frozenset()
    list_is_object = True
    schema_bodies = {"reset": ConversationResetInput}
    schema_answers = {
        "list": ConversationPageBody,
        **dict.fromkeys(("retrieve", "of_bead"), ConversationBody),
        "destroy": {200: ForgottenBody},
        "reset": ForgottenBody,
    }
    pagination_class = ConversationPages
    filters = {
        "project_id": numbers("project_id"),
        "bead_id": words("bead__key", help="Keys of beads."),
        "agent_id": numbers("agent_id"),
        "kind": words("kind", choices=Session.Kind.values),
        "status": words("status", choices=Session.Status.values),
    }
    orderings = {"created_at": "created_at", "updated_at": "updated_at"}
    search_fields = ("bead__key", "bead__title", "agent__name")

    def get_queryset(self) -> QuerySet[Session]:
        rows = Session.objects.for_user(self.request.user).select_related("project", "agent", "bead")
        return rows.order_by("-id")

    @property
    def _actor(self) -> str:
        return str(self.request.user.get_username())

    def list(self, request: Request) -> Response:
        """The newest of a project, each with its newest messages."""
        project_id = query_number(request, "project_id")
        if project_id is None:
            raise BadInput("project_id is required.", details={"field": "project_id"})
        if (query_number(request, "limit", least=1) or 1) > 1000:
            raise BadInput("limit goes from 1 to 1000.", details={"field": "limit"})
        sessions: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        turns = newest_turns(sessions)
        found = [conversation_body(one, turns[one.pk], whole=False) for one in sessions]
        answer = self.get_paginated_response(found)
        answer.data = {"project_id": str(project_id), **answer.data}
        return answer

    @extend_schema(parameters=ASKED_TURNS)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Its newest `limit` turns; `before` (what `older` said) for those before."""
        return Response(self._page(self.get_object()))

    def _page(self, session: Session) -> dict[str, Any]:
        limit = query_number(self.request, "limit", default=TURNS, least=1) or TURNS
        before = query_number(self.request, "before", least=1)
        return conversation_page(session, limit=min(limit, MOST_TURNS), before=before)

    @extend_schema(parameters=ASKED_TURNS)
    def of_bead(self, request: Request, key: str) -> Response:
        """The newest conversation about a bead."""
        rows = self.filter_queryset(self.get_queryset()).filter(bead__key__iexact=key)
        session = rows.order_by("-id").first()
        if session is None:
            raise NotFound(f"There is no conversation about {key[:60]!r}.")
        return Response(self._page(session))

    def destroy(self, request: Request, pk: int) -> Response:
        """Delete a talk with a person; the records of agents' work stay."""
        session = self.get_object()
        session_id = str(session.pk)
        conversation_delete(session=session, actor=self._actor)
        return Response({"message": "Conversation deleted", "session_id": session_id})

    def reset(self, request: Request, pk: int) -> Response:
        """Forget what was said; files stay."""
        session, keep = self.get_object(), ConversationResetInput.read(self.body)["keep_system_message"]
        conversation_reset(session=session, keep_system_message=keep, actor=self._actor)
        return Response(
            {"message": "Conversation reset", "session_id": str(session.pk), "keep_system_message": keep}
        )


def _pair(**methods: Any) -> Any:
    return PairViewSet.as_view(methods)


def _conversation(**methods: Any) -> Any:
    return ConversationViewSet.as_view(methods)


urlpatterns: list[URLPattern] = [
    path("pair", _pair(post="create"), name="pair"),
    path("pair/<int:pk>", _pair(get="retrieve"), name="pair-detail"),
    path("pair/<int:pk>/stream", _pair(get="stream"), name="pair-stream"),
    path("pair/<int:pk>/stop", _pair(post="stop"), name="pair-stop"),
    path("pair/<int:pk>/claim", _pair(post="claim"), name="pair-claim"),
    path("pair/<int:pk>/reject", _pair(post="reject"), name="pair-reject"),
    path("conversations", _conversation(get="list"), name="conversation-list"),
    path(
        "conversations/<int:pk>", _conversation(get="retrieve", delete="destroy"), name="conversation-detail"
    ),
    path("conversations/<int:pk>/reset", _conversation(post="reset"), name="conversation-reset"),
    path("beads/<str:key>/conversation", _conversation(get="of_bead"), name="bead-conversation"),
]
