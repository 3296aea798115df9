"""What is kept of conversations besides their turns: what they were shortened to, and long outputs whole."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.core.tenancy import visible_to


class SessionRows(models.QuerySet[Any]):
    """Rows that hang off a session."""

    def for_user(self, user: Any) -> SessionRows:
        return visible_to(user, self, "session__project__organization_id")


class Compaction(models.Model):
    """What is told in place of a session's turns before `up_to`; the turns themselves stay."""

    session = models.ForeignKey("agents.Session", on_delete=models.CASCADE, related_name="compactions")
    up_to = models.PositiveIntegerField(help_text="The first turn that is still shown whole.")
    after_turn = models.PositiveIntegerField(help_text="The newest turn when this was made.")
    summary = models.TextField(help_text="What the model, or else the platform, wrote about the turns.")
    text = models.TextField(help_text="The whole of what follows the task in the prompt.")
    by_model = models.BooleanField(help_text="Off: the platform itself listed what was done.")
    call_id = models.BigIntegerField(null=True, blank=True, help_text="The ledger row that paid for it.")
    tokens_before = models.PositiveIntegerField()
    tokens_after = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SessionRows.as_manager()

    class Meta:
        ordering = ["session", "up_to"]
        constraints = [models.UniqueConstraint(fields=["session", "up_to"], name="compaction_once")]

    def __str__(self) -> str:
        return f"turns 1 to {self.up_to - 1} of session {self.session_id}"


class Output(models.Model):
    """The whole output of an action of which the model was shown only parts."""

    session = models.ForeignKey("agents.Session", on_delete=models.CASCADE, related_name="outputs")
    turn = models.PositiveIntegerField()
    number = models.PositiveIntegerField(help_text="The action's place in its turn, from 1.")
    text = models.TextField()

    objects = SessionRows.as_manager()

    class Meta:
        ordering = ["session", "turn", "number"]
        constraints = [models.UniqueConstraint(fields=["session", "turn", "number"], name="output_once")]

    def __str__(self) -> str:
        return f"output {self.turn}.{self.number} of session {self.session_id}"
