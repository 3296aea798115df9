"""The API of motivations; shapes as the original's, whose lists stand in an object with their count."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import BareArrayPagination, TenantViewSet
from apps.accounts.models import Organization
from apps.accounts.permissions import READ, organizations_with
from apps.agents.models import Agent
from apps.core.api import query_number
from apps.core.errors import BadInput
from apps.motivations.clocks import next_ring
from apps.motivations.defaults import defaults_register, organization_defaults
from apps.motivations.firing import motivation_trigger
from apps.motivations.idleness import idle_report
from apps.motivations.models import Motivation, MotivationTrigger
from apps.motivations.services import (
    external_tell,
    motivation_create,
    motivation_delete,
    motivation_switch,
    motivation_update,
)
from apps.projects.models import Project

YES, NO = {"true", "1", "yes"}, {"false", "0", "no"}
FIELDS = (
    "name", "description", "parameters", "cooldown_minutes", "priority", "create_bead", "bead_template",
    "wake_agent", "agent_role",
)  # fmt: skip
HISTORY, MOST_HISTORY = 50, 1000


class MotivationBody(serializers.ModelSerializer[Motivation]):
    next_trigger_at = serializers.SerializerMethodField()

    class Meta:
        model = Motivation
        fields = [
            "id", "name", "description", "type", "condition", "status", "agent_role", "agent_id",
            "project_id", "parameters", "cooldown_minutes", "last_triggered_at", "next_trigger_at",
            "trigger_count", "priority", "create_bead", "bead_template", "wake_agent", "is_built_in",
            "created_at", "updated_at",
        ]  # fmt: skip

    def get_next_trigger_at(self, motivation: Motivation) -> Any:
        """When its clock rings, else the end of its cooldown; null where only an event can tell."""
        if motivation.status != Motivation.Status.ACTIVE:
            return None
        if (ring := next_ring(motivation)) is not None:
            return ring
        rests = motivation.rests_until
        return rests if rests is not None and rests > timezone.now() else None


class TriggerBody(serializers.ModelSerializer[MotivationTrigger]):
    motivation_name = serializers.CharField(source="motivation.name")
    trigger_data = serializers.JSONField(source="data")
    bead_created = serializers.SerializerMethodField()

    class Meta:
        model = MotivationTrigger
        fields = [
            "id", "motivation_id", "motivation_name", "cause", "triggered_at", "trigger_data", "result",
            "error", "bead_created", "agent_woken",
        ]  # fmt: skip

    def get_bead_created(self, trigger: MotivationTrigger) -> str | None:
        made = trigger.result in {MotivationTrigger.Result.BEAD_CREATED, MotivationTrigger.Result.AGENT_WOKEN}
        return trigger.bead.key if trigger.bead is not None and made else None


class EnvelopePagination(BareArrayPagination):
    """The list in an object, as clients of the original expect it; the headers are the same."""

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data = {"motivations": data, "count": self.count}
        return response


class MotivationViewSet(TenantViewSet):
    resource = "motivations"
    organization_path = "organization_id"
    serializer_class = MotivationBody
    pagination_class = EnvelopePagination
    lookup_value_regex = r"\d{1,18}"

    def get_queryset(self) -> QuerySet[Motivation]:
        rows = Motivation.objects.for_user(self.request.user).select_related(
            "organization", "project", "agent", "clock__interval", "clock__crontab", "clock__clocked"
        )
        return self._filtered(rows) if self.action in {"list", "roles"} else rows

    def _filtered(self, rows: QuerySet[Motivation]) -> QuerySet[Motivation]:
        asked = self.request.query_params
        for name in ("type", "agent_role", "condition", "status"):
            if asked.get(name):
                rows = rows.filter(**{name: asked[name]})
        if (project := query_number(self.request, "project_id")) is not None:
            rows = rows.filter(project_id=project)
        if (active := self._flag("active")) is not None:
            wanted = Motivation.Status.ACTIVE if active else Motivation.Status.DISABLED
            rows = rows.filter(status=wanted)
        if (built_in := self._flag("built_in")) is not None:
            rows = rows.filter(is_built_in=built_in)
        return rows

    def _flag(self, name: str) -> bool | None:
        text = self.request.query_params.get(name, "").lower()
        if not text:
            return None
        if text not in YES | NO:
            raise BadInput(f"{name} must be true or false.", details={"field": name})
        return text in YES

    def create(self, request: Request) -> Response:
        body = self.body
        if missing := [key for key in ("name", "type", "condition") if not body.get(key)]:
            raise BadInput(f"{missing[0]} is required.", details={"field": missing[0]})
        project = self._project(body.get("project_id"))
        organization = project.organization if project else self.organization_get(body.get("organization"))
        self.permission_check(organization.pk)
        fields = {key: body[key] for key in FIELDS if body.get(key) is not None}
        motivation = motivation_create(
            organization=organization,
            project=project,
            type=str(body["type"]),
            condition=str(body["condition"]),
            agent=self._agent(body.get("agent_id")),
            actor=str(request.user),
            **{"create_bead": False, "wake_agent": False, **fields},
        )
        return self._answer(motivation, status=201)

    def _project(self, given: Any) -> Project | None:
        if given in (None, ""):
            return None
        return self.parent_get(Project.objects.for_user(self.request.user), given)

    def _agent(self, given: Any) -> Agent | None:
        if given in (None, ""):
            return None
        rows = Agent.objects.for_user(self.request.user).select_related("project")
        agent: Agent = self.parent_get(rows, given, organization_path="project__organization_id")
        return agent

    def _answer(self, motivation: Motivation, status: int = 200) -> Response:
        return Response(MotivationBody(motivation).data, status=status)

    def update(self, request: Request, pk: str) -> Response:
        """PUT as PATCH: what is not given stays as it is."""
        motivation, body = self.get_object(), self.body
        changes = {key: body[key] for key in FIELDS if key in body}
        if "agent_id" in body:
            changes["agent"] = self._agent(body["agent_id"])
        enabled = body.get("enabled")
        if enabled is not None and not isinstance(enabled, bool):
            raise BadInput("enabled must be true or false.", details={"field": "enabled"})
        if changes:
            motivation = motivation_update(motivation=motivation, actor=str(request.user), **changes)
        if enabled is not None:
            motivation = motivation_switch(motivation=motivation, active=enabled, actor=str(request.user))
        return self._answer(motivation)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk)

    def destroy(self, request: Request, pk: str) -> Response:
        motivation_delete(motivation=self.get_object(), actor=str(request.user))
        return Response({"status": "deleted"})

    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        return self._switch(active=True)

    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        return self._switch(active=False)

    def _switch(self, *, active: bool) -> Response:
        switched = motivation_switch(
            motivation=self.get_object(), active=active, actor=str(self.request.user)
        )
        return self._answer(switched)

    @action(detail=True, methods=["post"])
    def trigger(self, request: Request, pk: str) -> Response:
        """Fire now, cooldown or not; with a JSON body, that is what the trigger is about."""
        motivation, about = self.get_object(), self.body
        data = {"about": about} if about else {}
        trigger = motivation_trigger(motivation=motivation, actor=str(request.user), data=data)
        return Response(TriggerBody(trigger).data)

    @action(detail=False, methods=["get"])
    def history(self, request: Request) -> Response:
        """The newest triggers that were acted on; `motivation_id` narrows it."""
        limit = query_number(request, "limit", default=HISTORY, least=1) or HISTORY
        rows = MotivationTrigger.objects.filter(motivation__organization_id__in=self._readable())
        rows = rows.exclude(result=MotivationTrigger.Result.PENDING).select_related("motivation", "bead")
        if (about := query_number(request, "motivation_id")) is not None:
            rows = rows.filter(motivation_id=about)
        found = rows.order_by("-triggered_at", "-id")[: min(limit, MOST_HISTORY)]
        return Response({"history": TriggerBody(found, many=True).data, "count": len(found)})

    def _readable(self) -> Any:
        user: Any = self.request.user
        if user.is_superuser:
            return Organization.objects.values("pk")
        return organizations_with(user, f"{self.resource}:{READ}")

    @action(detail=False, methods=["get"])
    def idle(self, request: Request) -> Response:
        projects = Project.objects.filter(organization_id__in=self._readable())
        if (wanted := query_number(request, "project_id")) is not None:
            projects = projects.filter(pk=wanted)
        return Response(idle_report(projects, timezone.now()))

    @action(detail=False, methods=["get"])
    def roles(self, request: Request) -> Response:
        """The motivations of each role."""
        groups: dict[str, list[Any]] = defaultdict(list)
        for motivation in self.filter_queryset(self.get_queryset()).order_by("agent_role", "name"):
            groups[motivation.agent_role].append(MotivationBody(motivation).data)
        return Response({"roles": sorted(groups), "motivations": groups})

    @action(detail=False, methods=["post"])
    def defaults(self, request: Request) -> Response:
        """Add what is missing of the default set, to one project or to all open ones of the organization."""
        project = self._project(self.body.get("project_id"))
        if project is not None:
            count = defaults_register(project=project, roles=True, actor=str(request.user))
        else:
            organization = self.organization_get(self.body.get("organization"))
            self.permission_check(organization.pk)
            count = organization_defaults(organization=organization, actor=str(request.user))
        return Response({"status": "registered", "count": count})

    @action(detail=False, methods=["post"])
    def external(self, request: Request) -> Response:
        """Something happened outside: {"kind": "external.release", "project_id", "data"} becomes an event."""
        body = self.body
        project, data = self._project(body.get("project_id")), body.get("data", {})
        if not isinstance(data, dict):
            raise BadInput("data must be a JSON object.", details={"field": "data"})
        organization = project.organization if project else self.organization_get(body.get("organization"))
        self.permission_check(organization.pk)
        event_id = external_tell(
            organization=organization,
            kind=str(body.get("kind", "")),
            project=project,
            data=data,
            actor=str(request.user),
        )
        return Response({"event_id": event_id}, status=201)


router = SimpleRouter(trailing_slash=False)
router.register("motivations", MotivationViewSet, basename="motivation")
urlpatterns = router.urls
