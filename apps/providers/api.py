"""The API of providers: registering and testing model endpoints, their models, and routing."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.core.api_inputs import IdField, Input, WordsField
from apps.core.api_lists import Listing, flag, words
from apps.core.errors import BadInput, Conflict, Forbidden, ProviderError
from apps.providers import wire
from apps.providers.bodies import provider_bodies
from apps.providers.discovery import ASK_PATIENCE
from apps.providers.models import Call, Provider
from apps.providers.pool import candidate_of, played_by, preferred_for, providers_of
from apps.providers.recommended import models_recommended
from apps.providers.routing import POLICIES, choose
from apps.providers.services import (
    provider_check,
    provider_create,
    provider_delete,
    provider_test,
    provider_update,
)
from apps.providers.speakers import server_of
from apps.providers.terms import Needs, Payer

KINDS = {"openai": Provider.Kind.OPENAI, "local": Provider.Kind.OPENAI, "litellm": Provider.Kind.LITELLM}
POLICY_WORDS = {
    "minimize_cost": "The cheapest that fits.",
    "minimize_latency": "The fastest that fits.",
    "maximize_quality": "The best that fits.",
    "balanced": "Cost, speed and quality weighed against each other.",
}
TOKENS = 2**31 - 1


class ProviderFields(Input):
    name = serializers.CharField(max_length=80, required=False)
    type = serializers.ChoiceField(list(KINDS), required=False, help_text="local is the same as openai.")
    endpoint = serializers.CharField(max_length=500, allow_blank=True, required=False)
    model = serializers.CharField(max_length=200, allow_blank=True, required=False)
    api_key = serializers.CharField(
        max_length=2000,
        allow_blank=True,
        required=False,
        write_only=True,
        help_text="Kept sealed, never shown.",
    )
    context_window = serializers.IntegerField(min_value=0, max_value=TOKENS, required=False)
    supports_function = serializers.BooleanField(required=False, allow_null=True)
    supports_vision = serializers.BooleanField(required=False)
    supports_streaming = serializers.BooleanField(required=False)
    price_in_per_mtoken = serializers.DecimalField(12, 6, min_value=0, required=False, help_text="USD.")
    price_out_per_mtoken = serializers.DecimalField(12, 6, min_value=0, required=False, help_text="USD.")
    quality = serializers.IntegerField(min_value=0, max_value=100, required=False)
    max_concurrency = serializers.IntegerField(min_value=0, max_value=10_000, required=False)
    tags = WordsField(required=False)
    enabled = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The contract's names as the services take them."""
        given = dict(attrs)
        for theirs, ours in (("api_key", "key"), ("supports_function", "supports_tools")):
            if theirs in given:
                given[ours] = given.pop(theirs)
        if "type" in given:
            given["kind"] = KINDS[given.pop("type")]
        for name in ("price_in", "price_out"):
            if (usd := given.pop(f"{name}_per_mtoken", None)) is not None:
                given[name] = int(usd * 1_000_000)
        return given


class ProviderInput(ProviderFields):
    id = serializers.CharField(max_length=80, required=False, help_text="The name, for old clients.")
    endpoint = serializers.CharField(max_length=500, allow_blank=True, default="")
    model = serializers.CharField(max_length=200)
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = super().validate(attrs)
        named = given.pop("id", "")
        if not given.setdefault("name", named):
            raise serializers.ValidationError({"name": ["This field is required."]})
        return given


class NeedsInput(Input):
    min_context_window = serializers.IntegerField(min_value=0, max_value=TOKENS, default=0)
    requires_function = serializers.BooleanField(default=False)
    requires_vision = serializers.BooleanField(default=False)
    max_cost_per_mtoken = serializers.DecimalField(12, 6, min_value=0, required=False, allow_null=True)
    max_latency_ms = serializers.IntegerField(min_value=0, max_value=TOKENS, default=0)
    required_tags = WordsField(default=list)

    def to_internal_value(self, data: Any) -> Any:
        """Names in snake_case, or as the original had them: MinContextWindow."""
        if isinstance(data, dict):
            plain = {name.replace("_", "").lower(): value for name, value in data.items()}
            data = {
                name: plain[key] for name in map(str, self.fields) if (key := name.replace("_", "")) in plain
            }
        return super().to_internal_value(data)


class SelectInput(Input):
    policy = serializers.ChoiceField(POLICIES, default="balanced")
    requirements = NeedsInput(required=False)
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")
    project_id = IdField(required=False, allow_null=True, help_text="Whose preferences count.")
    role = serializers.CharField(max_length=60, allow_blank=True, default="", help_text="Of who asks.")
    purpose = serializers.CharField(max_length=60, allow_blank=True, default="work")


class MetricsBody(serializers.Serializer[Any]):
    total_requests = serializers.IntegerField()
    success_requests = serializers.IntegerField()
    failed_requests = serializers.IntegerField()
    last_request_at = serializers.DateTimeField(allow_null=True)
    avg_latency_ms = serializers.FloatField()
    min_latency_ms = serializers.IntegerField()
    max_latency_ms = serializers.IntegerField()
    last_latency_ms = serializers.IntegerField()
    avg_throughput = serializers.FloatField(help_text="Tokens per second.")
    total_tokens = serializers.IntegerField()
    success_rate = serializers.FloatField()
    availability_score = serializers.FloatField()
    performance_score = serializers.FloatField()
    overall_score = serializers.FloatField()


class ProviderBody(serializers.ModelSerializer[Provider]):
    id = serializers.CharField()
    type = serializers.ChoiceField(Provider.Kind.choices)
    organization_id = serializers.CharField(allow_null=True)
    is_shared = serializers.BooleanField()
    configured_model = serializers.CharField(allow_blank=True)
    selected_model = serializers.CharField(allow_blank=True)
    description = serializers.CharField()
    requires_key = serializers.BooleanField()
    last_heartbeat_at = serializers.DateTimeField(allow_null=True)
    last_heartbeat_latency_ms = serializers.IntegerField()
    last_heartbeat_error = serializers.CharField(allow_blank=True)
    cost_per_mtoken = serializers.FloatField(help_text="USD; three parts input to one part output.")
    price_in_per_mtoken = serializers.FloatField()
    price_out_per_mtoken = serializers.FloatField()
    supports_function = serializers.BooleanField()
    tags = serializers.ListField(child=serializers.CharField())
    metrics = MetricsBody()

    class Meta:
        model = Provider
        fields = [
            "id", "name", "type", "organization_id", "is_shared", "source", "endpoint", "model",
            "configured_model", "selected_model", "description", "requires_key", "enabled", "status",
            "last_heartbeat_at", "last_heartbeat_latency_ms", "last_heartbeat_error", "cool_until",
            "cost_per_mtoken", "price_in_per_mtoken", "price_out_per_mtoken", "price_known",
            "context_window", "supports_function", "supports_vision", "supports_streaming",
            "max_concurrency", "quality", "tags", "metrics", "created_at", "updated_at",
        ]  # fmt: skip


class ModelSpecBody(serializers.Serializer[Any]):
    name = serializers.CharField()
    vendor = serializers.CharField()
    family = serializers.CharField()
    total_params_b = serializers.FloatField()
    active_params_b = serializers.FloatField()
    precision = serializers.CharField()
    instruct = serializers.BooleanField()
    interactivity = serializers.CharField()
    parallelization_hints = serializers.ListField(child=serializers.CharField())
    min_vram_gb = serializers.IntegerField()
    suggested_gpu_class = serializers.CharField()
    rank = serializers.IntegerField()
    provider_ids = serializers.ListField(child=serializers.CharField())


class RecommendedBody(serializers.Serializer[Any]):
    models = ModelSpecBody(many=True)


class PolicyWordBody(serializers.Serializer[Any]):
    id = serializers.ChoiceField(POLICIES)
    name = serializers.CharField()
    description = serializers.CharField()


class ServedModelBody(serializers.Serializer[Any]):
    """As the server tells of it; most say more than its id."""

    id = serializers.CharField()


class ServedBody(serializers.Serializer[Any]):
    models = ServedModelBody(many=True)


class TriedBody(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    message = serializers.CharField(allow_blank=True)
    hint = serializers.CharField(allow_blank=True)
    latency_ms = serializers.IntegerField()


class ProviderViewSet(TenantViewSet):
    """`/providers`: one's organizations' and the shared ones, which only operators change."""

    resource = "providers"
    organization_path = "organization_id"
    serializer_class = ProviderBody
    lookup_value_regex = r"\d{1,18}"
    permission_actions = {"select": "read"}
    schema_bodies: dict[str, Any] = {
        "create": ProviderInput,
        "update": ProviderFields,
        "partial_update": ProviderFields,
        "select": SelectInput,
    }
    schema_answers = {
        "select": ProviderBody,
        "negotiate": ProviderBody,
        "models": ServedBody,
        "policies": PolicyWordBody(many=True),
        "test": TriedBody,
    }
    figures = (
        "status", "last_heartbeat_at", "last_heartbeat_latency_ms", "last_heartbeat_error", "cool_until",
        "metrics", "updated_at",
    )  # fmt: skip
    filters = {
        "status": words("status", choices=Provider.Status.values),
        "type": words("kind", choices=Provider.Kind.values),
        "enabled": flag("enabled"),
        "model": words("model"),
        "shared": flag("organization__isnull", help="Of the installation, not of an organization."),
        "supports_vision": flag("supports_vision"),
    }
    orderings = {name: name for name in ("id", "name", "status", "quality", "created_at")}
    listings = {"policies": Listing()}
    search_fields = ("name", "model", "endpoint")

    def get_queryset(self) -> QuerySet[Provider]:
        return Provider.objects.for_user(self.request.user)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        own = super().filter_queryset(queryset)
        # What the tenant may read, and the shared ones, which belong to nobody.
        mine = Q(pk__in=own.order_by().values("pk"))
        rows = queryset.filter(mine | Q(organization=None))
        for backend in self.filter_backends:
            rows = backend().filter_queryset(self.request, rows, self)
        return rows

    def get_object(self) -> Provider:
        provider: Provider = super().get_object()
        changes = self.request.method not in {"GET", "HEAD", "OPTIONS"} and self.action != "test"
        user: Any = self.request.user
        if changes and provider.organization_id is None and not user.is_superuser:
            raise Forbidden(f"{provider.name} is shared by all; only operators change it.")
        return provider

    def _bodies(self, providers: Any) -> list[dict[str, Any]]:
        return provider_bodies(providers, Call.objects.for_user(self.request.user))

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self._bodies(page))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self._bodies([self.get_object()])[0])

    def create(self, request: Request) -> Response:
        given = ProviderInput.read(self.body)
        organization = self.organization_get(given.pop("organization", None))
        provider = provider_create(
            organization_id=organization.pk, actor=request.user.get_username(), **given
        )
        place = f"{request.path.rstrip('/')}/{provider.pk}"
        return Response(self._bodies([provider])[0], status=201, headers={"Location": place})

    def update(self, request: Request, pk: str) -> Response:
        """PUT as PATCH; an empty `api_key` removes the key, without one it stays."""
        provider, given = self.get_object(), ProviderFields.read(self.body, partial=True)
        changed = provider_update(provider_id=provider.pk, actor=request.user.get_username(), **given)
        return Response(self._bodies([changed])[0])

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk)

    def destroy(self, request: Request, pk: str) -> Response:
        provider_delete(provider_id=self.get_object().pk, actor=request.user.get_username())
        return Response(status=204)

    @action(detail=True)
    def models(self, request: Request, pk: str) -> Response:
        """What the server itself says it has: `{"models": [...]}`; 502 if it does not answer."""
        provider = self.get_object()
        if provider.kind != Provider.Kind.OPENAI:
            return Response({"models": [{"id": provider.model, "object": "model"}]})
        return Response({"models": wire.models(server_of(provider), limits=ASK_PATIENCE)})

    @action(detail=True, methods=["post"])
    def negotiate(self, request: Request, pk: str) -> Response:
        """Ask the server how it is and whether it has the model, which costs nothing; 502 if not."""
        provider = self.get_object()
        probe = provider_check(provider=provider)
        if not probe.ok:
            raise ProviderError(probe.message, hint=probe.hint)
        provider.refresh_from_db()
        return Response(self._bodies([provider])[0])

    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Make one tiny call, booked like any other: `{"ok", "message", "hint", "latency_ms"}`."""
        provider = self.get_object()
        organization = self.organization_get(self.body.get("organization") or provider.organization_id)
        probe = provider_test(provider=provider, organization_id=organization.pk)
        told = {"message": probe.message, "hint": probe.hint, "latency_ms": probe.latency_ms}
        return Response({"ok": probe.ok, **told})

    # -- routing ------------------------------------------------------------------------------------

    @extend_schema(responses=RecommendedBody)
    def recommended(self, request: Request) -> Response:
        """Open models that do well as agents, best first, and which of your providers serve them."""
        mine = Provider.objects.for_user(request.user).values_list("pk", "model")
        return Response({"models": models_recommended(mine)})

    def policies(self, request: Request) -> Response:
        told = [{"id": name, "name": name, "description": POLICY_WORDS[name]} for name in POLICIES]
        return self.listed(told, list)

    def select(self, request: Request) -> Response:
        """The provider a call with these requirements would go to first; 409 with why none fits.

        With `project_id` what that project's `role` prefers for the `purpose` comes before the policy.
        """
        given = SelectInput.read(self.body)
        organization_id = self.organization_get(given.get("organization")).pk
        needs = _needs(given.get("requirements") or NeedsInput.read({}))
        providers = providers_of(organization_id)
        candidates = [candidate_of(provider) for provider in providers.values()]
        payer = Payer(organization_id, given.get("project_id"), purpose=given["purpose"], role=given["role"])
        choice = choose(
            candidates,
            needs=needs,
            policy=given["policy"],
            now=timezone.now(),
            pinned=played_by(payer),
            preferred=preferred_for(payer),
        )
        if not choice.order:
            raise Conflict("No provider fits.", hint=choice.reasons() or "Connect a model.")
        return Response(self._bodies([providers[choice.order[0].id]])[0])


def _needs(given: dict[str, Any]) -> Needs:
    price = given.get("max_cost_per_mtoken")
    if price is not None and price > 10**6:
        raise BadInput("max_cost_per_mtoken is in USD.", details={"field": "max_cost_per_mtoken"})
    return Needs(
        context_window=given["min_context_window"],
        tools=given["requires_function"],
        vision=given["requires_vision"],
        max_price=int(price * 1_000_000) if price is not None else None,
        max_latency_ms=given["max_latency_ms"],
        tags=tuple(given["required_tags"]),
    )


router = SimpleRouter(trailing_slash=False)
router.register("providers", ProviderViewSet, basename="provider")
urlpatterns = [
    path("models/recommended", ProviderViewSet.as_view({"get": "recommended"}), name="models-recommended"),
    path("routing/policies", ProviderViewSet.as_view({"get": "policies"}), name="routing-policies"),
    path("routing/select", ProviderViewSet.as_view({"post": "select"}), name="routing-select"),
    *router.urls,
]
