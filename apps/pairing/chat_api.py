"""The API of chat, in OpenAI's shapes: messages are answered by a model, and nothing is acted on."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Organization
from apps.activity.streams_api import AnyAccept
from apps.agents.models import Agent
from apps.agents.replies.language import strip
from apps.beads.models import Bead
from apps.core.api_inputs import IdField, Input
from apps.core.errors import BadInput, NotFound
from apps.core.streaming import EVENT_STREAM
from apps.events.feed import in_thread
from apps.pairing.api import streamed
from apps.pairing.models import Exchange
from apps.pairing.services import exchange_chat, spent_on
from apps.pairing.streams import answered, stop_soon
from apps.projects.models import Project
from apps.providers.pool import providers_of

MAX_MESSAGES, MAX_CHARS = 500, 400_000
ANY_MODEL = frozenset({"", "auto", "loom"})
STATUSES = {"budget_exceeded": 402, "forbidden": 403}


class MessageInput(Input):
    role = serializers.ChoiceField(["system", "user", "assistant"])
    content = serializers.JSONField()

    def validate_content(self, content: Any) -> str:
        """A text, or OpenAI's list of parts that are texts."""
        if isinstance(content, list) and all(isinstance(part, dict) for part in content):
            texts = [part.get("text") for part in content if part.get("type") == "text"]
            content = "\n".join(texts) if len(texts) == len(content) and all(
                isinstance(text, str) for text in texts
            ) else None  # fmt: skip
        if not isinstance(content, str):
            raise serializers.ValidationError("The content is a text.")
        return content


class ChatInput(Input):
    messages = MessageInput(many=True, allow_empty=False)
    provider_id = IdField(required=False, allow_null=True)
    model = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    agent_id = serializers.CharField(required=False, allow_blank=True, default="", max_length=40)
    bead_id = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)
    project_id = IdField(required=False, allow_null=True)
    temperature = serializers.FloatField(required=False, min_value=0, max_value=2)
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=200_000)
    stream = serializers.BooleanField(required=False, default=False)

    def validate_messages(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(messages) > MAX_MESSAGES or sum(len(one["content"]) for one in messages) > MAX_CHARS:
            raise serializers.ValidationError(
                f"At most {MAX_MESSAGES} messages of {MAX_CHARS:,} characters in all."
            )
        return messages


class ReplyBody(serializers.Serializer[Any]):
    role = serializers.ChoiceField(["assistant"])
    content = serializers.CharField(allow_blank=True)


class ChoiceBody(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    message = ReplyBody()
    finish_reason = serializers.CharField()


class TokensBody(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class CompletionBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.ChoiceField(["chat.completion"])
    created = serializers.IntegerField(help_text="Seconds since 1970.")
    model = serializers.CharField(allow_blank=True)
    choices = ChoiceBody(many=True)
    usage = TokensBody()


class ChatViewSet(TenantViewSet):
    """`organization`, `project_id` or `agent_id` say who pays; `agent_id` also whose words come first."""

    resource = "conversations"
    serializer_class = ChatInput
    atomic_actions: frozenset[str] = frozenset()
    content_negotiation_class = AnyAccept

    @extend_schema(
        request=ChatInput,
        responses={(200, "application/json"): CompletionBody, (200, EVENT_STREAM): OpenApiTypes.STR},
    )
    def completions(self, request: Request) -> HttpResponseBase:
        """One answer; with `stream` (in the body or the query) as server-sent events."""
        given = ChatInput.read(self.body)
        wanted = request.query_params.get("stream", "").lower() in {"true", "1"}
        if wanted or given["stream"]:
            return self._streamed(request, given)
        return Response({"exchange_id": self._ask(request, given).pk}, status=202)

    @extend_schema(request=ChatInput, responses={(200, EVENT_STREAM): OpenApiTypes.STR})
    def stream(self, request: Request) -> HttpResponse:
        """The answer as server-sent events: connected, chunk, error, done."""
        return self._streamed(request, ChatInput.read(self.body))

    def _streamed(self, request: Request, given: dict[str, Any]) -> HttpResponse:
        exchange = self._ask(request, given)
        return streamed(request, exchange, {"message": "Connected to stream"}, stops=True)

    def _ask(self, request: Request, given: dict[str, Any]) -> Exchange:
        user: Any = request.user
        agent, bead, project = self._about(given)
        organization = self.organization_get(self.body.get("organization"), project=project)
        messages = [dict(message) for message in given["messages"]]
        if agent is not None:
            words = f"You are {agent.name}, the {agent.role}. {agent.persona.description}\n\n"
            messages.insert(0, {"role": "system", "content": words + strip(agent.persona.instructions)})
        asked = {
            "messages": messages,
            "provider_id": _provider(given, organization),
            "temperature": given.get("temperature"),
            "max_tokens": given.get("max_tokens"),
            "bead_id": bead.pk if bead else None,
        }
        return exchange_chat(organization=organization, project=project, person=user, request=asked)

    def _about(self, given: dict[str, Any]) -> tuple[Agent | None, Bead | None, Project | None]:
        user: Any = self.request.user
        agent = bead = project = None
        path = "project__organization_id"
        if named := given["agent_id"].removeprefix("agent-"):
            team = Agent.objects.for_user(user).select_related("project__organization", "persona")
            key = int(named) if named.isascii() and named.isdigit() and len(named) < 19 else 0
            agent = self.parent_get(team, key, organization_path=path)
            project = agent.project
        if given.get("project_id") is not None:
            mine = Project.objects.for_user(user).select_related("organization")
            project = self.parent_get(mine, given["project_id"])
        if given["bead_id"]:
            beads = Bead.objects.for_user(user).select_related("project__organization")
            bead = self.parent_get(beads, given["bead_id"], field="key__iexact", organization_path=path)
            project = project or bead.project
        places = {one.project_id for one in (agent, bead) if one is not None} | (
            {project.pk} if project else set()
        )
        if len(places) > 1:
            raise BadInput("agent_id, bead_id and project_id belong to different projects.")
        return agent, bead, project


def _provider(given: dict[str, Any], organization: Organization) -> int | None:
    """The provider that is named, itself or by its model; None: any."""
    rows = providers_of(organization.pk)
    if given.get("provider_id") is not None:
        if given["provider_id"] not in rows:
            raise NotFound(f"There is no provider {given['provider_id']}.")
        return int(given["provider_id"])
    if given["model"].lower() in ANY_MODEL:
        return None
    for row in rows.values():
        if given["model"] in {row.model, row.name}:
            return int(row.pk)
    raise NotFound(
        f"No connected provider has the model {given['model']!r}.", hint="Leave it out to have one chosen."
    )


def completion_body(exchange_id: int) -> tuple[int, dict[str, Any]]:
    """The answer of an exchange that has ended, as OpenAI's clients expect it; its status."""
    exchange = Exchange.objects.get(pk=exchange_id)
    if exchange.status != Exchange.Status.DONE:
        error = exchange.error or "The answer was stopped."
        status = STATUSES.get(exchange.error_code, 502)
        return status, {"error": error, "code": exchange.error_code or exchange.status, "details": {}}
    spent = spent_on(exchange)
    message = {"role": "assistant", "content": exchange.answer}
    return 200, {
        "id": f"chatcmpl-{exchange.pk}",
        "object": "chat.completion",
        "created": int(exchange.created_at.timestamp()),
        "model": exchange.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": spent["prompt_tokens"],
            "completion_tokens": spent["completion_tokens"],
            "total_tokens": spent["tokens_used"],
        },
    }


_view: Any = ChatViewSet.as_view({"post": "completions"})


@csrf_exempt
async def completions(request: HttpRequest) -> HttpResponseBase:
    """Waits for the answer without holding a thread or a connection; who hangs up stops it."""
    response: Any = await sync_to_async(_view)(request)
    if response.status_code != 202:
        return response  # type: ignore[no-any-return]
    exchange_id = response.data["exchange_id"]
    try:
        await answered(exchange_id)
    except asyncio.CancelledError:
        stop_soon(exchange_id)
        raise
    status, body = await in_thread(completion_body, exchange_id)
    return JsonResponse(body, status=status)


# What looks at the routes finds the class behind this one.
for _name in ("cls", "initkwargs", "actions"):
    setattr(completions, _name, getattr(_view, _name))

urlpatterns: list[URLPattern] = [
    path("chat/completions", completions, name="chat-completions"),
    path("chat/completions/stream", ChatViewSet.as_view({"post": "stream"}), name="chat-stream"),
]
