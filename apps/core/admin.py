"""What all admin pages share: people see their organizations' rows, history is read-only, services write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from apps.core.errors import LoomError
from apps.core.models import IdempotentRequest
from apps.core.tenancy import visible_to

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    InlineFormSet = BaseInlineFormSet[Any, Any, Any]
    ModelForm = forms.ModelForm[Any]
else:
    # At run time these classes take no parameters.
    ModelAdmin, TabularInline, InlineFormSet = admin.ModelAdmin, admin.TabularInline, BaseInlineFormSet
    ModelForm = forms.ModelForm

admin.site.site_header = admin.site.site_title = "Loom"
admin.site.index_title = "Operate Loom"

INLINE_ROWS = 200
SHOWN_CHARS = 20_000
BY_PROJECT = ("project", admin.RelatedOnlyFieldListFilter)


def tenant_rows(rows: QuerySet[Any], user: Any, path: str = "") -> QuerySet[Any]:
    """The rows of the user's organizations; `path` leads to the organization where there is no `for_user`."""
    if user.is_superuser:
        return rows
    if path:
        return visible_to(user, rows, path)
    scoped: QuerySet[Any] = rows.for_user(user)  # type: ignore[attr-defined]
    return scoped


class TenantMixin:
    """Limits pages, choices and actions to the organizations of the person; superusers see all."""

    organization_path = ""  # e.g. "session__project__organization_id"; empty: the queryset has `for_user`

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return tenant_rows(rows, request.user, self.organization_path)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._limit_choices(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._limit_choices(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def _limit_choices(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        model = db_field.remote_field.model
        if admin.site.is_registered(model):
            kwargs.setdefault("queryset", admin.site.get_model_admin(model).get_queryset(request))


def linked(name: str, page: str) -> Callable[[Any, Any], str]:
    """A column with what a foreign key or a plain id names, as a link to its page."""
    key = name.removesuffix("_id")

    @admin.display(description=key.replace("_", " "), ordering=name)
    def shown(_: Any, row: Any) -> str:
        if (pk := getattr(row, name)) is None:
            return "-"
        text = row._state.fields_cache.get(key) or pk
        return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[pk]), text)

    return shown


class LinkedIds:
    """Columns for the ids that many models have."""

    organization_link = linked("organization_id", "accounts_organization")
    user_link = linked("user_id", "accounts_user")
    project_link = linked("project_id", "projects_project")
    bead_link = linked("bead_id", "beads_bead")
    agent_link = linked("agent_id", "agents_agent")
    session_link = linked("session_id", "agents_session")
    claim_link = linked("claim_id", "agents_claim")
    decision_link = linked("decision_id", "decisions_decision")
    run_link = linked("run_id", "engine_run")
    call_link = linked("call_id", "providers_call")
    provider_link = linked("provider_id", "providers_provider")
    event_link = linked("event_id", "events_event")


def apply_each(
    page: ModelAdmin, request: HttpRequest, rows: Iterable[Any], call: Callable[[Any], object], done: str
) -> None:
    """Call a service for each row; say how many succeeded and why the others did not."""
    succeeded = 0
    for row in rows:
        try:
            call(row)
        except LoomError as error:
            page.message_user(request, error.told, messages.ERROR)
        else:
            succeeded += 1
    if succeeded:
        page.message_user(request, f"{succeeded} {done}.", messages.SUCCESS)


class TenantAdmin(TenantMixin, LinkedIds, ModelAdmin):
    """Base of every admin page. Rows are changed by services, so nothing is deleted from here."""

    change_form_template = "admin/record.html"
    list_per_page = 50
    show_full_result_count = False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """May run actions on rows that nobody may edit by hand."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def view_on_site(self, obj: Any) -> str | None:
        """Where people see this row."""
        return None

    def offered_actions(self, obj: Any) -> Iterable[str]:
        """Names of the actions that make sense for this row; they become buttons on its page."""
        return ()

    def offered_links(self, obj: Any) -> Iterable[tuple[str, str]]:
        """Address and text of further buttons."""
        return ()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if (row := context.get("original")) is not None:
            allowed = {name: found for name, found in self.get_actions(request).items() if found is not None}
            context["object_actions"] = [
                (name, capfirst(str(allowed[name][2]).partition(" selected")[0]))
                for name in self.offered_actions(row)
                if name in allowed
            ]
            if self.has_operate_permission(request):
                context["object_links"] = list(self.offered_links(row))
        return super().render_change_form(request, context, *args, **kwargs)

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """After a button on a row's page, back to that page."""
        response = super().response_action(request, *args, **kwargs)
        if "_object" in request.POST and isinstance(response, HttpResponseRedirect):
            return HttpResponseRedirect(admin_url(self.model, request.POST["_object"]))
        return response

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except LoomError as error:  # a service refused what the form allowed
            self.message_user(request, error.told, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def apply_each(
        self, request: HttpRequest, rows: Iterable[Any], call: Callable[[Any], object], done: str
    ) -> None:
        apply_each(self, request, rows, call, done)


class HistoryAdmin(TenantAdmin):
    """What happened: looked at, never added to, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewestRows(InlineFormSet):
    """Keeps pages of rows with a long history small; the whole of it has a page of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.queryset is not None:
            newest = self.queryset.order_by("-pk").values_list("pk", flat=True)[:INLINE_ROWS]
            self.queryset = self.queryset.filter(pk__in=list(newest))


class HistoryInline(TabularInline):
    """The newest rows that belong to the page's row (whose tenant is theirs), read-only."""

    formset = NewestRows
    extra = 0
    show_change_link = True
    can_delete = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(IdempotentRequest)
class IdempotentRequestAdmin(HistoryAdmin):
    """Answers that are kept for a day; what they said may be secret, and is not shown."""

    list_display = ["key", "user_link", "status", "location", "locked_until", "expires_at"]
    list_filter = ["status", ("status", admin.EmptyFieldListFilter)]
    search_fields = ["key", "location", "=user_id"]
    date_hierarchy = "expires_at"
    ordering = ["-id"]
    fields = ["key", "user_link", "fingerprint", "status", "location", "locked_until", "expires_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = IdempotentRequest.objects.defer("body")
        return rows if request.user.is_superuser else rows.filter(user_id=request.user.pk or 0)


def actor_of(request: HttpRequest) -> str:
    return str(request.user)


def admin_url(row_or_model: Model | type[Model], pk: Any = None) -> str:
    meta = row_or_model._meta
    pk = row_or_model.pk if isinstance(row_or_model, Model) else pk
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[pk])


def link_to(row: Model | None) -> str:
    return format_html('<a href="{}">{}</a>', admin_url(row), row) if row is not None else "-"


def shown_json(value: Any) -> str:
    return shown_text(json.dumps(value, indent=2, ensure_ascii=False)) if value not in (None, [], {}) else "-"


def shown_text(value: str) -> str:
    """Text as it is, with its line ends; very long ones are cut."""
    if not value:
        return "-"
    rest = len(value) - SHOWN_CHARS
    tail = f"\n… {rest} more characters" if rest > 0 else ""
    return format_html('<pre class="loom-text">{}{}</pre>', value[:SHOWN_CHARS], tail)


def shown_duration(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "-"
    seconds = (end - start).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def shown_money(microusd: int) -> str:
    return f"${microusd / 1_000_000:,.4f}"
