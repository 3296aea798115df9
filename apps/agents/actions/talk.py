"""Actions that speak to people and to other agents."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from apps.agents.actions.base import Action, ActionContext, Result


class Option(BaseModel):
    """One way a decision can go."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    key: str = Field(min_length=1, max_length=40)
    label: str
    detail: str | None = None

    @model_validator(mode="before")
    @classmethod
    def from_text(cls, value: Any) -> Any:
        """Models give plain texts, or leave out one of key and label."""
        if isinstance(value, str):
            value = {"label": value}
        if not isinstance(value, dict):
            return value
        label = value.get("label") or value.get("text") or value.get("title") or value.get("key")
        key = value.get("key") or value.get("id") or _slug(str(label or ""))
        return {**value, "key": key, "label": label} if label else value


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")[:40]


class AskQuestion(Action):
    name: ClassVar[str] = "ask_question"
    purpose: ClassVar[str] = "Ask a person; the work waits for the answer."
    group: ClassVar[str] = "talk"
    aliases: ClassVar[tuple[str, ...]] = ("ask_followup", "ask_user", "ask", "ask_followup_question")
    renamed: ClassVar[dict[str, str]] = {"text": "question", "choices": "options"}

    question: str = Field(min_length=3)
    options: list[str] = Field(default_factory=list)

    def act(self, ctx: ActionContext) -> Result:
        said = ctx.desk.question_ask(self, ctx.index)
        return Result(ok=True, text=said, data={"question": self.question}, ends="wait")


class RequestDecision(Action):
    name: ClassVar[str] = "request_decision"
    purpose: ClassVar[str] = "Ask whoever may decide to choose between options; the work waits for it."
    group: ClassVar[str] = "talk"
    aliases: ClassVar[tuple[str, ...]] = ("escalate_ceo", "escalate")
    renamed: ClassVar[dict[str, str]] = {"reason": "question", "choices": "options"}
    ignored: ClassVar[frozenset[str]] = frozenset({"bead_id", "returned_to"})
    example: ClassVar[str] = (
        '{"type": "request_decision", "question": "Which date format?", "recommendation": "iso",'
        ' "options": [{"key": "iso", "label": "ISO"}, {"key": "us", "label": "US"}]}'
    )

    question: str = Field(min_length=3)
    options: list[Option] = Field(min_length=2, max_length=10)
    recommendation: str | None = Field(default=None, description="The key you would choose.")
    context: str | None = None
    needs_person: bool = Field(default=False, description="Nobody but a person may decide this.")

    @classmethod
    def adapted(cls, arguments: dict[str, Any], *, called: str) -> dict[str, Any]:
        adapted = super().adapted(arguments, called=called)
        if called.startswith("escalate"):
            # The original's escalation went to a person with only a reason, for approval or denial.
            adapted["needs_person"] = True
            adapted["options"] = adapted.get("options") or ["Approve", "Deny"]
        return adapted

    @model_validator(mode="after")
    def _keys_hold(self) -> RequestDecision:
        keys = [option.key for option in self.options]
        if len(set(keys)) < len(keys):
            raise ValueError("two options have the same key")
        if self.recommendation and self.recommendation not in keys:
            raise ValueError(f"recommendation must be one of the keys {', '.join(keys)}")
        return self

    def act(self, ctx: ActionContext) -> Result:
        said = ctx.desk.decision_request(self, ctx.index)
        return Result(ok=True, text=said, data={"question": self.question}, ends="wait")


class SendMessage(Action):
    name: ClassVar[str] = "send_message"
    purpose: ClassVar[str] = "Tell a role or a colleague something; it stands in their next prompt."
    group: ClassVar[str] = "talk"
    aliases: ClassVar[tuple[str, ...]] = ("send_agent_message",)
    renamed: ClassVar[dict[str, str]] = {
        "to_agent_role": "to_role",
        "to_agent_id": "to_role",
        "to_agent": "to_role",
        "to": "to_role",
        "role": "to_role",
        "message_subject": "subject",
        "message_body": "body",
        "message": "body",
    }
    ignored: ClassVar[frozenset[str]] = frozenset({"message_type", "message_payload"})

    to_role: str = Field(min_length=1, description="A role, or the name of a colleague.")
    subject: str = Field(min_length=1, max_length=200)
    body: str

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=ctx.desk.message_send(self), data={"to_role": self.to_role})


class Remember(Action):
    name: ClassVar[str] = "remember"
    purpose: ClassVar[str] = "Keep a lesson for later sessions of this project."
    group: ClassVar[str] = "talk"
    aliases: ClassVar[tuple[str, ...]] = ("note", "add_lesson")
    renamed: ClassVar[dict[str, str]] = {"lesson": "note", "text": "note", "content": "note"}

    note: str = Field(min_length=3, max_length=2000)

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=ctx.desk.note_remember(self))
