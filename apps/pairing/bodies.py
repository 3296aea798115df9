"""What the API of conversations and pair programming takes and answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.agents.models import Session
from apps.core.api_inputs import Input
from apps.pairing.models import Exchange
from apps.pairing.services import spent_on


class PairInput(Input):
    agent_id = serializers.CharField(max_length=40)
    bead_id = serializers.CharField(max_length=60)
    message = serializers.CharField(max_length=100_000)
    stream = serializers.BooleanField(required=False, default=True, help_text="Else 202, and it goes on.")


class ConversationResetInput(Input):
    keep_system_message = serializers.BooleanField(required=False, default=True)


class ConversationClaimInput(Input):
    summary = serializers.CharField(required=False, allow_blank=True, default="", max_length=5_000)


class RejectInput(Input):
    paths = serializers.ListField(
        child=serializers.CharField(max_length=1024), required=False, default=list, max_length=1000,
        help_text="Files to bring back; without any, all that were changed.",
    )  # fmt: skip


class ExchangeBody(serializers.ModelSerializer[Exchange]):
    """One message and how its answer stands."""

    id = serializers.CharField()
    session_id = serializers.CharField()
    author = serializers.SerializerMethodField()
    message = serializers.CharField(source="text")

    class Meta:
        model = Exchange
        fields = [
            "id", "session_id", "author", "message", "answer", "model", "status", "error", "error_code",
            "created_at", "ended_at",
        ]  # fmt: skip

    def get_author(self, exchange: Exchange) -> str:
        return exchange.person.get_username() if exchange.person is not None else ""

    def to_representation(self, instance: Exchange) -> dict[str, Any]:
        return {**super().to_representation(instance), **spent_on(instance)}


class WholeExchangeBody(ExchangeBody):
    agent_name = serializers.SerializerMethodField()
    bead_id = serializers.SerializerMethodField()
    conversation_status = serializers.CharField(source="session.status")

    class Meta(ExchangeBody.Meta):
        fields = [*ExchangeBody.Meta.fields, "agent_name", "bead_id", "conversation_status"]

    def get_agent_name(self, exchange: Exchange) -> str:
        return exchange.session.agent.name if exchange.session is not None else ""

    def get_bead_id(self, exchange: Exchange) -> str:
        bead = exchange.session.bead if exchange.session is not None else None
        return bead.key if bead is not None else ""


class TurnMessageBody(serializers.Serializer[Any]):
    role = serializers.ChoiceField(["system", "user", "assistant", "tool"])
    content = serializers.CharField(allow_blank=True)
    timestamp = serializers.DateTimeField()
    token_count = serializers.IntegerField(required=False)


class AboutBody(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(Session.Kind.choices)
    status = serializers.ChoiceField(Session.Status.choices)
    reason = serializers.CharField(allow_blank=True)
    agent_id = serializers.CharField()
    agent_name = serializers.CharField()
    turn_count = serializers.IntegerField()
    cost_microusd = serializers.IntegerField()
    older = serializers.IntegerField(
        required=False, allow_null=True, help_text="Give it as `before` for earlier turns; not in lists."
    )


class EntityBody(serializers.Serializer[Any]):
    schema_version = serializers.CharField()


class ConversationBody(serializers.Serializer[Any]):
    session_id = serializers.CharField()
    bead_id = serializers.CharField(allow_blank=True)
    project_id = serializers.CharField()
    messages = TurnMessageBody(many=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    token_count = serializers.IntegerField()
    metadata = AboutBody()
    entity_metadata = EntityBody()


class ConversationPageBody(serializers.Serializer[Any]):
    project_id = serializers.CharField()
    conversations = ConversationBody(many=True)
    count = serializers.IntegerField(help_text="Of this page.")
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class ForgottenBody(serializers.Serializer[Any]):
    message = serializers.CharField()
    session_id = serializers.CharField()
    keep_system_message = serializers.BooleanField(required=False)


class ConversationClaimBody(serializers.Serializer[Any]):
    claim_id = serializers.CharField()
    bead_id = serializers.CharField()
    commit = serializers.CharField()
    status = serializers.ChoiceField(["claimed"])


class RejectedBody(serializers.Serializer[Any]):
    session_id = serializers.CharField()
    rejected = serializers.ListField(child=serializers.CharField(), help_text="Files.")
