"""The API of projects: what they are and say. `apps.workflows.api_projects` adds what is done with them."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, permission_require
from apps.core.api_inputs import Input, TextsField
from apps.core.api_lists import Listing, flag, moment, numbers, words
from apps.core.errors import BadInput, Conflict
from apps.projects.bodies import project_bodies, project_body, project_comment_body, project_rows
from apps.projects.models import CHECK_KINDS, Project, ProjectComment, Requirement
from apps.projects.services import project_comment, project_create, project_delete, project_update

ADDRESS = re.compile(r"(https?|ssh|git)://[^\s\0]+|[\w.-]+@[\w.-]+:[^\s\0]+")
BRANCH = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_])?")

OPENINGS = ("allow_network", "allow_install")  # what lets agents' work out of the sandbox's walls


class CheckInput(Input):
    """A command that proves a change; without a command, the name of a detected check that is not to run."""

    kind = serializers.ChoiceField(CHECK_KINDS, default="test")
    name = serializers.CharField(max_length=120, required=False)
    command = serializers.CharField(max_length=2000, required=False)
    enabled = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "command" not in attrs and ("name" not in attrs or attrs.get("enabled", True)):
            raise serializers.ValidationError(
                {"command": ["Give a command, or the name of a detected check with enabled: false."]}
            )
        return attrs


class ProjectFields(Input):
    name = serializers.CharField(max_length=200, required=False)
    git_repo = serializers.CharField(max_length=500, allow_blank=True, required=False)
    context = TextsField(required=False)  # type: ignore[assignment]
    is_perpetual = serializers.BooleanField(required=False)
    is_sticky = serializers.BooleanField(required=False)
    approval = serializers.ChoiceField(Project.Approval.choices, required=False)
    max_sessions = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    checks = CheckInput(
        many=True,
        required=False,
        help_text="What proves a change; empty: detected, see `/projects/{id}/checks`.",
    )
    allow_network = serializers.BooleanField(required=False, help_text="Only administrators set it.")
    allow_install = serializers.BooleanField(required=False, help_text="Only administrators set it.")
    workflow = serializers.CharField(max_length=60, allow_blank=True, required=False)

    def validate_git_repo(self, address: str) -> str:
        if address and not ADDRESS.fullmatch(address):
            raise serializers.ValidationError("This is no address of a repository: use https:// or ssh.")
        if re.match(r"\w+://[^/@]*:[^/@]*@", address):
            raise serializers.ValidationError("Do not put a password into the address.")
        return address


class ProjectInput(ProjectFields):
    name = serializers.CharField(max_length=200)
    branch = serializers.RegexField(BRANCH, max_length=120, default="main")
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")

    def validate_branch(self, branch: str) -> str:
        if not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith(".lock"):
            raise serializers.ValidationError("This is no name of a branch.")
        return branch


class ProjectCommentInput(Input):
    comment = serializers.CharField(max_length=20_000)


class ProjectCommentBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    author_id = serializers.CharField(allow_blank=True)
    author_username = serializers.CharField()
    comment = serializers.CharField()
    timestamp = serializers.DateTimeField()


class ProjectBody(serializers.ModelSerializer[Project]):
    id = serializers.CharField()
    organization_id = serializers.CharField()
    beads_path = serializers.CharField(allow_blank=True)
    git_strategy = serializers.CharField()
    git_auth_method = serializers.CharField()
    context = serializers.DictField(child=serializers.CharField(allow_blank=True))  # type: ignore[assignment]
    checks = serializers.ListField(child=serializers.JSONField())
    agents = serializers.ListField(child=serializers.CharField())
    comments = ProjectCommentBody(many=True)

    class Meta:
        model = Project
        fields = [
            "id", "organization_id", "name", "slug", "git_repo", "branch", "beads_path", "bead_prefix",
            "context", "status", "is_perpetual", "is_sticky", "approval", "max_sessions", "checks",
            "allow_network", "allow_install", "workflow", "git_strategy", "git_auth_method", "agents",
            "comments", "created_at", "updated_at", "closed_at",
        ]  # fmt: skip


class PrdBody(serializers.Serializer[Any]):
    project_id = serializers.CharField()
    prd = serializers.CharField(allow_blank=True)
    sha256 = serializers.CharField(allow_null=True)


class RequirementBody(serializers.ModelSerializer[Requirement]):
    id = serializers.CharField(source="key")
    project_id = serializers.CharField()
    beads = serializers.ListField(source="bead_keys", child=serializers.CharField())

    class Meta:
        model = Requirement
        fields = ["id", "project_id", "section", "text", "position", "status", "beads"]


def _traced(rows: QuerySet[Any], is_so: bool) -> QuerySet[Any]:
    traced = rows.filter(beads__isnull=False).values("pk")
    return rows.filter(pk__in=traced) if is_so else rows.exclude(pk__in=traced)


class ProjectViewSet(TenantViewSet):
    """`/projects`: newest first; the PRD itself is at `/projects/{id}/prd`."""

    resource = "projects"
    organization_path = "organization_id"
    serializer_class = ProjectBody
    lookup_value_regex = r"\d{1,18}"
    atomic_actions = frozenset({"create", "comments"})
    listings = {
        "comments": Listing(
            {"author_name": words("author_name"), "since": moment("created_at__gte")},
            {"timestamp": "created_at"},
            ("comment", "author_name"),
        ),
        "requirements": Listing(
            {
                "status": words("status", choices=Requirement.Status.values),
                "section": words("section"),
                "traced": flag(_traced, help="A bead traces to it."),
            },
            {"position": "position", "id": "key", "section": "section"},
            ("key", "text", "section"),
        ),
    }
    schema_bodies: dict[str, Any] = {
        "create": ProjectInput,
        "update": ProjectFields,
        "partial_update": ProjectFields,
        "comments": ProjectCommentInput,
    }
    schema_answers: dict[str, Any] = {
        "comments get": ProjectCommentBody(many=True),
        "comments post": ProjectCommentBody,
        "prd": PrdBody,
        "requirements": RequirementBody(many=True),
    }
    filters = {
        "status": words("status", choices=Project.Status.values),
        "organization": numbers("organization_id"),
        "is_perpetual": flag("is_perpetual"),
        "is_sticky": flag("is_sticky"),
        "created_after": moment("created_at__gte"),
    }
    orderings = {name: name for name in ("id", "name", "status", "created_at", "updated_at")}
    search_fields = ("name", "slug", "git_repo")

    def get_queryset(self) -> QuerySet[Any]:
        return Project.objects.for_user(self.request.user).defer("prd")

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(project_rows(self.filter_queryset(self.get_queryset())))
        return self.get_paginated_response(project_bodies(page or ()))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(project_body(self.get_object().pk))

    @transaction.atomic
    def create(self, request: Request) -> Response:
        given = ProjectInput.read(self.body)
        organization = self.organization_get(given.pop("organization", None))
        if any(given.get(name) for name in OPENINGS):
            permission_require(request.user, f"projects:{ADMIN}", organization.pk)
        given["context"] = _without_nulls(given.get("context", {}))
        project = project_create(organization=organization, actor=self._actor(), **given)
        place = f"{request.path.rstrip('/')}/{project.pk}"
        return Response(project_body(project.pk), status=201, headers={"Location": place})

    def update(self, request: Request, pk: str) -> Response:
        """PUT as PATCH: what is not given stays."""
        project: Project = self.get_object()
        if self.body.get("status", project.status) != project.status:
            raise Conflict("The status of a project is not set.", hint="Close or reopen the project.")
        if self.body.get("branch", project.branch) != project.branch:
            raise BadInput("The branch of a project stays.", details={"field": "branch"})
        given = ProjectFields.read(self.body, partial=True)
        if any(given.get(name, getattr(project, name)) != getattr(project, name) for name in OPENINGS):
            permission_require(request.user, f"projects:{ADMIN}", project.organization_id)
        if "context" in given:
            given["context"] = _without_nulls({**project.context, **given["context"]})
        project_update(project=project, actor=self._actor(), **given)
        return Response(project_body(project.pk))

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk)

    def destroy(self, request: Request, pk: str) -> Response:
        """Forget a closed project and all its rows; `?confirm=` repeats its slug."""
        confirm = request.query_params.get("confirm", "")
        project_delete(project=self.get_object(), confirm=confirm, actor=self._actor())
        return Response(status=204)

    @action(detail=True, methods=["get", "post"])
    def comments(self, request: Request, pk: str) -> Response:
        project: Project = self.get_object()
        if request.method == "GET":
            rows = ProjectComment.objects.filter(project=project)
            return self.listed(rows, lambda page: [project_comment_body(row) for row in page])
        given, user = ProjectCommentInput.read(self.body), request.user
        comment = project_comment(project=project, author=user, **given)  # type: ignore[arg-type]
        return Response(project_comment_body(comment), status=201)

    @action(detail=True)
    def prd(self, request: Request, pk: str) -> Response:
        """The requirements document, as it was given."""
        project: Project = self.get_object()
        return Response(
            {"project_id": str(project.pk), "prd": project.prd, "sha256": project.prd_sha256 or None}
        )

    @action(detail=True)
    def requirements(self, request: Request, pk: str) -> Response:
        """The numbered statements of the PRD, with the beads that trace to them."""
        rows = self.get_object().requirements.prefetch_related("beads").order_by("position")
        return self.listed(rows, _requirement_bodies)

    def _actor(self) -> str:
        return self.request.user.get_username()


def _requirement_bodies(rows: Any) -> Any:
    for row in rows:
        row.bead_keys = sorted(bead.key for bead in row.beads.all())
    return RequirementBody(rows, many=True).data


def _without_nulls(texts: dict[str, Any]) -> dict[str, Any]:
    return {name: text for name, text in texts.items() if text is not None}
