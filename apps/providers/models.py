"""Providers (model endpoints), budgets, and the ledger of every call to a model."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import Organization
from apps.core.models import Timestamped
from apps.core.tenancy import organizations_of, visible_to
from apps.providers.keys import seal, unseal
from apps.providers.pricing import Price


class ProviderQuerySet(models.QuerySet["Provider"]):
    def for_user(self, user: Any) -> ProviderQuerySet:
        """Those of the user's organizations and the shared ones."""
        if user.is_superuser or not user.is_active:
            return visible_to(user, self, "organization_id")
        if not organizations_of(user).exists():
            return self.none()
        return visible_to(user, self, "organization_id") | self.filter(organization=None)

    def usable_by(self, organization_id: int) -> ProviderQuerySet:
        """Enabled ones an organization may call."""
        return self.filter(Q(organization_id=organization_id) | Q(organization=None), enabled=True)


class Provider(Timestamped):
    """A model endpoint. Prices are micro-USD per million tokens; zero and null mean free and unknown."""

    class Kind(models.TextChoices):
        OPENAI = "openai", "OpenAI-compatible server"
        LITELLM = "litellm", "any other, through LiteLLM"
        SCRIPTED = "scripted", "scripted demo"

    class Source(models.TextChoices):
        ENVIRONMENT = "environment"
        LOCAL = "local", "found on this machine"
        MANUAL = "manual"
        DEMO = "demo"

    class Status(models.TextChoices):
        PENDING = "pending", "not tried yet"
        HEALTHY = "healthy"
        FAILED = "failed"

    organization = models.ForeignKey(
        Organization,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="providers",
        help_text="Empty: shared by the whole installation.",
    )
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.OPENAI)
    source = models.CharField(max_length=12, choices=Source.choices, default=Source.MANUAL)
    endpoint = models.CharField(
        max_length=500, blank=True, help_text="Base URL of the API, usually ending in /v1."
    )
    model = models.CharField(max_length=200, blank=True)
    sealed_key = models.TextField(blank=True, editable=False)
    context_window = models.PositiveIntegerField(default=0, help_text="Tokens; 0: unknown.")
    max_output = models.PositiveIntegerField(default=0, help_text="Tokens; 0: unknown.")
    supports_tools = models.BooleanField(
        null=True, blank=True, help_text="Empty: found out at the first call."
    )
    supports_streaming = models.BooleanField(default=True)
    supports_vision = models.BooleanField(default=False)
    price_in = models.PositiveBigIntegerField(default=0, help_text="Micro-USD per million tokens.")
    price_out = models.PositiveBigIntegerField(default=0, help_text="Micro-USD per million tokens.")
    price_cached = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: like other input.")
    price_known = models.BooleanField(default=False, help_text="Off: the price is assumed or nominal.")
    quality = models.PositiveSmallIntegerField(default=50, help_text="0 to 100, for routing.")
    max_concurrency = models.PositiveSmallIntegerField(default=0, help_text="Calls at once; 0: no limit.")
    tags: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    enabled = models.BooleanField(default=True)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    last_error = models.TextField(blank=True)
    latency_ms = models.PositiveIntegerField(default=0, help_text="Moving average; 0: not measured.")
    consecutive_failures = models.PositiveIntegerField(default=0)
    cool_until = models.DateTimeField(null=True, blank=True, help_text="Not called before this time.")
    checked_at = models.DateTimeField(null=True, blank=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="provider_name_once"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(organization=None), name="provider_shared_name_once"
            ),
            models.CheckConstraint(condition=Q(quality__lte=100), name="provider_quality_0_to_100"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def price(self) -> Price:
        return Price(self.price_in, self.price_out, self.price_cached, self.price_known)

    @property
    def is_demo(self) -> bool:
        return self.kind == self.Kind.SCRIPTED

    @property
    def has_key(self) -> bool:
        return bool(self.sealed_key)

    def set_key(self, key: str) -> None:
        """Seal a key into the row; the caller saves it."""
        self.sealed_key = seal(key.strip())

    def reveal_key(self) -> str:
        """The key itself, for the request's header and nothing else."""
        return unseal(self.sealed_key)


class PreferenceQuerySet(models.QuerySet["Preference"]):
    def for_user(self, user: Any) -> PreferenceQuerySet:
        return visible_to(user, self, "organization_id")


class Preference(models.Model):
    """Which provider is asked first for one kind of work of a role in a project, while it has this model."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    project_id = models.BigIntegerField()
    role = models.CharField(max_length=80, blank=True, help_text="Empty: calls of no agent, such as chats.")
    purpose = models.CharField(max_length=60, blank=True)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="preferences")
    model = models.CharField(max_length=200)
    optimization = models.CharField(max_length=40, blank=True, help_text="The recommendation it came from.")
    reason = models.TextField(blank=True)
    made_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = PreferenceQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project_id", "role", "purpose"], name="preference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose or 'calls'} of {self.role or 'people'}: {self.model}"

    @property
    def in_force(self) -> bool:
        """Routing asks it first; if not, it waits for the provider to be on and to have this model again."""
        return self.provider.enabled and self.provider.model == self.model


class BudgetQuerySet(models.QuerySet["Budget"]):
    def for_user(self, user: Any) -> BudgetQuerySet:
        return visible_to(user, self, "organization_id")


class Budget(Timestamped):
    """Money of one organization, project, bead or run, in micro-USD.

    Limits nest: a call is paid out of every row that applies to it. Only the ledger writes the counters.
    """

    class Scope(models.TextChoices):
        ORGANIZATION = "organization"
        PROJECT = "project"
        BEAD = "bead"
        RUN = "run"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="budgets")
    scope = models.CharField(max_length=12, choices=Scope.choices)
    scope_id = models.BigIntegerField()
    limit_microusd = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    spent_microusd = models.PositiveBigIntegerField(default=0)
    reserved_microusd = models.PositiveBigIntegerField(default=0)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ["organization", "scope", "scope_id"]
        constraints = [models.UniqueConstraint(fields=["scope", "scope_id"], name="budget_once")]

    def __str__(self) -> str:
        return f"{self.scope} {self.scope_id}"

    @property
    def left(self) -> int | None:
        """Micro-USD that may still be set aside; None: no limit. Below zero after the limit was lowered."""
        if self.limit_microusd is None:
            return None
        return self.limit_microusd - self.spent_microusd - self.reserved_microusd


class CallQuerySet(models.QuerySet["Call"]):
    def for_user(self, user: Any) -> CallQuerySet:
        return visible_to(user, self, "organization_id")


class Call(models.Model):
    """One call to a model: reserved before, settled after, never deleted.

    Ids are plain: the tables they point at stand above this one in the layers, or may lose rows.
    """

    class Status(models.TextChoices):
        RESERVED = "reserved", "under way"
        SETTLED = "settled"
        FAILED = "failed"
        LOST = "lost", "lost: its process died; booked at the full reservation"

    key = models.CharField(max_length=200, unique=True)
    stem = models.CharField(max_length=200)
    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField(null=True, db_index=True)
    bead_id = models.BigIntegerField(null=True, db_index=True)
    session_id = models.BigIntegerField(null=True, db_index=True)
    run_id = models.BigIntegerField(null=True, db_index=True)
    user_id = models.BigIntegerField(null=True, help_text="The person who asked; empty: agents at work.")
    purpose = models.CharField(max_length=60, blank=True)
    provider_id = models.BigIntegerField()
    provider_name = models.CharField(max_length=80)
    model = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status.choices)
    nominal = models.BooleanField(default=False, help_text="Scripted: booked, but nobody is charged.")
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    estimated = models.BooleanField(default=False, help_text="The server reported no usage.")
    reserved_microusd = models.PositiveBigIntegerField()
    cost_microusd = models.PositiveBigIntegerField(default=0)
    latency_ms = models.PositiveIntegerField(default=0)
    finish_reason = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=40, blank=True, help_text="The failure's code.")
    error_text = models.TextField(blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization_id", "created_at"], name="call_organization"),
            models.Index(fields=["stem"], condition=Q(status="reserved"), name="call_open_stem"),
            models.Index(fields=["provider_id"], condition=Q(status="reserved"), name="call_open_provider"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="reserved", ended_at=None)
                | (~Q(status="reserved") & Q(ended_at__isnull=False)),
                name="call_ended_iff_not_reserved",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class CallTotalQuerySet(models.QuerySet["CallTotal"]):
    def for_user(self, user: Any) -> CallTotalQuerySet:
        return visible_to(user, self, "organization_id")


class CallTotal(models.Model):
    """Sums over the calls that `apps.providers.totals` has added up."""

    organization_id = models.BigIntegerField()
    provider_name = models.CharField(max_length=80)
    model = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Call.Status.choices)
    calls = models.PositiveBigIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    cost_microusd = models.PositiveBigIntegerField(default=0)
    latency_ms = models.PositiveBigIntegerField(default=0)
    up_to = models.BigIntegerField(default=0, help_text="The newest call when this was added to.")

    objects = CallTotalQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "provider_name", "model", "status"], name="call_total_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} of {self.provider_name}, {self.status}"
