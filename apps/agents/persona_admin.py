"""The admin page of personas: their text is edited whole, and each version stays."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.accounts.models import Organization
from apps.accounts.permissions import permission_require
from apps.agents.models import Agent, Persona, PersonaVersion
from apps.agents.persona_services import persona_import, persona_text
from apps.core.admin import HistoryAdmin, HistoryInline, actor_of, admin_url, shown_json, shown_text
from apps.core.errors import LoomError

WRITE = "personas:write"


class PersonaForm(forms.Form):
    organization = forms.ModelChoiceField(
        Organization.objects.none(), help_text="Whose own persona this becomes, or is."
    )
    name = forms.CharField(
        max_length=120, help_text="<group>/<name>. Another name makes another persona, and leaves this one."
    )
    skill_md = forms.CharField(
        label="SKILL.md", max_length=64 * 1024, strip=False, widget=forms.Textarea(attrs={"rows": 30})
    )
    note = forms.CharField(max_length=200, required=False, help_text="Why, for the history.")


class VersionInline(HistoryInline):
    model = PersonaVersion
    fields = ["number", "author", "note", "created_at", "changed"]
    ordering = ["-number"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        earlier = PersonaVersion.objects.filter(
            persona=OuterRef("persona"), number__lt=OuterRef("number")
        ).order_by("-number")
        rows: Any = super().get_queryset(request)
        found: QuerySet[Any] = rows.annotate(before=Subquery(earlier.values("text")[:1]))
        return found

    @admin.display(description="what changed")
    def changed(self, version: Any) -> str:
        if version.before is None:
            return "(its beginning)"
        texts = version.before.splitlines(), version.text.splitlines()
        return shown_text("\n".join(list(difflib.unified_diff(*texts, lineterm="", n=1))[2:]))


@admin.register(Persona)
class PersonaAdmin(HistoryAdmin):
    """Shipped ones are files and shared by all; editing one makes the organization's own."""

    list_display = ["name", "organization_link", "role", "description", "agent_count", "updated_at"]
    list_filter = [("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "role", "description"]
    date_hierarchy = "updated_at"
    list_select_related = ["organization"]
    fields = [
        "name", "organization", "role", "description", "body_shown", "metadata_shown", "sha256", "updated_at",
    ]  # fmt: skip
    inlines = [VersionInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = Agent.objects.for_user(request.user).values("persona").annotate(count=Count("pk"))
        own = visible.filter(persona=OuterRef("pk")).values("count")
        rows = Persona.objects.for_user(request.user)
        return rows.annotate(agent_count=Coalesce(Subquery(own), 0))

    def view_on_site(self, obj: Persona) -> str:
        return reverse("persona", args=[obj.pk])

    def offered_links(self, obj: Persona) -> Iterable[tuple[str, str]]:
        yield reverse("admin:agents_persona_edit", args=[obj.pk]), "Edit or clone"
        newest = obj.versions.order_by("-number").values_list("number", flat=True).first() or 0
        if newest > 1:
            address = reverse("admin:agents_persona_edit", args=[obj.pk])
            yield f"{address}?version={newest - 1}", "Back to the version before"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.edit_view)
        return [path("<int:persona_id>/edit/", view, name="agents_persona_edit"), *super().get_urls()]

    def edit_view(self, request: HttpRequest, persona_id: int) -> HttpResponse:
        persona = self.get_queryset(request).filter(pk=persona_id).first()
        if persona is None or not self.has_operate_permission(request):
            raise Http404
        form = PersonaForm(request.POST or None, initial=self._initial(request, persona))
        mine = Organization.objects.for_user(request.user)
        field: Any = form.fields["organization"]
        field.queryset = mine if persona.organization_id is None else mine.filter(pk=persona.organization_id)
        if request.method == "POST" and form.is_valid():
            try:
                kept = self._keep(request, form.cleaned_data)
            except LoomError as error:
                form.add_error("skill_md", error.told)
            else:
                self.message_user(request, f"{kept} is kept.", messages.SUCCESS)
                return HttpResponseRedirect(admin_url(kept))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Edit {persona}",
            "opts": self.opts,
            "original": persona,
            "form": form,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/agents/persona/edit.html", context)

    def _initial(self, request: HttpRequest, persona: Persona) -> dict[str, Any]:
        """The text as it is, or that of an old version."""
        number = request.GET.get("version", "")
        wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
        version = persona.versions.filter(number=wanted).first() if wanted else None
        mine = Organization.objects.for_user(request.user)
        return {
            "organization": persona.organization_id or mine.values_list("pk", flat=True).first(),
            "name": persona.name,
            "skill_md": version.text if version else persona_text(persona),
            "note": f"Version {wanted} again." if version else "",
        }

    def _keep(self, request: HttpRequest, said: dict[str, Any]) -> Persona:
        organization: Organization = said["organization"]
        permission_require(request.user, WRITE, organization.pk)
        kept, warnings = persona_import(
            organization=organization,
            name=said["name"],
            text=said["skill_md"],
            author=actor_of(request),
            note=said["note"] or "Edited.",
        )
        for warning in warnings:
            self.message_user(request, warning, messages.WARNING)
        return kept

    @admin.display(description="agents", ordering="agent_count")
    def agent_count(self, persona: Any) -> int:
        return int(persona.agent_count)

    @admin.display(description="body")
    def body_shown(self, persona: Persona) -> str:
        return shown_text(persona.body)

    @admin.display(description="metadata")
    def metadata_shown(self, persona: Persona) -> str:
        return shown_json(persona.metadata)
