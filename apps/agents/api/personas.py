"""The API of personas; shapes as the original's Persona. Names hold slashes: `/personas/default/ceo`."""

from __future__ import annotations

import difflib
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpResponse
from django.urls import URLPattern, path, re_path
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Organization
from apps.accounts.permissions import READ, organizations_with
from apps.agents.models import Persona, PersonaVersion
from apps.agents.persona_services import (
    persona_clone,
    persona_edit,
    persona_import,
    persona_remove,
    persona_restore,
    persona_text,
)
from apps.core.api import query_number
from apps.core.api_lists import ListFilters, Listing, flag, words
from apps.core.errors import BadInput, NotFound

# The original's fields that are metadata here, under the name that they have there.
FACETS = {
    "autonomy_level": "autonomy",
    "capabilities": "specialties",
    "character": "character",
    "collaboration": "collaboration",
    "decision_making": "decision_making",
    "focus_areas": "focus_areas",
    "housekeeping": "housekeeping",
    "mission": "mission",
    "personality": "personality",
    "role": "role",
    "standards": "standards",
    "tone": "tone",
}
LISTS = frozenset({"capabilities", "focus_areas", "standards"})


class PersonaBody(serializers.ModelSerializer[Persona]):
    """A persona; `organization_id` is null for those that are shipped."""

    instructions = serializers.CharField(source="body")
    organization_id = serializers.CharField(allow_null=True)
    version = serializers.SerializerMethodField()
    persona_file = serializers.SerializerMethodField()

    class Meta:
        model = Persona
        fields = [
            "name", "role", "description", "instructions", "license", "compatibility", "allowed_tools",
            "metadata", "organization_id", "version", "persona_file", "created_at", "updated_at",
        ]  # fmt: skip

    def get_version(self, persona: Persona) -> int:
        if hasattr(persona, "newest"):  # as lists have it
            return persona.newest or 0
        return persona.versions.order_by("-number").values_list("number", flat=True).first() or 0

    def get_persona_file(self, persona: Persona) -> str:
        return f"{persona.name}/SKILL.md"

    def to_representation(self, instance: Persona) -> dict[str, Any]:
        return {**super().to_representation(instance), **facets_of(instance.metadata or {})}


def facets_of(metadata: dict[str, str]) -> dict[str, Any]:
    """What the original had fields for; absent where the metadata says nothing."""
    said = {name: str(metadata[key]) for name, key in FACETS.items() if metadata.get(key)}
    said.setdefault("autonomy_level", "semi")
    return {
        name: [part.strip() for part in text.split(";") if part.strip()] if name in LISTS else text
        for name, text in said.items()
    }


class VersionBody(serializers.ModelSerializer[PersonaVersion]):
    class Meta:
        model = PersonaVersion
        fields = ["number", "author", "note", "created_at"]


class VersionTextBody(VersionBody):
    skill_md = serializers.CharField()
    diff = serializers.CharField(allow_blank=True, help_text="To the version before, or to `against`.")

    class Meta(VersionBody.Meta):
        fields = [*VersionBody.Meta.fields, "skill_md", "diff"]


class RestoreInput(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class PersonaInput(serializers.Serializer[Any]):
    """Either the fields that change, or a whole file as `skill_md`."""

    skill_md = serializers.CharField(required=False, max_length=64 * 1024, trim_whitespace=False)
    description = serializers.CharField(required=False, max_length=1024)
    instructions = serializers.CharField(required=False, max_length=60 * 1024, trim_whitespace=False)
    license = serializers.CharField(required=False, allow_blank=True, max_length=200)
    compatibility = serializers.CharField(required=False, allow_blank=True, max_length=500)
    allowed_tools = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    metadata = serializers.DictField(required=False)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


class CloneInput(PersonaInput):
    new_name = serializers.CharField(max_length=120)


def changes_of(given: dict[str, Any], body: dict[str, Any], persona: Persona | None) -> dict[str, Any]:
    """The changes that a body asks for, for `persona_edit`."""
    changes: dict[str, Any] = {
        key: given[key]
        for key in ("description", "license", "compatibility", "allowed_tools")
        if key in given
    }
    if "instructions" in given:
        changes["body"] = given["instructions"]
    known = facets_of(persona.metadata or {}) if persona else {}
    told = {key: body[name] for name, key in FACETS.items() if name in body and body[name] != known.get(name)}
    if metadata := {**given.get("metadata", {}), **told}:
        changes["metadata"] = metadata
    return changes


class PersonaViewSet(TenantViewSet):
    """Roles as Agent Skills: shipped ones, and the organizations' own, which come before those."""

    resource = "personas"
    serializer_class = PersonaBody
    schema_bodies = {"restore": RestoreInput}
    schema_answers = {
        "clone": PersonaBody,
        "restore": PersonaBody,
        "skill": {(200, "text/markdown"): OpenApiTypes.STR},
        "versions": VersionBody(many=True),
        "version": VersionTextBody,
    }
    organization_path = "organization_id"
    lookup_field = "name"
    filters = {
        "role": words("role"),
        "name": words("name"),
        "shipped": flag("organization__isnull", help="Of the installation, not of an organization."),
    }
    listings = {
        "versions": Listing(
            {"author": words("author")}, {"number": "number", "created_at": "created_at"}, ("author", "note")
        )
    }
    orderings = {"name": "name", "role": "role", "updated_at": "updated_at"}
    search_fields = ("name", "role", "description")
    extra_parameters = ("organization",)

    def get_queryset(self) -> QuerySet[Persona]:
        newest = (
            PersonaVersion.objects.filter(persona=OuterRef("pk")).order_by("-number").values("number")[:1]
        )
        rows = Persona.objects.for_user(self.request.user)
        if given := self.request.query_params.get("organization"):
            rows = Persona.objects.for_organization(self._named(given).pk)
        return rows.select_related("organization").annotate(newest=Subquery(newest)).order_by("name", "id")

    def _named(self, given: str) -> Organization:
        mine = Organization.objects.for_user(self.request.user)
        found = mine.filter(
            **({"pk": int(given)} if given.isdecimal() and len(given) < 19 else {"slug": given})
        )
        if (organization := found.first()) is None:
            raise NotFound(f"There is no organization {given[:80]!r}.")
        return organization

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The shipped ones too, but for those whose place an own one takes in the only organization."""
        rows = ListFilters().filter_queryset(self.request, queryset, self)
        user: Any = self.request.user
        if user.is_superuser:
            return rows
        readable = list(organizations_with(user, f"{self.resource}:{READ}"))
        if len(readable) == 1 and "organization" not in self.request.query_params:
            return rows.filter(pk__in=Persona.objects.for_organization(readable[0]).values("pk"))
        return rows.filter(Q(organization=None) | Q(organization__in=readable))

    def get_object(self) -> Any:
        """Of several of that name an own one; with `organization` that one's."""
        name = self.kwargs["name"]
        found = (
            self.filter_queryset(self.get_queryset())
            .filter(name=name)
            .order_by(F("organization").desc(nulls_last=True))
            .first()
        )
        if found is None:
            raise NotFound(f"There is no persona {name[:120]!r}.")
        self.check_object_permissions(self.request, found)
        return found

    def _home(self, persona: Persona | None = None) -> Organization:
        """The organization that a write is for."""
        given = self.body.get("organization") or self.request.query_params.get("organization")
        if given is None and persona is not None and persona.organization is not None:
            self.permission_check(persona.organization.pk)
            return persona.organization
        return self.organization_get(given)

    def _read(self, kind: type[PersonaInput] = PersonaInput) -> dict[str, Any]:
        given = kind(data=self.body)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def _answer(self, persona: Persona, status: int = 200, **more: Any) -> Response:
        row = self.get_queryset().get(pk=persona.pk)
        return Response({**self.get_serializer(row).data, **more}, status=status)

    @property
    def _author(self) -> str:
        return str(self.request.user.get_username())

    def create(self, request: Request) -> Response:
        """A new persona from a file (`skill_md`, read leniently) or from fields."""
        given, home = self._read(), self._home()
        name = self.body.get("name", "")
        if not isinstance(name, str):
            raise BadInput("The name is a text.", details={"field": "name"})
        persona, warnings = persona_import(
            organization=home,
            name=name,
            text=given.get("skill_md", ""),
            changes=changes_of(given, self.body, None),
            author=self._author,
            is_new=True,
        )
        return self._answer(persona, 201, warnings=list(warnings))

    def update(self, request: Request, name: str) -> Response:
        """Change a persona; a shipped one stays, and the organization gets its own of that name."""
        persona, given = self.get_object(), self._read()
        home = self._home(persona)
        if "skill_md" in given:
            kept, warnings = persona_import(
                organization=home, name=persona.name, text=given["skill_md"], author=self._author,
                note=given["note"],
            )  # fmt: skip
            return self._answer(kept, warnings=list(warnings))
        changes = changes_of(given, self.body, persona)
        if not changes:
            raise BadInput(
                "Nothing was given that could change.", hint="Send description, instructions or metadata."
            )
        kept = persona_edit(
            persona=persona, organization=home, changes=changes, author=self._author, note=given["note"]
        )
        return self._answer(kept)

    def partial_update(self, request: Request, name: str) -> Response:
        return self.update(request, name)

    def destroy(self, request: Request, name: str) -> Response:
        """Give up an organization's own persona, and with it go back to the shipped one of that name."""
        persona_remove(persona=self.get_object(), author=self._author)
        return Response(status=204)

    def clone(self, request: Request, name: str) -> Response:
        persona, given = self.get_object(), self._read(CloneInput)
        made = persona_clone(
            persona=persona,
            organization=self._home(persona),
            name=given["new_name"],
            author=self._author,
            changes=changes_of(given, self.body, persona),
        )
        return self._answer(made, 201)

    def skill(self, request: Request, name: str) -> HttpResponse:
        """The persona as a valid SKILL.md."""
        answer = HttpResponse(persona_text(self.get_object()), content_type="text/markdown; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="SKILL.md"'
        return answer

    def versions(self, request: Request, name: str) -> Response:
        """Who changed it and when, newest first."""
        rows = self.get_object().versions.order_by("-number")
        return self.listed(rows, lambda page: VersionBody(page, many=True).data)

    def version(self, request: Request, name: str, number: int) -> Response:
        """One version: its whole text, and what it changed as a unified diff (`against` another one)."""
        persona = self.get_object()
        row = _version(persona, number)
        against = query_number(request, "against", default=number - 1)
        before = persona.versions.filter(number=against).first()
        lines = difflib.unified_diff(
            (before.text if before else "").splitlines(),
            row.text.splitlines(),
            f"version {against}",
            f"version {number}",
            lineterm="",
        )
        return Response({**VersionBody(row).data, "skill_md": row.text, "diff": "\n".join(lines)})

    def restore(self, request: Request, name: str) -> Response:
        persona = self.get_object()
        number = self.body.get("version")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
            raise BadInput("version must be the number of a version.", details={"field": "version"})
        home = self._home(persona)
        return self._answer(
            persona_restore(persona=persona, organization=home, number=number, author=self._author)
        )


def _version(persona: Persona, number: int) -> PersonaVersion:
    row = persona.versions.filter(number=number).first()
    if row is None:
        raise NotFound(f"{persona.name} has no version {number}.")
    return row


NAME = r"^personas/(?P<name>[^?]+?)"


def _route(tail: str, name: str, **methods: Any) -> URLPattern:
    return re_path(f"{NAME}{tail}$", PersonaViewSet.as_view(methods), name=name)


urlpatterns: list[URLPattern] = [
    path("personas", PersonaViewSet.as_view({"get": "list", "post": "create"}), name="persona-list"),
    _route("/clone", "persona-clone", post="clone"),
    _route("/skill", "persona-skill", get="skill"),
    _route("/versions", "persona-versions", get="versions"),
    path(
        "personas/<path:name>/versions/<int:number>",
        PersonaViewSet.as_view({"get": "version"}),
        name="persona-version",
    ),
    _route("/restore", "persona-restore", post="restore"),
    _route("", "persona-detail", get="retrieve", put="update", patch="partial_update", delete="destroy"),
]
