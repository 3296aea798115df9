"""The API of messages between agents, and from people to agents."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.agents.letters import letter_send
from apps.agents.models import Agent, Message, Persona
from apps.agents.personas import role_resolve, roles_of
from apps.core.api_inputs import IdField
from apps.core.api_lists import flag, numbers, words
from apps.core.errors import BadInput
from apps.projects.models import Project


class MessageBody(serializers.ModelSerializer[Message]):
    """`delivered_to_id` is the session whose prompt holds it."""

    id = serializers.CharField()
    project_id = serializers.CharField()
    session_id = serializers.CharField(allow_null=True)
    to_agent_id = serializers.CharField(allow_null=True)
    delivered_to_id = serializers.CharField(allow_null=True)
    from_role = serializers.SerializerMethodField()
    bead_id = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = [
            "id", "project_id", "sender", "from_role", "session_id", "bead_id", "to_role", "to_agent_id",
            "subject", "body", "delivered_to_id", "delivered_at", "created_at",
        ]  # fmt: skip

    def get_from_role(self, message: Message) -> str:
        return message.session.agent.role if message.session is not None else ""

    def get_bead_id(self, message: Message) -> str | None:
        """The bead that the sender worked on."""
        bead = message.session.bead if message.session is not None else None
        return bead.key if bead is not None else None


class MessageInput(serializers.Serializer[Any]):
    """To an agent or to a role."""

    project_id = IdField(required=False)
    to_agent_id = IdField(required=False)
    to_role = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)
    subject = serializers.CharField(max_length=200)
    body = serializers.CharField(max_length=20_000)


class MessageViewSet(TenantViewSet):
    """Each is told to one session, once: the next prompt of the agent, or of somebody of the role."""

    resource = "conversations"
    serializer_class = MessageBody
    filters = {
        "project_id": numbers("project_id"),
        "to_role": words("to_role"),
        "to_agent_id": numbers("to_agent_id"),
        "session_id": numbers("session_id", help="Of who sent it."),
        "delivered_to": numbers("delivered_to_id", help="The session that got it."),
        "delivered": flag(
            lambda rows, is_so: rows.exclude(delivered_at=None) if is_so else rows.filter(delivered_at=None)
        ),
    }
    orderings = {"created_at": "created_at"}
    search_fields = ("subject", "body", "sender")

    def get_queryset(self) -> QuerySet[Message]:
        rows = Message.objects.for_user(self.request.user)
        return rows.select_related("project", "session__agent", "session__bead").order_by("-id")

    def create(self, request: Request) -> Response:
        given = MessageInput(data=self.body)
        given.is_valid(raise_exception=True)
        said = dict(given.validated_data)
        project, agent, role = self._receiver(said)
        message = letter_send(
            project=project,
            to_role=role,
            to_agent=agent,
            subject=said["subject"],
            body=said["body"],
            sender=str(request.user.get_username()),
        )
        return Response(self.get_serializer(self.get_queryset().get(pk=message.pk)).data, status=201)

    def _receiver(self, said: dict[str, Any]) -> tuple[Project, Agent | None, str]:
        user = self.request.user
        if said.get("to_agent_id"):
            team = Agent.objects.for_user(user).filter(retired_at=None).select_related("project")
            agent = self.parent_get(team, said["to_agent_id"], organization_path="project__organization_id")
            if said.get("project_id") not in (None, agent.project_id):
                raise BadInput("The agent belongs to another project.", details={"field": "to_agent_id"})
            return agent.project, agent, agent.role
        if not said.get("project_id") or not said["to_role"].strip():
            raise BadInput("Say to_agent_id, or project_id and to_role.")
        project = self.parent_get(Project.objects.for_user(user), said["project_id"])
        roles = roles_of(Persona.objects.for_organization(project.organization_id))
        if (role := role_resolve(said["to_role"], roles)) is None:
            raise BadInput(f"There is no role {said['to_role'][:60]!r}.", details={"field": "to_role"})
        return project, None, role


router = SimpleRouter(trailing_slash=False)
router.register("messages", MessageViewSet, basename="message")
urlpatterns = router.urls
