"""The API of decisions; shapes as the original's DecisionBead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, WRITE, organizations_with, permission_require
from apps.beads.models import Bead
from apps.core.api import query_number
from apps.core.errors import BadInput, Forbidden, NotFound
from apps.decisions.authority import AgentVoice, agent_find
from apps.decisions.models import DEADLINE, THRESHOLD, Decision, Vote
from apps.decisions.services import decision_decide, decision_request, vote_cast
from apps.decisions.tally import tally_of
from apps.projects.models import Project

CLOSED = "closed"  # the original's word for everything but open
YES, NO = {"true", "1", "yes"}, {"false", "0", "no", ""}


class DecisionBody(serializers.ModelSerializer[Decision]):
    """A bead with a question; `option_details` and `state` say more than `options` and `status`."""

    type = serializers.ReadOnlyField(default="decision")
    title = serializers.SerializerMethodField()
    description = serializers.CharField(source="context")
    status = serializers.SerializerMethodField()
    state = serializers.CharField(source="status")
    parent = serializers.SerializerMethodField()  # type: ignore[assignment]
    assigned_to = serializers.SerializerMethodField()
    options = serializers.ListField(source="keys")
    option_details = serializers.ListField(source="options")
    requester_id = serializers.CharField(source="requester")
    decider_id = serializers.CharField(source="decider")
    decision = serializers.CharField(source="choice")
    closed_at = serializers.DateTimeField(source="decided_at")
    tally = serializers.SerializerMethodField()

    class Meta:
        model = Decision
        fields = [
            "id", "type", "title", "description", "status", "state", "priority", "project_id", "parent",
            "assigned_to", "kind", "question", "options", "option_details", "recommendation", "context",
            "requester_id", "needs_person", "asked_of", "escalated_to", "deadline", "default_choice",
            "lapses", "voters", "threshold", "tally", "decision", "rationale", "decider_id", "decided_by",
            "decided_at", "run_id", "created_at", "updated_at", "closed_at",
        ]  # fmt: skip

    def get_title(self, decision: Decision) -> str:
        return f"Decision: {decision.question}"

    def get_status(self, decision: Decision) -> str:
        return "open" if decision.status == Decision.Status.OPEN else CLOSED

    def get_parent(self, decision: Decision) -> str | None:
        return decision.bead.key if decision.bead is not None else None

    def get_assigned_to(self, decision: Decision) -> str:
        """Who is to answer."""
        if decision.needs_person:
            return decision.escalated_to or "person"
        return decision.escalated_to or decision.asked_of or Decision.Rung.DECISION_MAKER

    def get_tally(self, decision: Decision) -> dict[str, Any] | None:
        return tally_of(decision).body() if decision.voters else None


class VoteBody(serializers.ModelSerializer[Vote]):
    class Meta:
        model = Vote
        fields = [
            "id",
            "decision_id",
            "voter",
            "choice",
            "confidence",
            "rationale",
            "created_at",
            "updated_at",
        ]


class OptionField(serializers.Field[Any, Any, Any, Any]):
    """An option: its key alone, or an object with key, label and detail."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        option = {"key": data, "label": data} if isinstance(data, str) else data
        if not isinstance(option, dict) or not all(isinstance(word, str) for word in option.values()):
            raise serializers.ValidationError("An option is a text, or an object of texts with a key.")
        kept = {name: option[name].strip() for name in ("key", "label", "detail") if option.get(name)}
        if not kept.get("key"):
            raise serializers.ValidationError("An option needs a key.")
        return kept

    def to_representation(self, value: Any) -> Any:
        return value


class QuestionInput(serializers.Serializer[Any]):
    question = serializers.CharField(max_length=50_000)
    project_id = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    parent = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=40, help_text="Key of a bead."
    )
    options = serializers.ListField(child=OptionField(), required=False, default=list, max_length=50)
    recommendation = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    context = serializers.JSONField(required=False, default=dict)  # type: ignore[assignment]
    priority = serializers.IntegerField(required=False, default=2, min_value=0, max_value=4)
    needs_person = serializers.BooleanField(required=False, default=False)
    asked_of = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)
    deadline_hours = serializers.FloatField(required=False, min_value=0.001, max_value=87_600)
    default_choice = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)
    lapses = serializers.BooleanField(required=False, default=False)
    voters = serializers.ListField(
        child=serializers.CharField(max_length=120), required=False, default=list, max_length=100
    )
    threshold = serializers.FloatField(required=False, default=THRESHOLD)

    def validate_context(self, context: Any) -> str:
        if isinstance(context, str):
            return context
        if not isinstance(context, dict):
            raise serializers.ValidationError("The context is a text or an object.")
        return "\n".join(f"{name}: {value}" for name, value in context.items())


class AnswerInput(serializers.Serializer[Any]):
    decision = serializers.CharField(max_length=50_000, required=False, help_text="The key of the option.")
    choice = serializers.CharField(max_length=50_000, required=False, help_text="The same.")
    rationale = serializers.CharField(required=False, allow_blank=True, default="", max_length=50_000)
    decider_id = serializers.CharField(required=False, allow_blank=True, default="", max_length=120)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs["choice"] = attrs.pop("decision", None) or attrs.get("choice")
        if not attrs["choice"]:
            raise serializers.ValidationError({"decision": ["This field is required."]})
        return attrs


class VoteInput(AnswerInput):
    voter = serializers.CharField(required=False, allow_blank=True, default="", max_length=120)
    confidence = serializers.FloatField(required=False, default=1.0, min_value=0, max_value=1)


class DecisionViewSet(TenantViewSet):
    """Questions that wait for an answer, and those that had one."""

    resource = "decisions"
    serializer_class = DecisionBody

    def get_queryset(self) -> QuerySet[Decision]:
        rows = Decision.objects.for_user(self.request.user).select_related("project", "bead")
        return rows.prefetch_related("votes")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows = super().filter_queryset(queryset)
        if self.action != "list":
            return rows
        if states := self._listed("status"):
            rows = rows.filter(status__in=_states(states))
        if priorities := self._listed("priority"):
            rows = rows.filter(priority__in=[_priority(word) for word in priorities])
        if kinds := self._listed("kind"):
            rows = rows.filter(kind__in=kinds)
        if (project_id := query_number(self.request, "project_id")) is not None:
            rows = rows.filter(project_id=project_id)
        mine = self.request.query_params.get("mine", "").lower()
        if mine not in YES | NO:
            raise BadInput("mine must be true or false.", details={"field": "mine"})
        return self._mine(rows) if mine in YES else rows

    def _listed(self, name: str) -> list[str]:
        words = self.request.query_params.get(name, "").split(",")
        return [word.strip().lower() for word in words if word.strip()]

    def _mine(self, rows: QuerySet[Decision]) -> QuerySet[Decision]:
        """What waits for this person: as somebody who may decide, or as one of the voters."""
        user: Any = self.request.user
        rows = rows.filter(status=Decision.Status.OPEN)
        if not user.is_superuser:
            rows = rows.filter(project__organization__in=organizations_with(user, f"{self.resource}:{WRITE}"))
        votes = [row.pk for row in rows.exclude(voters=[]) if user.username in tally_of(row).missing]
        return rows.filter(Q(needs_person=True) | Q(pk__in=votes))

    def create(self, request: Request) -> Response:
        given = self._read(QuestionInput)
        project, bead = self._place(given.pop("project_id", None), given.pop("parent", ""))
        hours = given.pop("deadline_hours", None)
        decision = decision_request(
            project=project,
            bead=bead,
            requester=request.user.get_username(),
            deadline=timedelta(hours=hours) if hours is not None else DEADLINE,
            **given,
        )
        return Response(self.get_serializer(decision).data, status=201)

    def _place(self, project_id: int | None, parent: str) -> tuple[Project, Bead | None]:
        if project_id is None and not parent:
            raise BadInput("project_id is required.", details={"field": "project_id"})
        bead = None
        if parent:
            beads = Bead.objects.for_user(self.request.user).select_related("project")
            bead = self.parent_get(
                beads, parent, field="key__iexact", organization_path="project__organization_id"
            )
            if project_id not in (None, bead.project_id):
                raise NotFound(f"There is no bead {parent!r} in this project.")
            return bead.project, bead
        return self.parent_get(Project.objects.for_user(self.request.user), project_id), None

    def update(self, request: Request, pk: str) -> Response:
        """PUT decides, as the original's README promised."""
        return Response(self.get_serializer(self._decide()).data)

    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        body = self.get_serializer(self._decide()).data
        told = {name: body[name] for name in ("decision", "decider_id", "rationale", "decided_at")}
        return Response({"status": "decided", "decision_id": body["id"], **told})

    def _decide(self) -> Decision:
        decision, given = self.get_object(), self._read(AnswerInput)
        name, agent = self._speaker(decision, given.pop("decider_id"))
        return decision_decide(decision=decision, decider=name, agent=agent, **given)

    @action(detail=True, methods=["get", "post"])
    def votes(self, request: Request, pk: str) -> Response:
        """The votes so far, and casting or changing one's own."""
        decision = self.get_object()
        if request.method == "GET":
            return Response(VoteBody(decision.votes.all(), many=True).data)
        given = self._read(VoteInput)
        name, agent = self._speaker(decision, given.pop("voter") or given.pop("decider_id"))
        given.pop("decider_id", None)
        vote = vote_cast(decision=decision, voter=name, agent=agent, **given)
        now = self.get_queryset().get(pk=decision.pk)
        return Response({"vote": VoteBody(vote).data, "decision": self.get_serializer(now).data})

    def _speaker(self, decision: Decision, given: str) -> tuple[str, AgentVoice | None]:
        """Whose word this is: one's own, or for administrators that of an agent with the authority."""
        user: Any = self.request.user
        own = {user.username.casefold(), f"user-{user.username}".casefold(), f"user-{user.pk}"}
        if not given or given.casefold() in own:
            return user.username, None
        if agent := agent_find(decision.project_id, given):
            permission_require(user, f"{self.resource}:{ADMIN}", decision.project.organization_id)
            return agent.name, agent
        if given.startswith("user-"):
            raise Forbidden("One decides in one's own name only.", details={"decider_id": given})
        raise BadInput(f"There is no agent {given!r} in this project.", details={"field": "decider_id"})

    def _read(self, kind: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        given = kind(data=self.body)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)


def _states(words: list[str]) -> list[str]:
    states = set(Decision.Status.values)
    if unknown := [word for word in words if word not in states | {CLOSED}]:
        raise BadInput(f"{unknown[0][:40]!r} is no status of a decision.", details={"field": "status"})
    return [state for state in states if state in words or (CLOSED in words and state != "open")]


def _priority(word: str) -> int:
    number = word.removeprefix("p")
    if number not in {"0", "1", "2", "3", "4"}:
        raise BadInput("A priority goes from 0 (critical) to 4 (backlog).", details={"field": "priority"})
    return int(number)


router = SimpleRouter(trailing_slash=False)
router.register("decisions", DecisionViewSet, basename="decision")
urlpatterns = router.urls
