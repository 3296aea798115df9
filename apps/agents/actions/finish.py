"""Actions that end a session: a claim, a review, a decision."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from apps.agents.actions.base import Action, ActionContext, Result

_VERDICTS = {
    "approved": "approve", "accept": "approve", "accepted": "approve", "lgtm": "approve", "pass": "approve",
    "rejected": "reject", "request_changes": "reject", "changes_requested": "reject", "deny": "reject",
}  # fmt: skip


class Done(Action):
    name: ClassVar[str] = "done"
    purpose: ClassVar[str] = "Say that the work is complete; the platform checks it then."
    group: ClassVar[str] = "finish"
    aliases: ClassVar[tuple[str, ...]] = (
        "close_bead",
        "finish",
        "complete",
        "task_complete",
        "attempt_completion",
    )
    renamed: ClassVar[dict[str, str]] = {"reason": "summary", "result": "summary", "message": "summary"}
    ignored: ClassVar[frozenset[str]] = frozenset({"bead_id"})

    summary: str = Field(min_length=1, description="What was done and how it was checked.")
    commands: list[str] = Field(default_factory=list, description="Commands that show it works.")

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=ctx.desk.work_claim(self), data={"summary": self.summary}, ends="claim")


class Criterion(BaseModel):
    """A reviewer's word on one acceptance criterion."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    criterion: str = Field(min_length=1)
    met: bool
    note: str | None = None


def _verdict(value: Any) -> Any:
    return _VERDICTS.get(value.strip().lower(), value.strip().lower()) if isinstance(value, str) else value


class SubmitReview(Action):
    name: ClassVar[str] = "submit_review"
    purpose: ClassVar[str] = "Approve or reject the change, criterion by criterion."
    group: ClassVar[str] = "finish"
    aliases: ClassVar[tuple[str, ...]] = ("approve_bead", "reject_bead", "review")
    renamed: ClassVar[dict[str, str]] = {
        "comment": "comments",
        "reason": "comments",
        "summary": "comments",
        "decision": "verdict",
        "acceptance": "criteria",
    }
    ignored: ClassVar[frozenset[str]] = frozenset({"bead_id"})
    example: ClassVar[str] = (
        '{"type": "submit_review", "verdict": "reject", "comments": "handle negative amounts in parse()",'
        ' "criteria": [{"criterion": "Negative amounts are refused", "met": false, "note": "-1 gives 1"}]}'
    )

    verdict: Annotated[
        Literal["approve", "reject"],
        BeforeValidator(_verdict, json_schema_input_type=Literal["approve", "reject"]),
    ]
    comments: str = Field(default="", description="What to change and where, when you reject.")
    criteria: list[Criterion] = Field(default_factory=list)

    @classmethod
    def adapted(cls, arguments: dict[str, Any], *, called: str) -> dict[str, Any]:
        adapted = super().adapted(arguments, called=called)
        if called in {"approve_bead", "reject_bead"}:
            adapted.setdefault("verdict", called.removesuffix("_bead"))
        return adapted

    @model_validator(mode="after")
    def _holds_together(self) -> SubmitReview:
        if self.verdict == "reject" and not self.comments.strip():
            raise ValueError("a rejection needs comments that say what to change")
        return self

    def act(self, ctx: ActionContext) -> Result:
        said = ctx.desk.review_submit(self)
        return Result(ok=True, text=said, data={"verdict": self.verdict}, ends="review")


class Decide(Action):
    name: ClassVar[str] = "decide"
    purpose: ClassVar[str] = "Answer the decision you were asked for."
    group: ClassVar[str] = "finish"
    aliases: ClassVar[tuple[str, ...]] = ("make_decision",)
    renamed: ClassVar[dict[str, str]] = {
        "option": "choice",
        "decision": "choice",
        "key": "choice",
        "answer": "choice",
        "reason": "rationale",
        "why": "rationale",
        "explanation": "rationale",
    }

    choice: str = Field(min_length=1, description="The key of the option.")
    rationale: str = Field(min_length=1)
    confidence: float | None = Field(default=None, ge=0, le=1, description="How sure you are of a vote.")

    def act(self, ctx: ActionContext) -> Result:
        return Result(
            ok=True, text=ctx.desk.decision_decide(self), data={"choice": self.choice}, ends="decide"
        )
