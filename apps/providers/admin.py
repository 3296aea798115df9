"""Admin pages of providers, budgets and the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.models import Organization
from apps.core.admin import ModelForm, TenantAdmin, actor_of, shown_money, shown_text
from apps.core.asking_admin import asks
from apps.core.errors import Forbidden
from apps.providers.ledger_admin import CallAdmin
from apps.providers.models import Budget, Provider
from apps.providers.pricing import MILLION
from apps.providers.services import (
    budget_set,
    provider_create,
    provider_delete,
    provider_disable,
    provider_enable,
    provider_test,
    provider_update,
)

__all__ = ["CallAdmin"]  # registers itself

PLACE = ["organization", "name", "kind", "endpoint", "model"]
ABILITIES = [
    "supports_tools",
    "supports_streaming",
    "supports_vision",
    "context_window",
    "max_output",
    "tags",
]
MONEY = ["price_in", "price_out", "price_cached", "price_known"]
ROUTING = ["quality", "max_concurrency", "enabled"]
HEALTH = [
    "status",
    "last_error_shown",
    "latency_ms",
    "consecutive_failures",
    "cool_until",
    "checked_at",
    "source",
]


class ProviderForm(ModelForm):
    """The key goes in and never comes out."""

    key = forms.CharField(
        label="API key",
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Leave empty to keep the one that is there.",
    )
    remove_key = forms.BooleanField(required=False, label="Remove the stored API key")


@admin.register(Provider)
class ProviderAdmin(TenantAdmin):
    """Shared providers are the superusers' to change; members see them."""

    form = ProviderForm
    list_display = [
        "name",
        "organization_link",
        "kind",
        "model",
        "status",
        "enabled",
        "latency_ms",
        "prices",
        "source",
        "has_key_shown",
    ]
    list_filter = ["status", "enabled", "kind", "source", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "model", "endpoint"]
    list_select_related = ["organization"]
    readonly_fields = [*HEALTH, "has_key_shown"]
    actions = ["test_connection", "enable", "disable", "remove"]

    def view_on_site(self, obj: Provider) -> str:
        return reverse("providers")

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        key = ["key", "remove_key", "has_key_shown"] if obj else ["key"]
        if obj is not None and not self.has_change_permission(request, obj):
            key = ["has_key_shown"]
        sets = [
            (None, {"fields": [*PLACE, *key]}),
            ("Abilities", {"fields": ABILITIES}),
            ("Price", {"fields": MONEY, "description": "Micro-USD per million tokens: 1 USD is 1000000."}),
            ("Routing", {"fields": ROUTING}),
        ]
        # What is not asked when a provider is added comes from the price map.
        return [*sets, ("Health", {"fields": HEALTH})] if obj else sets[:1]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        return [*self.readonly_fields, "organization"] if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        if obj is not None and not _may_operate(request, obj):
            return False
        return super().has_change_permission(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        field = form.base_fields.get("organization")
        if field is not None and not getattr(request.user, "is_superuser", False):
            field.required = True
        return form

    def save_model(self, request: HttpRequest, obj: Provider, form: ModelForm, change: bool) -> None:
        given, actor = form.cleaned_data, actor_of(request)
        if change:
            fields = {name: given[name] for name in form.changed_data if name not in {"key", "remove_key"}}
            key = "" if given["remove_key"] else given["key"] or None
            provider_update(provider_id=obj.pk, key=key, actor=actor, **fields)
            return
        organization = given["organization"]
        made = provider_create(
            name=given["name"],
            organization_id=organization.pk if organization else None,
            kind=given["kind"],
            endpoint=given["endpoint"],
            model=given["model"],
            key=given["key"],
            actor=actor,
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    def offered_actions(self, obj: Provider) -> Iterable[str]:
        yield "test_connection"
        yield "disable" if obj.enabled else "enable"
        yield "remove"

    @admin.action(description="Test connection of selected providers", permissions=["change"])
    def test_connection(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        payer = _own_organization(request)
        for provider in queryset:
            organization_id = provider.organization_id or (payer.pk if payer else None)
            if organization_id is None:
                self.message_user(
                    request, "Create an organization first: it pays for the call.", messages.ERROR
                )
                return
            probe = provider_test(provider=provider, organization_id=organization_id)
            level = messages.SUCCESS if probe.ok else messages.ERROR
            self.message_user(request, f"{probe.message} {probe.hint}".strip(), level)

    @admin.action(description="Enable selected providers", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        self._each(request, queryset, provider_enable, "enabled")

    @admin.action(description="Disable selected providers", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        self._each(request, queryset, provider_disable, "disabled")

    @asks(
        "Remove selected providers",
        permission="change",
        what="Their keys are forgotten and no more calls go there; where no other provider is left,"
        " work stops. Calls that were made stay in the ledger.",
    )
    def remove(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        self._each(request, queryset, provider_delete, "removed")

    def _each(self, request: HttpRequest, rows: QuerySet[Provider], service: Any, done: str) -> None:
        def call(provider: Provider) -> None:
            if not _may_operate(request, provider):
                raise Forbidden(f"{provider.name} is shared by all; only superusers change it.")
            service(provider_id=provider.pk, actor=actor_of(request))

        self.apply_each(request, rows, call, done)

    @admin.display(description="in / out per million")
    def prices(self, provider: Provider) -> str:
        figures = f"{shown_money(provider.price_in)} / {shown_money(provider.price_out)}"
        if provider.is_demo:
            return f"{figures} nominal, nothing is charged"
        return figures if provider.price_known else f"{figures} assumed"

    @admin.display(description="last error")
    def last_error_shown(self, provider: Provider) -> str:
        return shown_text(provider.last_error)

    @admin.display(boolean=True, description="has a key")
    def has_key_shown(self, provider: Provider) -> bool:
        return provider.has_key


class BudgetForm(ModelForm):
    limit_usd = forms.DecimalField(
        label="Limit in USD", required=False, min_value=Decimal(0), max_digits=16, decimal_places=6,
        help_text="Empty: no limit. A limit below what is spent stops further calls.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = self.instance.limit_microusd
        if limit is not None:
            self.initial["limit_usd"] = f"{(Decimal(limit) / MILLION).normalize():f}"


@admin.register(Budget)
class BudgetAdmin(TenantAdmin):
    form = BudgetForm
    list_display = [
        "scope",
        "scope_id",
        "organization_link",
        "limit",
        "spent",
        "reserved",
        "left",
        "updated_at",
    ]
    list_display_links = ["scope", "scope_id"]
    list_filter = ["scope", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["=scope_id", "organization__name"]
    list_select_related = ["organization"]

    def get_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        counted = ["spent", "reserved", "left", "created_at", "updated_at"] if obj else []
        return ["organization", "scope", "scope_id", "limit_usd", *counted]

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        fixed = ["organization", "scope", "scope_id"] if obj else []
        return [*fixed, "spent", "reserved", "left", "created_at", "updated_at"]

    def save_model(self, request: HttpRequest, obj: Budget, form: ModelForm, change: bool) -> None:
        saved = budget_set(
            scope=obj.scope,
            scope_id=obj.scope_id,
            limit_usd=form.cleaned_data["limit_usd"],
            organization_id=obj.organization_id,
            actor=actor_of(request),
        )
        obj.pk = saved.pk
        obj.refresh_from_db()

    @admin.display(ordering="limit_microusd")
    def limit(self, budget: Budget) -> str:
        return "no limit" if budget.limit_microusd is None else shown_money(budget.limit_microusd)

    @admin.display(ordering="spent_microusd")
    def spent(self, budget: Budget) -> str:
        return shown_money(budget.spent_microusd)

    @admin.display(ordering="reserved_microusd", description="set aside for calls under way")
    def reserved(self, budget: Budget) -> str:
        return shown_money(budget.reserved_microusd)

    @admin.display(description="left")
    def left(self, budget: Budget) -> str:
        return "-" if budget.left is None else shown_money(max(0, budget.left))


def _may_operate(request: HttpRequest, provider: Provider) -> bool:
    return provider.organization_id is not None or bool(getattr(request.user, "is_superuser", False))


def _own_organization(request: HttpRequest) -> Organization | None:
    """Who pays for testing a shared provider: the person's first organization."""
    own = Organization.objects.filter(memberships__user_id=request.user.pk or 0).order_by("pk").first()
    return own or Organization.objects.for_user(request.user).order_by("pk").first()
