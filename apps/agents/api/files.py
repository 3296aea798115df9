"""`/projects/{id}/files/*`: reading the repository, and changing one's own draft of it."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.agents.browsing import Tree, file_read, files_search, files_tree, hub_of, tree_at
from apps.agents.drafts import draft_of, draft_patch
from apps.agents.editing.text import MAX_BYTES
from apps.core.api import query_number
from apps.core.api_inputs import Input
from apps.core.errors import BadInput
from apps.projects.models import Project

DEPTH, ENTRIES, MATCHES = 4, 500, 200
MOST_DEPTH, MOST_ENTRIES, MOST_MATCHES, QUERY_CHARS = 50, 10_000, 1_000, 500
DRAFT = "draft"
AT = [
    OpenApiParameter(
        "ref", str, description="A branch, a commit, or `draft`: your own. Else the main branch."
    ),
    OpenApiParameter("bead", str, description="The newest files of the work on this bead instead."),
]
DIFF = """\
--- a/greet.py
+++ b/greet.py
@@ -1,2 +1,2 @@
 def greet(name):
-    return "Hi " + name
+    return f"Hello, {name}."
"""


class FileBody(serializers.Serializer[Any]):
    """A file whole; of a link the target, of what is no text its bytes in base64."""

    path = serializers.CharField()
    type = serializers.ChoiceField(["file", "link"])
    content = serializers.CharField(allow_blank=True)
    encoding = serializers.ChoiceField(["utf-8", "base64"])
    size = serializers.IntegerField()
    commit = serializers.CharField()


class EntryBody(serializers.Serializer[Any]):
    path = serializers.CharField()
    type = serializers.ChoiceField(["file", "dir", "link"])
    depth = serializers.IntegerField()


class FilesBody(serializers.Serializer[Any]):
    entries = EntryBody(many=True)
    truncated = serializers.BooleanField()
    commit = serializers.CharField()


class MatchBody(serializers.Serializer[Any]):
    path = serializers.CharField()
    line = serializers.IntegerField()
    text = serializers.CharField(allow_blank=True)


class MatchesBody(serializers.Serializer[Any]):
    matches = MatchBody(many=True)
    truncated = serializers.BooleanField()
    commit = serializers.CharField()


class PatchInput(Input):
    patch = serializers.CharField(max_length=MAX_BYTES, trim_whitespace=False, help_text="A unified diff.")


class PatchedBody(serializers.Serializer[Any]):
    applied = serializers.BooleanField()
    output = serializers.CharField(allow_blank=True)
    commit = serializers.CharField(help_text="Of the draft.")
    paths = serializers.ListField(child=serializers.CharField())


class FilesViewSet(TenantViewSet):
    """The repository as Loom has it. A branch only moves through the merge queue: see `git/commit`."""

    resource = "projects"
    etag_actions = frozenset()
    atomic_actions: frozenset[str] = frozenset()

    @extend_schema(parameters=[OpenApiParameter("path", str, required=True), *AT], responses=FileBody)
    def read(self, request: Request, pk: str) -> Response:
        """At most 1 MB. Secrets that Loom knows are masked."""
        wanted = request.query_params.get("path", "")
        if not wanted.strip("/ "):
            raise BadInput("Say which file: ?path=.", details={"field": "path"})
        return Response(file_read(self._tree(pk), wanted))

    @extend_schema(
        parameters=[
            OpenApiParameter("path", str),
            OpenApiParameter("max_depth", int, description=f"{DEPTH}; at most {MOST_DEPTH}."),
            OpenApiParameter("limit", int, description=f"{ENTRIES}; at most {MOST_ENTRIES:,}."),
            *AT,
        ],
        responses=FilesBody,
    )
    def tree(self, request: Request, pk: str) -> Response:
        depth, limit = (
            self._number("max_depth", DEPTH, MOST_DEPTH),
            self._number("limit", ENTRIES, MOST_ENTRIES),
        )
        where = request.query_params.get("path", "")
        return Response(files_tree(self._tree(pk), where, depth=depth, limit=limit))

    @extend_schema(
        parameters=[
            OpenApiParameter("query", str, required=True),
            OpenApiParameter("path", str),
            OpenApiParameter("limit", int, description=f"{MATCHES}; at most {MOST_MATCHES:,}."),
            *AT,
        ],
        responses=MatchesBody,
    )
    def search(self, request: Request, pk: str) -> Response:
        """Lines that hold the words as they are, case aside; binary files are passed over."""
        query = request.query_params.get("query", "")
        if not query.strip() or len(query) > QUERY_CHARS or not query.isprintable():
            raise BadInput(f"query is 1 to {QUERY_CHARS} printable characters.", details={"field": "query"})
        limit = self._number("limit", MATCHES, MOST_MATCHES)
        where = request.query_params.get("path", "")
        return Response(files_search(self._tree(pk), query, where, limit=limit))

    @extend_schema(
        request=PatchInput,
        responses={200: PatchedBody},
        examples=[OpenApiExample("A change", value={"patch": DIFF}, request_only=True)],
    )
    def patch_apply(self, request: Request, pk: str) -> Response:
        """Change your draft by a unified diff, all of it or nothing; `git/commit` makes the draft work."""
        given, person = PatchInput.read(self.body), request.user
        project = self._project(pk)
        name = person.get_username()
        done = draft_patch(
            hub=hub_of(project),
            project=project,
            person_id=person.pk or 0,
            patch=given["patch"],
            author=author_of(person),
            actor=name,
        )
        return Response(done)

    def _project(self, pk: str) -> Project:
        return self.parent_get(Project.objects.for_user(self.request.user), pk)

    def _tree(self, pk: str) -> Tree:
        project, asked = self._project(pk), self.request.query_params
        ref, bead = asked.get("ref", ""), asked.get("bead", "")
        if ref == DRAFT and not bead:
            hub = hub_of(project)
            draft = draft_of(hub, project, self.request.user.pk or 0)
            return Tree(project, hub, draft.commit) if draft else tree_at(project)
        return tree_at(project, ref=ref, bead=bead)

    def _number(self, name: str, default: int, most: int) -> int:
        number = query_number(self.request, name, default=default, least=1) or default
        return min(number, most)


def author_of(person: Any, name: str = "", address: str = "") -> str:
    """`Name <address>` as git wants it; without what git would read otherwise."""
    name = name or person.get_full_name() or person.get_username()
    address = address or person.email or f"{person.get_username()}@loom.invalid"
    plain = [" ".join("".join(c for c in text if c not in "<>\n\0").split()) for text in (name, address)]
    return f"{plain[0] or 'Somebody'} <{plain[1].replace(' ', '')}>"


def _view(method: str, action: str) -> Any:
    return FilesViewSet.as_view({method: action})


urlpatterns = [
    path("projects/<str:pk>/files/read", _view("get", "read"), name="files-read"),
    path("projects/<str:pk>/files/tree", _view("get", "tree"), name="files-tree"),
    path("projects/<str:pk>/files/search", _view("get", "search"), name="files-search"),
    path("projects/<str:pk>/files/patch", _view("post", "patch_apply"), name="files-patch"),
]
