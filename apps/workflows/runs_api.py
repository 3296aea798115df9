"""The API of runs: what they did and do, and what people can do about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.beads.models import Bead
from apps.core.api import query_number
from apps.core.api_lists import moment, numbers, words
from apps.core.errors import BadInput
from apps.engine.models import Run
from apps.engine.queries import run_query
from apps.engine.services import run_cancel, run_pause, run_resume, run_retry, run_signal
from apps.engine.timeline import STEPS, run_timeline
from apps.workflows.bodies import TimelineBody

MOST_STEPS = 1000


class RunSerializer(serializers.ModelSerializer[Run]):
    class Meta:
        model = Run
        fields = [
            "id",
            "key",
            "flow",
            "version",
            "generation",
            "status",
            "error",
            "waits_for",
            "wake_at",
            "attempts",
            "pause_requested",
            "cancel_requested",
            "organization_id",
            "project_id",
            "bead_id",
            "parent_id",
            "created_at",
            "updated_at",
            "ended_at",
        ]
        read_only_fields = fields


class WholeRunSerializer(RunSerializer):
    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "input", "output"]
        read_only_fields = fields


class SignalInput(serializers.Serializer[Any]):
    name = serializers.CharField()
    data = serializers.DictField(required=False)  # type: ignore[assignment]


class SignalBody(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    run = serializers.IntegerField()
    name = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]


class AnswerBody(serializers.Serializer[Any]):
    name = serializers.CharField()
    answer = serializers.JSONField(allow_null=True)


def _about_beads(rows: QuerySet[Any], keys: list[str]) -> QuerySet[Any]:
    return rows.filter(bead_id__in=Bead.objects.filter(key__in=keys).values("pk"))


class RunViewSet(TenantViewSet):
    """`/runs`: newest first. What cannot be done to a run as it stands, such as one that ended, is a 409."""

    resource = "runs"
    organization_path = "organization_id"
    lookup_value_regex = r"\d{1,18}"
    filters = {
        "status": words("status", choices=Run.Status.values),
        "flow": words("flow"),
        "project_id": numbers("project_id"),
        "project": numbers("project_id", help="The same."),
        "bead_id": words(_about_beads, help="Keys of beads."),
        "bead": numbers("bead_id", help="The number of a bead."),
        "parent": numbers("parent_id", help="Runs that this one began."),
        "waits_for": words("waits_for"),
        "created_after": moment("created_at__gte"),
        "created_before": moment("created_at__lt"),
    }
    orderings = {name: name for name in ("id", "flow", "status", "created_at", "updated_at")}
    search_fields = ("key", "flow", "error")
    schema_bodies = {**dict.fromkeys(("cancel", "retry", "pause", "resume")), "signal": SignalInput}
    schema_answers = {
        **dict.fromkeys(("cancel", "retry", "pause", "resume"), WholeRunSerializer),
        "signal": SignalBody,
        "answers": AnswerBody,
        "timeline": TimelineBody,
    }

    def get_serializer_class(self) -> type[RunSerializer]:
        return RunSerializer if self.action == "list" else WholeRunSerializer

    def get_queryset(self) -> QuerySet[Run]:
        runs = Run.objects.for_user(self.request.user).order_by("-id")
        return runs.defer("input", "output") if self.action == "list" else runs

    @action(detail=True)
    def timeline(self, request: Request, pk: str) -> Response:
        """The newest `limit` steps, and all else since; `before` (what `older` said) for those before."""
        limit = query_number(request, "limit", default=STEPS, least=1) or STEPS
        before = query_number(request, "before", least=1)
        told = run_timeline(self.get_object(), limit=min(limit, MOST_STEPS), before=before)
        return Response(told)

    @action(detail=True, url_path=r"answers/(?P<name>[\w.:-]{1,80})")
    def answers(self, request: Request, pk: str, name: str) -> Response:
        """What the run's flow answers to a question."""
        return Response({"name": name, "answer": run_query(run_id=self.get_object().pk, name=name)})

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return self._change(run_cancel)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        return self._change(run_retry)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        return self._change(run_pause)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        return self._change(run_resume)

    @action(detail=True, methods=["post"])
    def signal(self, request: Request, pk: str) -> Response:
        """`{"name": "...", "data": {...}}`; the run keeps it until it asks."""
        run, name, data = self.get_object(), self.body.get("name"), self.body.get("data") or {}
        if not isinstance(name, str):
            raise BadInput("Say the signal's name, as text.", details={"field": "name"})
        if not isinstance(data, dict):
            raise BadInput("What a signal carries is a JSON object.", details={"field": "data"})
        sent = run_signal(run_id=run.pk, name=name, data=data, actor=str(request.user))
        return Response({"id": sent.pk, "run": run.pk, "name": sent.name, "data": sent.data}, status=201)

    def _change(self, change: Callable[..., Run]) -> Response:
        run = self.get_object()
        change(run_id=run.pk, actor=str(self.request.user))
        run.refresh_from_db()
        return Response(self.get_serializer(run).data)


router: Any = SimpleRouter(trailing_slash=False)
router.register("runs", RunViewSet, basename="run")
urlpatterns = router.urls
