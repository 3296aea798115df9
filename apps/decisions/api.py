"""The API of decisions; shapes as the original's DecisionBead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, WRITE, permission_require, rows_with
from apps.beads.models import Bead
from apps.core.api_lists import TRUE, Filter, Listing, as_asked, bad, flag, moment, numbers, words
from apps.core.errors import BadInput, Forbidden, NotFound
from apps.decisions.authority import AgentVoice, agent_find
from apps.decisions.models import DEADLINE, THRESHOLD, Decision, DecisionQuerySet, Vote
from apps.decisions.services import decision_decide, decision_request, vote_cast
from apps.decisions.tally import tally_of
from apps.decisions.voters import voters_resolve
from apps.projects.models import Project

CLOSED = "closed"  # the original's word for everything but open
STATES = (*Decision.Status.values, CLOSED)


class TallyBody(serializers.Serializer[Any]):
    """How the votes stand; a vote weighs as much as its confidence."""

    cast = serializers.IntegerField()
    missing = serializers.ListField(child=serializers.CharField(), help_text="Who has not voted yet.")
    threshold = serializers.FloatField()
    weights = serializers.DictField(child=serializers.FloatField())
    shares = serializers.DictField(child=serializers.FloatField())
    leader = serializers.CharField(allow_null=True)


class DecisionBody(serializers.ModelSerializer[Decision]):
    """A bead with a question; `option_details` and `state` say more than `options` and `status`."""

    id = serializers.CharField()
    project_id = serializers.CharField()
    type = serializers.SerializerMethodField()
    title = serializers.SerializerMethodField()
    description = serializers.CharField(source="context")
    status = serializers.SerializerMethodField()
    state = serializers.CharField(source="status")
    parent = serializers.SerializerMethodField()  # type: ignore[assignment]
    assigned_to = serializers.SerializerMethodField()
    options = serializers.ListField(source="keys", child=serializers.CharField())
    option_details = serializers.ListField(
        source="options", child=serializers.DictField(child=serializers.CharField())
    )
    voters = serializers.ListField(child=serializers.CharField())
    requester_id = serializers.CharField(source="requester")
    decider_id = serializers.CharField(source="decider")
    decision = serializers.CharField(source="choice")
    closed_at = serializers.DateTimeField(source="decided_at", allow_null=True)
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

    def get_type(self, decision: Decision) -> str:
        return "decision"

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

    @extend_schema_field(TallyBody(allow_null=True))
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


class CastBody(serializers.Serializer[Any]):
    """The vote, and the decision as it stands with it."""

    vote = VoteBody()
    decision = DecisionBody()


class DecidedBody(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["decided"])
    decision_id = serializers.CharField()
    decision = serializers.CharField(help_text="The key of the option.")
    decider_id = serializers.CharField()
    rationale = serializers.CharField()
    decided_at = serializers.DateTimeField()


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "minLength": 1},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ]
    }
)
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


def _in_states(rows: QuerySet[Any], given: list[str]) -> QuerySet[Any]:
    wanted = [
        state for state in Decision.Status.values if state in given or (CLOSED in given and state != "open")
    ]
    return rows.filter(status__in=wanted)


def _priorities(name: str, text: str) -> list[int]:
    """Numbers, also as people write them: P1."""
    given = [word.strip().lower().removeprefix("p") for word in text.split(",") if word.strip()]
    if not set(given) <= {"0", "1", "2", "3", "4"}:
        raise bad(name, "A priority goes from 0 (critical) to 4 (backlog).")
    return [int(word) for word in given]


class DecisionViewSet(TenantViewSet):
    """Questions that wait for an answer, and those that had one."""

    resource = "decisions"
    serializer_class = DecisionBody
    filters = {
        "status": words(_in_states, choices=STATES, help="closed: all but the open ones."),
        "project_id": numbers("project_id"),
        "priority": Filter(
            "priority__in",
            _priorities,
            {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 4}},
        ),
        "kind": words("kind", choices=Decision.Kind.values),
        "bead_id": words("bead__key", help="Keys of beads."),
        "requester_id": words("requester"),
        "decider_id": words("decider"),
        "needs_person": flag("needs_person"),
        "mine": flag(as_asked, help="What waits for the caller's answer or vote."),
        "created_after": moment("created_at__gte"),
        "deadline_before": moment("deadline__lt"),
    }
    orderings = {name: name for name in ("id", "priority", "status", "deadline", "created_at", "updated_at")}
    search_fields = ("question", "context", "choice", "rationale")
    listings = {
        "votes": Listing(
            {"voter": words("voter"), "choice": words("choice")},
            {"created_at": "created_at", "updated_at": "updated_at", "confidence": "confidence"},
            ("voter", "choice", "rationale"),
        )
    }
    schema_bodies = {
        "create": QuestionInput,
        "update": AnswerInput,
        "decide": AnswerInput,
        "votes": VoteInput,
    }
    schema_answers = {
        "decide": DecidedBody,
        "votes get": VoteBody(many=True),
        "votes post": CastBody,
    }

    def get_queryset(self) -> QuerySet[Decision]:
        rows = Decision.objects.for_user(self.request.user).select_related("project", "bead")
        return rows.prefetch_related("votes")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().filter_queryset(queryset)
        is_mine = self.request.query_params.get("mine", "").strip().lower() in TRUE
        return self._mine(rows) if self.action == "list" and is_mine else rows

    def _mine(self, rows: Any) -> DecisionQuerySet:
        """What waits for this person: as somebody who may decide, or as one of the voters."""
        user: Any = self.request.user
        rows = rows.filter(status=Decision.Status.OPEN)
        mine: DecisionQuerySet = rows_with(user, f"{self.resource}:{WRITE}", rows, self.organization_path)
        return mine.filter(Q(needs_person=True) | Q(pk__in=mine.unvoted_by(user.username)))

    def create(self, request: Request) -> Response:
        given = self._read(QuestionInput)
        project, bead = self._place(given.pop("project_id", None), given.pop("parent", ""))
        hours = given.pop("deadline_hours", None)
        given["voters"] = voters_resolve(project, given["voters"]) if given["voters"] else []
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
            return self.listed(decision.votes.order_by("id"), lambda rows: VoteBody(rows, many=True).data)
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
            project = decision.project
            permission_require(user, f"{self.resource}:{ADMIN}", project.organization_id, project.pk)
            return agent.name, agent
        if given.startswith("user-"):
            raise Forbidden("One decides in one's own name only.", details={"decider_id": given})
        raise BadInput(f"There is no agent {given!r} in this project.", details={"field": "decider_id"})

    def _read(self, kind: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        given = kind(data=self.body)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)


router = SimpleRouter(trailing_slash=False)
router.register("decisions", DecisionViewSet, basename="decision")
urlpatterns = router.urls
