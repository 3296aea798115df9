"""The API of beads: lists, objects, changes, comments and the work graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import path
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, READ, permission_holds
from apps.beads.bodies import (
    ROWS,
    bead_body,
    bead_fragments,
    bead_fragments_of,
    comment_body,
    comment_tree,
    work_graph,
)
from apps.beads.changing import bead_change, bead_finish
from apps.beads.comments import Spot, comment_add, comment_delete, comment_edit
from apps.beads.inputs import BeadInput, BeadPatch, CommentInput, ReasonInput, SpotInput
from apps.beads.models import Bead, Comment
from apps.beads.queries import beads_named, held_up, ready_or_not, tagged
from apps.beads.services import bead_create, bead_reopen
from apps.core.api_lists import ListFilters, flag, moment, numbers, rows_narrow, words
from apps.core.errors import BadInput, NotFound, TooLarge
from apps.core.lookup import Range
from apps.projects.models import Project
from apps.projects.queries import projects_readable

KEY = r"[^/]{1,60}"
MOST_COMMENTS = 1000
GRAPH_BEADS = 5000
MOST_ASKED = 500  # characters of a query string whose statement is kept
AFTERWARDS = ("blocks", "related_to", "assigned_to", "context")  # what a bead must exist for

Narrowing = Callable[[QuerySet[Bead]], QuerySet[Bead]]
READY: Narrowing = partial(ready_or_not, wanted=True)


class BeadBody(serializers.Serializer[Any]):
    """A bead. `tags`, `context` and the edges are never null."""

    id = serializers.CharField()
    type = serializers.ChoiceField(Bead.Type.choices)
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(Bead.Status.choices)
    stage = serializers.ChoiceField(Bead.Stage.choices, allow_blank=True)
    priority = serializers.IntegerField(min_value=0, max_value=4)
    project_id = serializers.CharField()
    assigned_to = serializers.CharField(allow_blank=True)
    role = serializers.CharField(allow_blank=True)
    blocked_by = serializers.ListField(child=serializers.CharField())
    blocks = serializers.ListField(child=serializers.CharField())
    related_to = serializers.ListField(child=serializers.CharField())
    parent = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    children = serializers.ListField(child=serializers.CharField())
    requirements = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    acceptance = serializers.ListField(child=serializers.CharField())
    paths = serializers.ListField(child=serializers.CharField())
    context = serializers.DictField(child=serializers.CharField(allow_blank=True))  # type: ignore[assignment]
    due_date = serializers.DateTimeField(allow_null=True)
    estimated_time = serializers.IntegerField(allow_null=True, help_text="Minutes.")
    attempts = serializers.IntegerField()
    blocked_reason = serializers.CharField(allow_blank=True)
    close_reason = serializers.CharField(allow_blank=True)
    merged_commit = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)


class CommentBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    bead_id = serializers.CharField()
    parent_id = serializers.CharField(allow_null=True)
    author_id = serializers.CharField(allow_blank=True)
    author_username = serializers.CharField()
    content = serializers.CharField()
    mentions = serializers.ListField(child=serializers.CharField())
    path = serializers.CharField(allow_blank=True)
    line = serializers.IntegerField(allow_null=True)
    side = serializers.CharField(allow_blank=True)
    claim = serializers.IntegerField(allow_null=True)
    edited = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    replies = serializers.SerializerMethodField()

    @extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/CommentBody"}})
    def get_replies(self, comment: Any) -> Any:
        return comment["replies"]


class CommentsBody(serializers.Serializer[Any]):
    bead_id = serializers.CharField()
    comments = CommentBody(many=True)


class SaidBody(serializers.Serializer[Any]):
    message = serializers.CharField()


class EdgeBody(serializers.Serializer[Any]):
    """From the bead that waits, or stands below, to the other one; as `from` and `to`."""

    relationship = serializers.ChoiceField(["blocks", "parent", "related"])

    def get_fields(self) -> dict[str, Any]:
        ends = {name: serializers.CharField() for name in ("from", "to")}
        return {**ends, **super().get_fields()}


class WorkGraphBody(serializers.Serializer[Any]):
    beads = serializers.DictField(child=BeadBody(), help_text="By id.")
    edges = EdgeBody(many=True)
    updated_at = serializers.DateTimeField(allow_null=True)


class BeadViewSet(TenantViewSet):
    """`/beads`: units of work. Named by key; PUT changes what is given, like PATCH."""

    resource = "beads"
    serializer_class = BeadBody
    lookup_url_kwarg = "key"
    lookup_field = "key__iexact"
    lookup_value_regex = KEY
    atomic_actions = frozenset({"create", "close", "reopen", "comments"})
    list_actions = frozenset({"list", "ready", "blocked"})
    schema_bodies = {
        "create": BeadInput,
        "update": BeadPatch,
        "partial_update": BeadPatch,
        "close": ReasonInput,
        "reopen": ReasonInput,
        "comments": SpotInput,
    }
    schema_answers = {
        **dict.fromkeys(("ready", "blocked", "close", "reopen"), BeadBody),
        "comments get": CommentsBody,
        "comments post": CommentBody,
    }
    filters = {
        "project_id": numbers("project_id"),
        "status": words("status", choices=Bead.Status.values),
        "type": words("type", choices=Bead.Type.values),
        "assigned_to": words("assigned_to"),
        "priority": numbers("priority", most=4),
        "role": words("role"),
        "parent": words("parent__key"),
        "tag": words(tagged, help="Beads with any of these tags."),
        "ready": flag(ready_or_not, help="Open, workable, and everything they wait for is closed."),
        "created_after": moment("created_at__gte"),
        "created_before": moment("created_at__lt"),
        "updated_after": moment("updated_at__gte"),
        "due_before": moment("due_date__lt"),
    }
    orderings = {
        name: name for name in ("id", "priority", "status", "type", "title", "created_at", "updated_at")
    }
    search_fields = ("key", "title", "description")

    def get_queryset(self) -> QuerySet[Any]:
        return Bead.objects.for_user(self.request.user)

    def list(self, request: Request) -> Response:
        return self._listed()

    @action(detail=False)
    def ready(self, request: Request) -> Response:
        """What can be started now, in the order of dispatch."""
        return self._listed(READY)

    @action(detail=False)
    def blocked(self, request: Request) -> Response:
        """What waits for a person, and open beads that wait for others."""
        return self._listed(held_up)

    def _listed(self, only: Narrowing | None = None) -> Response:
        """A page. Few projects are named to the database, which walks an index of theirs."""
        self.action = "list"  # also a work list understands what the list understands
        readable = projects_readable(self.request.user, f"{self.resource}:{READ}")
        if readable is not None and "cursor" not in self.request.query_params:
            asked = self.request.query_params.urlencode()
            make = bead_range if len(asked) <= MOST_ASKED else bead_range.__wrapped__
            found: Any = make(tuple(readable), only, asked)
            return self.get_paginated_response(bead_fragments(self.paginate_queryset(found) or []))
        beads = self.filter_queryset(self.get_queryset())
        beads = only(beads) if only else beads
        page = self.paginate_queryset(beads.values(*{"id", *self.orderings.values()})) or []
        return self.get_paginated_response(bead_fragments_of([row["id"] for row in page]))

    def retrieve(self, request: Request, key: str) -> Response:
        return Response(bead_body(self.get_object().pk))

    def get_object(self) -> Bead:
        bead: Bead = super().get_object()
        return bead

    def row_lock(self) -> None:
        Project.objects.locked(self.get_object().project_id)  # in whose lock every service changes beads

    # -- writes -----------------------------------------------------------------------------------

    @transaction.atomic
    def create(self, request: Request) -> Response:
        given = BeadInput.read(self.body)
        project = self.parent_get(Project.objects.for_user(request.user), given.pop("project_id"))
        keys = given.pop("requirements", [])
        requirements = list(project.requirements.filter(key__in=keys))
        if unknown := set(keys) - {row.key for row in requirements}:
            raise _no("requirements", f"This project has no requirement {sorted(unknown)[0]!r}.")
        fields = self._resolved(given, project.pk)
        after = {name: fields.pop(name) for name in AFTERWARDS if fields.get(name)}
        bead = bead_create(project=project, requirements=requirements, actor=self._actor(), **fields)
        if after:
            bead_change(bead=bead, actor=self._actor(), **after)
        place = f"{request.path.rstrip('/')}/{bead.key}"
        return Response(bead_body(bead.pk), status=201, headers={"Location": place})

    def update(self, request: Request, key: str) -> Response:
        bead = self.get_object()
        given = BeadPatch.read(self.body, partial=True)
        if given.pop("project_id", bead.project_id) != bead.project_id:
            raise _no("project_id", "A bead stays in its project.")
        bead_change(bead=bead, actor=self._actor(), **self._resolved(given, bead.project_id))
        return Response(bead_body(bead.pk))

    def partial_update(self, request: Request, key: str) -> Response:
        return self.update(request, key)

    @action(detail=True, methods=["post"])
    def close(self, request: Request, key: str) -> Response:
        """Close by hand, with a reason; not while its run is at work."""
        bead, reason = self.get_object(), ReasonInput.read(self.body)["reason"]
        bead_finish(bead=bead, reason=reason or f"Closed by {self._actor()}.", actor=self._actor())
        return Response(bead_body(bead.pk))

    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, key: str) -> Response:
        bead = self.get_object()
        bead_reopen(bead=bead, reason=ReasonInput.read(self.body)["reason"], actor=self._actor())
        return Response(bead_body(bead.pk))

    def _actor(self) -> str:
        return self.request.user.get_username()

    def _resolved(self, given: dict[str, Any], project_id: int) -> dict[str, Any]:
        """The contract's names and keys as the services take them."""
        fields = dict(given)
        for ours, name in (("labels", "tags"), ("estimated_minutes", "estimated_time")):
            if name in fields:
                fields[ours] = fields.pop(name)
        for name in ("blocked_by", "blocks", "related_to", "children"):
            if name in fields:
                fields[name] = beads_named(project_id, fields[name], field=name)
        if "parent" in fields:
            named = fields["parent"]
            fields["parent"] = beads_named(project_id, [named], field="parent")[0] if named else None
        return fields

    # -- comments -----------------------------------------------------------------------------------

    @action(detail=True, methods=["get", "post"])
    def comments(self, request: Request, key: str) -> Response:
        """`{"bead_id", "comments": [...]}` with replies below; POST adds one.

        `@name` tells that member. `@agent`, a role or an agent's name tells agents in their next prompt, and
        so does every comment on a line (`path`, `line`).
        """
        bead = self.get_object()
        if request.method == "GET":
            rows = bead.comments.select_related("bead").order_by("id")[:MOST_COMMENTS]
            return Response({"bead_id": bead.key, "comments": comment_tree(rows)})
        given = SpotInput.read(self.body)
        parent = None
        if given.get("parent_id"):
            parent = bead.comments.filter(pk=given["parent_id"]).first()
            if parent is None:
                raise NotFound(f"There is no comment {given['parent_id']} on {bead.key}.")
        user: Any = request.user
        comment = comment_add(
            bead=bead, author=user, content=given["content"], parent=parent, spot=_spot(given)
        )
        return Response(comment_body(comment), status=201)


@lru_cache(maxsize=256)
def bead_range(projects: tuple[int, ...], only: Narrowing | None, asked: str) -> Range:
    """The beads of these projects that a query string asks for; clients ask for the same again and again."""
    request: Any = SimpleNamespace(query_params=QueryDict(asked))
    beads: QuerySet[Any] = Bead.objects.filter(project__in=projects)
    beads = ListFilters().filter_queryset(request, beads, BeadViewSet(action="list"))
    return Range(only(beads) if only else beads, ROWS)


class CommentViewSet(TenantViewSet):
    """`/comments/{id}`: changed by its author, deleted also by administrators."""

    resource = "beads"
    permission_actions = {"destroy": "write"}
    etag_actions = frozenset({"retrieve"})
    schema_bodies = {"partial_update": CommentInput}
    schema_answers: dict[str, Any] = {"partial_update": SaidBody, "destroy": {200: SaidBody}}
    organization_path = "bead__project__organization_id"
    serializer_class = CommentBody
    lookup_value_regex = r"\d{1,18}"

    def get_queryset(self) -> QuerySet[Comment]:
        return Comment.objects.for_user(self.request.user).select_related("bead__project")

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([comment_body(row) for row in page or ()])

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(comment_body(self.get_object()))

    def partial_update(self, request: Request, pk: str) -> Response:
        user: Any = request.user
        given = CommentInput.read(self.body)
        comment_edit(comment=self.get_object(), actor=user, content=given["content"])
        return Response({"message": "The comment was changed."})

    def destroy(self, request: Request, pk: str) -> Response:
        user: Any = request.user
        comment: Comment = self.get_object()
        rules = permission_holds(user, f"beads:{ADMIN}", comment.bead.project.organization_id)
        comment_delete(comment=comment, actor=user, as_administrator=rules)
        return Response({"message": "The comment was deleted."})


class WorkGraphViewSet(TenantViewSet):
    """`/work-graph`: beads and how they hang together, of one project or of all."""

    resource = "beads"
    schema_answers = {"show": WorkGraphBody}

    def get_queryset(self) -> QuerySet[Bead]:
        return Bead.objects.for_user(self.request.user)

    def show(self, request: Request) -> Response:
        filters = {name: BeadViewSet.filters[name] for name in ("project_id", "status")}
        beads = rows_narrow(request, self.filter_queryset(self.get_queryset()), filters)
        if beads.count() > GRAPH_BEADS:
            raise TooLarge(f"These are more than {GRAPH_BEADS:,} beads.", hint="Ask for one project_id.")
        return Response(work_graph(beads))


def _spot(given: dict[str, Any]) -> Spot | None:
    if "path" not in given and "line" not in given:
        return None
    for field in ("path", "line"):
        if field not in given:
            raise _no(field, "A comment on a line needs its path and its line.")
    return Spot(given["path"], given["line"], given["side"], given.get("claim"))


def _no(field: str, message: str) -> BadInput:
    return BadInput(message, details={"field": field})


router = SimpleRouter(trailing_slash=False)
router.register("beads", BeadViewSet, basename="bead")
COMMENT: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
urlpatterns = [
    path("comments/<int:pk>", CommentViewSet.as_view(COMMENT), name="comment"),
    path("work-graph", WorkGraphViewSet.as_view({"get": "show"}), name="work-graph"),
    *router.urls,
]
