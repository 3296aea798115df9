"""The API of proof and merging: what proves a bead, the rules of a project, its queue and pull requests."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN
from apps.agents.merge_models import BATCH, MOST, MergePolicy, PullRequest, policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.agents.models import MergeRequest
from apps.agents.proof_queries import bead_proof
from apps.beads.models import Bead
from apps.core.api_inputs import Input
from apps.core.api_lists import numbers, words
from apps.projects.models import Project


class ProofBody(serializers.Serializer[Any]):
    """What was claimed, what the platform verified and what was merged, kept apart."""

    bead_id = serializers.CharField()
    title = serializers.CharField()
    status = serializers.CharField()
    answer = serializers.CharField(help_text="What proves this, in a sentence or two.")
    criteria = serializers.ListField(child=serializers.DictField())
    claims = serializers.ListField(child=serializers.DictField())
    merged = serializers.DictField(allow_null=True)


class ProofViewSet(TenantViewSet):
    resource = "beads"
    filters = {}

    @extend_schema(responses=ProofBody)
    def proof(self, request: Request, key: str) -> Response:
        rows = Bead.objects.for_user(request.user).select_related("project")
        bead = self.parent_get(rows, key, field="key__iexact", organization_path="project__organization_id")
        return Response(bead_proof(bead))


class PolicyInput(Input):
    strategy = serializers.ChoiceField(MergePolicy.Strategy.choices, required=False)
    tampering = serializers.ChoiceField(MergePolicy.Tampering.choices, required=False)
    overlap = serializers.ChoiceField(MergePolicy.Overlap.choices, required=False)
    batch_size = serializers.IntegerField(min_value=1, max_value=MOST, required=False, help_text=f"{BATCH}.")
    remote = serializers.CharField(max_length=1000, allow_blank=True, required=False)
    username = serializers.CharField(max_length=200, allow_blank=True, required=False)
    credential = serializers.CharField(
        max_length=20_000,
        allow_blank=True,
        required=False,
        trim_whitespace=False,
        help_text="A token or a private SSH key. It never comes back.",
    )


class PolicyBody(serializers.ModelSerializer[MergePolicy]):
    has_credential = serializers.SerializerMethodField()

    class Meta:
        model = MergePolicy
        fields = [
            "project_id", "strategy", "tampering", "overlap", "batch_size", "remote", "username",
            "has_credential",
        ]  # fmt: skip

    def get_has_credential(self, policy: MergePolicy) -> bool:
        return bool(policy.credential_sealed)


class PolicyViewSet(TenantViewSet):
    """`/projects/{id}/merge-policy`; administrators change it."""

    resource = "projects"
    permission_actions = {"change": ADMIN}
    filters = {}

    @extend_schema(responses=PolicyBody)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(PolicyBody(policy_of(self._project(pk).pk)).data)

    @extend_schema(request=PolicyInput, responses=PolicyBody)
    def change(self, request: Request, pk: str) -> Response:
        given = PolicyInput.read(request.data)
        policy = merge_policy_set(project=self._project(pk), actor=str(request.user), **given)
        return Response(PolicyBody(policy).data)

    def row_lock(self) -> None:
        Project.objects.locked(self._project(self.kwargs["pk"]).pk)

    def _project(self, pk: str) -> Project:
        return self.parent_get(Project.objects.for_user(self.request.user), pk)


class MergeBody(serializers.ModelSerializer[MergeRequest]):
    bead_id = serializers.CharField(source="bead.key")

    class Meta:
        model = MergeRequest
        fields = [
            "id", "project_id", "bead_id", "claim_id", "status", "commit", "tip", "detail", "created_at",
            "updated_at",
        ]  # fmt: skip


class MergeViewSet(TenantViewSet):
    """The merge queue: who waits, who merges, and what came of it."""

    resource = "beads"
    serializer_class = MergeBody
    filters = {
        "project_id": numbers("project_id"),
        "bead_id": words("bead__key"),
        "status": words("status", choices=MergeRequest.Status.values),
    }
    orderings = {name: name for name in ("id", "status", "created_at", "updated_at")}
    search_fields = ("bead__key", "bead__title", "detail", "commit")

    def get_queryset(self) -> QuerySet[MergeRequest]:
        rows = MergeRequest.objects.for_user(self.request.user)
        return rows.select_related("bead", "project").order_by("-id")


class PullBody(serializers.ModelSerializer[PullRequest]):
    bead_id = serializers.CharField(source="bead.key")

    class Meta:
        model = PullRequest
        fields = [
            "id", "project_id", "bead_id", "claim_id", "status", "branch", "target", "commit",
            "merged_commit", "closed_by", "decision_id", "created_at", "closed_at",
        ]  # fmt: skip


class PullViewSet(TenantViewSet):
    """Branches that wait for a person to merge them; answering the decision merges one."""

    resource = "beads"
    serializer_class = PullBody
    filters = {
        "project_id": numbers("project_id"),
        "bead_id": words("bead__key"),
        "status": words("status", choices=PullRequest.Status.values),
    }
    orderings = {name: name for name in ("id", "status", "created_at")}
    search_fields = ("bead__key", "bead__title", "branch", "commit")

    def get_queryset(self) -> QuerySet[PullRequest]:
        rows = PullRequest.objects.for_user(self.request.user)
        return rows.select_related("bead", "project").order_by("-id")


router = SimpleRouter(trailing_slash=False)
router.register("merges", MergeViewSet, basename="merge")
router.register("pull-requests", PullViewSet, basename="pull-request")
policy = PolicyViewSet.as_view({"get": "retrieve", "patch": "change"})
urlpatterns = [
    path("beads/<str:key>/proof", ProofViewSet.as_view({"get": "proof"}), name="bead-proof"),
    path("projects/<str:pk>/merge-policy", policy, name="merge-policy"),
    *router.urls,
]
