"""The API of lessons: what a project's agents have learned, for people to read and correct."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.agents.lesson_models import Lesson, LessonSource
from apps.agents.lesson_search import strength
from apps.agents.lessons import lesson_create, lesson_delete, lesson_update
from apps.core.api_lists import flag, numbers, words
from apps.projects.models import Project


class SourceBody(serializers.ModelSerializer[LessonSource]):
    class Meta:
        model = LessonSource
        fields = ["origin", "bead_id", "session_id", "created_at"]


class LessonBody(serializers.ModelSerializer[Lesson]):
    """`strength` falls by half every 30 days without use; agents are not shown what falls below 0.05."""

    strength = serializers.SerializerMethodField()
    sources = SourceBody(many=True)

    class Meta:
        model = Lesson
        fields = [
            "id", "project_id", "kind", "text", "is_active", "is_pinned", "learned", "used", "strength",
            "sources", "refreshed_at", "created_at", "updated_at",
        ]  # fmt: skip

    def get_strength(self, lesson: Lesson) -> float:
        return round(strength(lesson, timezone.now()), 3)


class LessonInput(serializers.Serializer[Any]):
    project_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    text = serializers.CharField(min_length=3, max_length=2_000)
    is_pinned = serializers.BooleanField(required=False, default=False)


class LessonChange(serializers.Serializer[Any]):
    text = serializers.CharField(min_length=3, max_length=2_000, required=False)
    is_active = serializers.BooleanField(required=False)
    is_pinned = serializers.BooleanField(required=False)


class LessonViewSet(TenantViewSet):
    """Agents are shown those that concern their work; one that is not active is shown to nobody."""

    resource = "projects"
    serializer_class = LessonBody
    filters = {
        "project_id": numbers("project_id"),
        "kind": words("kind", choices=Lesson.Kind.values),
        "is_active": flag("is_active"),
        "is_pinned": flag("is_pinned"),
    }
    orderings = {"created_at": "created_at", "refreshed_at": "refreshed_at", "used": "used"}
    search_fields = ("text", "about")

    def get_queryset(self) -> QuerySet[Lesson]:
        rows = Lesson.objects.for_user(self.request.user).select_related("project")
        return rows.prefetch_related("sources").order_by("-id")

    @property
    def _actor(self) -> str:
        return str(self.request.user.get_username())

    def create(self, request: Request) -> Response:
        given = LessonInput(data=self.body)
        given.is_valid(raise_exception=True)
        said = dict(given.validated_data)
        project = self.parent_get(Project.objects.for_user(request.user), said.pop("project_id"))
        return self._shown(lesson_create(project=project, actor=self._actor, **said), status=201)

    def partial_update(self, request: Request, pk: int) -> Response:
        given = LessonChange(data=self.body)
        given.is_valid(raise_exception=True)
        lesson: Lesson = self.get_object()
        return self._shown(lesson_update(lesson=lesson, actor=self._actor, **given.validated_data))

    def destroy(self, request: Request, pk: int) -> Response:
        lesson_delete(lesson=self.get_object(), actor=self._actor)
        return Response(status=204)

    def _shown(self, lesson: Lesson, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=lesson.pk)).data, status=status)


router = SimpleRouter(trailing_slash=False)
router.register("lessons", LessonViewSet, basename="lesson")
urlpatterns = router.urls
