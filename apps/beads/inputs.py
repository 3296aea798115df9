"""What requests about beads may hold."""

from __future__ import annotations

from rest_framework import serializers

from apps.beads.models import Bead, Comment
from apps.core.api_inputs import IdField, Input, TextsField, WordsField


class BeadFields(Input):
    """What a bead says, as far as it is given."""

    type = serializers.ChoiceField(Bead.Type.choices, required=False)
    title = serializers.CharField(max_length=500, required=False)
    description = serializers.CharField(max_length=200_000, allow_blank=True, required=False)
    priority = serializers.IntegerField(min_value=0, max_value=4, required=False)
    project_id = IdField(required=False)
    assigned_to = serializers.CharField(max_length=120, allow_blank=True, required=False)
    role = serializers.CharField(max_length=60, allow_blank=True, required=False)
    parent = serializers.CharField(max_length=60, allow_blank=True, allow_null=True, required=False)  # type: ignore[assignment]
    tags = WordsField(required=False)
    acceptance = WordsField(child=serializers.CharField(max_length=5000), required=False)
    paths = WordsField(required=False, help_text="Files and folders it will probably change.")
    context = TextsField(required=False)  # type: ignore[assignment]
    blocked_by = WordsField(required=False)
    blocks = WordsField(required=False)
    related_to = WordsField(required=False)
    due_date = serializers.DateTimeField(required=False, allow_null=True)
    estimated_time = serializers.IntegerField(
        min_value=0, max_value=10_000_000, required=False, allow_null=True, help_text="Minutes."
    )


class BeadInput(BeadFields):
    title = serializers.CharField(max_length=500)
    project_id = IdField()
    requirements = WordsField(required=False, help_text="Keys of statements of the PRD.")


class BeadPatch(BeadFields):
    children = WordsField(required=False, help_text="Beads to put below this one.")
    status = serializers.ChoiceField(Bead.Status.choices, required=False)
    reason = serializers.CharField(max_length=20_000, allow_blank=True, required=False)


class ReasonInput(Input):
    reason = serializers.CharField(max_length=20_000, allow_blank=True, default="")


class CommentInput(Input):
    content = serializers.CharField(max_length=20_000)
    parent_id = IdField(required=False, allow_null=True)


class SpotInput(CommentInput):
    """`path` and `line` put it to a line of the change; `claim` says whose, else the newest one's."""

    path = serializers.CharField(max_length=500, required=False)
    line = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False)
    side = serializers.ChoiceField(Comment.Side.choices, default=Comment.Side.NEW)
    claim = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
