"""`/projects/git/*` and `git-key`: a project's repository, its remote, and one's draft as work."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, permission_require
from apps.agents.api.files import AT, author_of
from apps.agents.browsing import hub_of, tree_at
from apps.agents.deploy_keys import deploy_key_make, deploy_key_of
from apps.agents.hub_services import branches_of, hub_push, hub_status, hub_sync
from apps.beads.models import Bead
from apps.core.api_inputs import Input
from apps.core.errors import BadInput, Conflict
from apps.projects.models import Project
from apps.workflows.drafts import draft_commit

MOST_COMMITS = 1000
PROJECT = OpenApiParameter("project_id", str, required=True)


class CommitInput(Input):
    message = serializers.CharField(max_length=20_000)
    author_name = serializers.CharField(max_length=200, allow_blank=True, default="")
    author_email = serializers.EmailField(max_length=254, allow_blank=True, default="")
    bead_id = serializers.CharField(
        max_length=60, allow_blank=True, default="", help_text="What it is done for; else a new bead."
    )


class PushedBody(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    project_id = serializers.CharField()
    last_commit_hash = serializers.CharField(allow_blank=True)


class SyncedBody(PushedBody):
    last_sync_at = serializers.DateTimeField()


class CommittedBody(PushedBody):
    bead_id = serializers.CharField(help_text="The bead by which it is verified, reviewed and merged.")
    claim_id = serializers.CharField()


class ChangeBody(serializers.Serializer[Any]):
    status = serializers.CharField()
    path = serializers.CharField()


class DraftBody(serializers.Serializer[Any]):
    commit = serializers.CharField()
    base = serializers.CharField()
    files = ChangeBody(many=True)


class StatusBody(serializers.Serializer[Any]):
    """Without a repository only the first two. `ahead` and `behind` compare with the remote as last seen."""

    project_id = serializers.CharField()
    has_git = serializers.BooleanField()
    work_dir = serializers.CharField(required=False, allow_blank=True)
    branch = serializers.CharField(required=False)
    git_repo = serializers.CharField(required=False, allow_blank=True)
    last_commit_hash = serializers.CharField(required=False, allow_blank=True)
    last_sync_at = serializers.DateTimeField(required=False, allow_null=True)
    git_auth_method = serializers.ChoiceField(["none", "ssh", "token", "basic"], required=False)
    remote_commit_hash = serializers.CharField(required=False, allow_blank=True)
    ahead = serializers.IntegerField(required=False, allow_null=True)
    behind = serializers.IntegerField(required=False, allow_null=True)
    draft = DraftBody(required=False, allow_null=True)


class CommitBody(serializers.Serializer[Any]):
    commit = serializers.CharField()
    author = serializers.CharField()
    message = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class BranchBody(serializers.Serializer[Any]):
    name = serializers.CharField()
    commit = serializers.CharField()
    is_main = serializers.BooleanField()


class DiffBody(serializers.Serializer[Any]):
    base = serializers.CharField()
    commit = serializers.CharField()
    diff = serializers.CharField(allow_blank=True)


class DeployKeyBody(serializers.Serializer[Any]):
    """The private half is kept encrypted and never leaves the server."""

    project_id = serializers.CharField()
    auth_method = serializers.CharField()
    public_key = serializers.CharField()
    rotated = serializers.BooleanField()


class GitViewSet(TenantViewSet):
    """`?project_id=`. The branch only takes over the remote's commits, and what the merge queue lands."""

    resource = "projects"
    etag_actions = frozenset()
    atomic_actions: frozenset[str] = frozenset()
    list_actions = frozenset({"log", "branches"})
    filter_backends: Any = ()
    permission_actions = {"key_make": ADMIN}

    @extend_schema(parameters=[PROJECT], responses=StatusBody)
    def status(self, request: Request) -> Response:
        return Response(hub_status(self._project(), request.user.pk or 0))

    @extend_schema(parameters=[PROJECT], request=None, responses={200: SyncedBody})
    def sync(self, request: Request) -> Response:
        """Take over what the remote has more. 409 where both went different ways."""
        return Response(hub_sync(project=self._project(), actor=request.user.get_username()))

    @extend_schema(parameters=[PROJECT], request=None, responses={200: PushedBody})
    def push(self, request: Request) -> Response:
        """Push the branch. Merges push by themselves; this is for a remote set or back later."""
        return Response(hub_push(project=self._project(), actor=request.user.get_username()))

    @extend_schema(
        parameters=[PROJECT],
        request=CommitInput,
        responses={202: CommittedBody},
        examples=[OpenApiExample("A change", value={"message": "Greet by name"}, request_only=True)],
    )
    def commit(self, request: Request) -> Response:
        """Make your draft work: a bead's claim, which is verified, reviewed and merged like an agent's."""
        given, project, person = CommitInput.read(self.body), self._project(), request.user
        permission_require(person, "beads:write", project.organization_id, project.pk)
        bead, claim = draft_commit(
            hub=hub_of(project),
            project=project,
            person_id=person.pk or 0,
            message=given["message"],
            author=author_of(person, given["author_name"], given["author_email"]),
            actor=person.get_username(),
            bead=self._bead(project, given["bead_id"]),
        )
        return Response(
            {
                "success": True,
                "project_id": str(project.pk),
                "last_commit_hash": claim.commit,
                "bead_id": bead.key,
                "claim_id": str(claim.pk),
            },
            status=202,
            headers={"Location": f"/api/v1/beads/{bead.key}"},
        )

    @extend_schema(
        parameters=[PROJECT, *AT],
        responses=CommitBody(many=True),
    )
    def log(self, request: Request) -> Response:
        """The newest commits first; the newest 1000 can be paged through."""
        tree = self._tree()
        masked = tree.masked()
        return self.listed(
            tree.hub.log(MOST_COMMITS, tree.commit),
            lambda page: [
                {
                    "commit": row.sha,
                    "author": row.author,
                    "message": masked.text(row.message),
                    "created_at": row.when,
                }
                for row in page
            ],
        )

    @extend_schema(
        parameters=[
            PROJECT,
            OpenApiParameter("base", str, description="A branch or commit. Else where the two last met."),
            *AT,
        ],
        responses=DiffBody,
    )
    def diff(self, request: Request) -> Response:
        """What `ref`, or the work on `bead`, changes; cut where it is very long."""
        tree, project = self._tree(), self._project()
        main = tree_at(project, ref=request.query_params.get("base", "")).commit
        met = tree.hub.git.run("merge-base", main, tree.commit, ok=(0, 1)).text.strip()
        base = main if request.query_params.get("base") else met or main
        shown = tree.masked().text(tree.hub.diff(base, tree.commit))
        return Response({"base": base, "commit": tree.commit, "diff": shown})

    @extend_schema(parameters=[PROJECT], responses=BranchBody(many=True))
    def branches(self, request: Request) -> Response:
        return self.listed(list(branches_of(self._project())), list)

    @extend_schema(responses=DeployKeyBody)
    def key(self, request: Request, pk: str) -> Response:
        """The public half of the deploy key that was made for the remote."""
        return Response(deploy_key_of(self._by(pk)))

    @extend_schema(request=None, responses={200: DeployKeyBody})
    def key_make(self, request: Request, pk: str) -> Response:
        """Make a new pair; it replaces the credential there was. Give the remote the public half."""
        return Response(deploy_key_make(project=self._by(pk), actor=request.user.get_username()))

    def _project(self) -> Project:
        if not (given := self.request.query_params.get("project_id", "")):
            raise BadInput("Say which project: ?project_id=.", details={"field": "project_id"})
        return self._by(given)

    def _by(self, pk: str) -> Project:
        return self.parent_get(Project.objects.for_user(self.request.user).select_related("organization"), pk)

    def _tree(self) -> Any:
        asked = self.request.query_params
        return tree_at(self._project(), ref=asked.get("ref", ""), bead=asked.get("bead", ""))

    def _bead(self, project: Project, key: str) -> Bead | None:
        if not key:
            return None
        rows = Bead.objects.filter(project=project).select_related("project__organization")
        path_ = "project__organization_id"
        bead = self.parent_get(rows, key, field="key__iexact", organization_path=path_)
        is_ready = Bead.objects.ready().filter(pk=bead.pk).exists()
        if not is_ready and bead.status not in {Bead.Status.BLOCKED, Bead.Status.DEFERRED}:
            raise Conflict(f"{bead.key} is {bead.status} or waits for others; nothing can be claimed for it.")
        return bead


GET = ("status", "log", "diff", "branches")
POST = ("sync", "push", "commit")
urlpatterns = [
    *(path(f"projects/git/{name}", GitViewSet.as_view({"get": name}), name=f"git-{name}") for name in GET),
    *(path(f"projects/git/{name}", GitViewSet.as_view({"post": name}), name=f"git-{name}") for name in POST),
    path(
        "projects/<str:pk>/git-key",
        GitViewSet.as_view({"get": "key", "post": "key_make"}),
        name="git-key",
    ),
]
