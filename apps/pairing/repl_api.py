"""`/repl`: questions about the work, answered from its own data; `Role: task` gives an order."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.activity.streams_api import AnyAccept
from apps.core.api_inputs import IdField, Input
from apps.core.http import json_bytes
from apps.core.streaming import EVENT_STREAM
from apps.events.feed import in_thread
from apps.pairing.api import streamed
from apps.pairing.chat_api import STATUSES
from apps.pairing.models import Exchange
from apps.pairing.repl import MOST_CHARS, answer_body, loom_ask, order_body, questions_of
from apps.pairing.streams import answered, stop_soon
from apps.projects.models import Project

EXAMPLE = {
    "id": "31",
    "status": "done",
    "message": "What holds us up?",
    "bead_id": "",
    "provider_id": "2",
    "provider_name": "openai",
    "model": "gpt-4.1-mini",
    "response": "sf-4 waits for a person: the tax rate of the report is not decided (decision 12).",
    "error": "",
    "tokens_used": 1834,
    "latency_ms": 2140,
    "created_at": "2026-02-01T12:00:00Z",
}


class ReplInput(Input):
    message = serializers.CharField(max_length=MOST_CHARS)
    project_id = IdField(required=False, allow_null=True)
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")
    timeout_sec = serializers.IntegerField(min_value=1, max_value=600, default=180)


class ReplBody(serializers.Serializer[Any]):
    """An answer; `bead_id` is that of the bead which the message became."""

    id = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField([*Exchange.Status.values, "dispatched"])
    message = serializers.CharField()
    bead_id = serializers.CharField(allow_blank=True)
    provider_id = serializers.CharField(allow_blank=True)
    provider_name = serializers.CharField(allow_blank=True)
    model = serializers.CharField(allow_blank=True)
    response = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    tokens_used = serializers.IntegerField()
    latency_ms = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class ReplViewSet(TenantViewSet):
    """Whatever is asked here is asked, and answered, for the person alone."""

    resource = "repl"
    organization_path = "organization_id"
    permission_actions = {"ask": "use"}
    serializer_class = ReplBody
    etag_actions = frozenset()
    atomic_actions: frozenset[str] = frozenset()
    content_negotiation_class = AnyAccept
    schema_bodies = {"ask": ReplInput}

    def get_queryset(self) -> QuerySet[Exchange]:
        person: Any = self.request.user
        return questions_of(person)

    @extend_schema(
        request=ReplInput,
        responses={200: ReplBody},
        examples=[
            OpenApiExample("A question", value={"message": "What holds us up?"}, request_only=True),
            OpenApiExample(
                "An order",
                value={"message": "QA engineer: test the import with an empty file", "project_id": "3"},
                request_only=True,
            ),
            OpenApiExample("An answer", value=EXAMPLE, response_only=True),
        ],
    )
    def ask(self, request: Request) -> Response:
        """Waits for the answer up to `timeout_sec`, then answers 202 with where it stands; GET it later."""
        given = ReplInput.read(self.body)
        person: Any = request.user
        project = None
        if given.get("project_id") is not None:
            mine = Project.objects.for_user(person).select_related("organization")
            project = self.parent_get(mine, given["project_id"])
        organization = self.organization_get(given.get("organization"), project=project)
        asked = loom_ask(person=person, text=given["message"], organization=organization, project=project)
        if asked.bead is not None:
            return Response(order_body(asked.bead, given["message"]), status=201)
        assert asked.exchange is not None  # noqa: S101 - one of the two
        return Response(
            {**answer_body(asked.exchange), "waits": given["timeout_sec"]},
            status=202,
            headers={"Location": f"/api/v1/repl/{asked.exchange.pk}"},
        )

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(answer_body(self.get_object()))

    @extend_schema(responses={(200, EVENT_STREAM): OpenApiTypes.STR})
    def stream(self, request: Request, pk: int) -> HttpResponse:
        """The answer as server-sent events while it comes: connected, chunk, error, done."""
        return streamed(request, self.get_object(), {"message": "Connected to stream"}, stops=False)


_view: Any = ReplViewSet.as_view({"post": "ask"})


@csrf_exempt
async def repl(request: HttpRequest) -> HttpResponseBase:
    """Waits without holding a thread or a connection; who hangs up stops the answer."""
    response: Any = await sync_to_async(_view)(request)
    waits = response.data.pop("waits", None) if isinstance(getattr(response, "data", None), dict) else None
    if waits is None:
        return response  # type: ignore[no-any-return]
    exchange_id = int(response.data["id"])
    try:
        async with asyncio.timeout(waits):
            await answered(exchange_id)
    except TimeoutError:
        pass  # it goes on
    except asyncio.CancelledError:
        stop_soon(exchange_id)
        raise
    status, body = await in_thread(_ended, exchange_id)
    location = {"Location": response.headers["Location"]}
    return HttpResponse(json_bytes(body), status=status, content_type="application/json", headers=location)


def _ended(exchange_id: int) -> tuple[int, dict[str, Any]]:
    exchange = Exchange.objects.get(pk=exchange_id)
    if exchange.status in {Exchange.Status.DONE, Exchange.Status.ANSWERING}:
        return 200 if exchange.status == Exchange.Status.DONE else 202, answer_body(exchange)
    error = exchange.error or "The answer was stopped."
    code = exchange.error_code or exchange.status
    return STATUSES.get(code, 502), {"error": error, "code": code, "details": {"id": str(exchange.pk)}}


# What looks at the routes finds the class behind this one.
for _name in ("cls", "initkwargs", "actions"):
    setattr(repl, _name, getattr(_view, _name))

urlpatterns: list[URLPattern] = [
    path("repl", repl, name="repl"),
    path("repl/<int:pk>", ReplViewSet.as_view({"get": "retrieve"}), name="repl-answer"),
    path("repl/<int:pk>/stream", ReplViewSet.as_view({"get": "stream"}), name="repl-stream"),
]
