"""The API of motivations; shapes as the original's, whose lists stand in an object with their count."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import READ, rows_with
from apps.agents.models import Agent
from apps.core.api import query_number
from apps.core.api_lists import Listing, flag, moment, numbers, rows_narrow, words
from apps.core.api_pages import Envelope
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

FIELDS = (
    "name", "description", "parameters", "cooldown_minutes", "priority", "create_bead", "bead_template",
    "wake_agent", "agent_role",
)  # fmt: skip


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

    def get_next_trigger_at(self, motivation: Motivation) -> datetime | None:
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


class MotivationPageBody(serializers.Serializer[Any]):
    motivations = MotivationBody(many=True)
    count = serializers.IntegerField(help_text="Of all pages.")


class HistoryBody(serializers.Serializer[Any]):
    history = TriggerBody(many=True)
    count = serializers.IntegerField(help_text="Of this page.")


class IdleBody(serializers.Serializer[Any]):
    is_system_idle = serializers.BooleanField()
    system_idle_period = serializers.IntegerField(required=False, help_text="Seconds, while it is idle.")
    total_agents = serializers.IntegerField()
    working_agents = serializers.IntegerField()
    idle_agents = serializers.IntegerField()
    paused_agents = serializers.IntegerField()
    total_beads = serializers.IntegerField()
    open_beads = serializers.IntegerField()
    in_progress_beads = serializers.IntegerField()
    idle_projects = serializers.ListField(child=serializers.IntegerField())
    last_agent_activity = serializers.DateTimeField(allow_null=True)
    checked_at = serializers.DateTimeField()


class RolesBody(serializers.Serializer[Any]):
    roles = serializers.ListField(child=serializers.CharField(allow_blank=True))
    motivations = serializers.DictField(child=MotivationBody(many=True), help_text="By role.")


class RegisteredBody(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["registered"])
    count = serializers.IntegerField()


class DeletedBody(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["deleted"])


class ToldBody(serializers.Serializer[Any]):
    event_id = serializers.IntegerField()


class MotivationPages(Envelope):
    name, counts_all = "motivations", True


class HistoryPages(Envelope):
    name, default_limit = "history", 50


def _active(rows: QuerySet[Any], is_so: bool) -> QuerySet[Any]:
    return rows.filter(status=Motivation.Status.ACTIVE if is_so else Motivation.Status.DISABLED)


OF_MOTIVATIONS = Listing(
    {
        "type": words("type", choices=Motivation.Type.values),
        "condition": words("condition"),
        "status": words("status", choices=Motivation.Status.values),
        "active": flag(_active),
        "built_in": flag("is_built_in"),
        "agent_role": words("agent_role"),
        "agent_id": numbers("agent_id"),
        "project_id": numbers("project_id"),
    },
    {
        name: name
        for name in ("name", "type", "status", "agent_role", "priority", "trigger_count", "created_at")
    },
    ("name", "description", "condition", "agent_role"),
)
OF_HISTORY = Listing(
    {
        "motivation_id": numbers("motivation_id"),
        "project_id": numbers("motivation__project_id"),
        "result": words(
            "result", choices=[name for name in MotivationTrigger.Result.values if name != "pending"]
        ),
        "cause": words("cause", help="clock, event, sense or person"),
        "since": moment("triggered_at__gte"),
        "until": moment("triggered_at__lt"),
    },
    {"triggered_at": "triggered_at"},
    ("motivation__name", "error"),
)


class MotivationViewSet(TenantViewSet):
    list_is_object = True
    resource = "motivations"
    organization_path = "organization_id"
    serializer_class = MotivationBody
    pagination_class = MotivationPages
    filters, orderings = OF_MOTIVATIONS.filters, OF_MOTIVATIONS.orderings
    search_fields = OF_MOTIVATIONS.search_fields
    listings = {"history": OF_HISTORY}
    schema_answers = {
        "list": MotivationPageBody,
        **dict.fromkeys(("enable", "disable"), MotivationBody),
        "destroy": {200: DeletedBody},
        "trigger": TriggerBody,
        "history": HistoryBody,
        "idle": IdleBody,
        "roles": RolesBody,
        "defaults": RegisteredBody,
        "external": ToldBody,
    }
    lookup_value_regex = r"\d{1,18}"

    def get_queryset(self) -> QuerySet[Motivation]:
        return Motivation.objects.for_user(self.request.user).select_related(
            "organization", "project", "agent", "clock__interval", "clock__crontab", "clock__clocked"
        )

    def create(self, request: Request) -> Response:
        body = self.body
        if missing := [key for key in ("name", "type", "condition") if not body.get(key)]:
            raise BadInput(f"{missing[0]} is required.", details={"field": missing[0]})
        project = self._project(body.get("project_id"))
        organization = self.organization_get(body.get("organization"), project=project)
        self.permission_check(organization.pk, project.pk if project else None)
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

    @action(detail=False, methods=["get"], pagination_class=HistoryPages)
    def history(self, request: Request) -> Response:
        """The newest triggers that were acted on."""
        rows = MotivationTrigger.objects.for_user(request.user).filter(motivation__in=self._readable())
        rows = rows.exclude(result=MotivationTrigger.Result.PENDING).select_related("motivation", "bead")
        rows = rows.order_by("-triggered_at", "-id")
        return self.listed(rows, lambda page: TriggerBody(page, many=True).data)

    def _readable(self) -> QuerySet[Any]:
        user: Any = self.request.user
        rows = Motivation.objects.for_user(user)
        return rows_with(user, f"{self.resource}:{READ}", rows, "organization_id").values("pk")

    @action(detail=False, methods=["get"])
    def idle(self, request: Request) -> Response:
        user: Any = request.user
        projects = Project.objects.for_user(user)
        projects = rows_with(user, f"{self.resource}:{READ}", projects, "organization_id")
        if (wanted := query_number(request, "project_id")) is not None:
            projects = projects.filter(pk=wanted)
        return Response(idle_report(projects, timezone.now()))

    @action(detail=False, methods=["get"])
    def roles(self, request: Request) -> Response:
        """The motivations of each role."""
        groups: dict[str, list[Any]] = defaultdict(list)
        rows = rows_narrow(request, self.filter_queryset(self.get_queryset()), OF_MOTIVATIONS.filters)
        for motivation in rows.order_by("agent_role", "name"):
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
        organization = self.organization_get(body.get("organization"), project=project)
        self.permission_check(organization.pk, project.pk if project else None)
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
