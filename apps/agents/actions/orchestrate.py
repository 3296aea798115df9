"""The action that an instruction of the orchestration language becomes."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from apps.agents.actions.base import Action, ActionContext, Result

ORCHESTRATE = "orchestrate"


class Orchestrate(Action):
    """Open to every session and listed in none: what an agent may instruct depends on its persona."""

    name: ClassVar[str] = ORCHESTRATE
    purpose: ClassVar[str] = "Direct the platform: one instruction of the orchestration language."
    group: ClassVar[str] = "talk"
    renamed: ClassVar[dict[str, str]] = {"kind": "instruction", "parameters": "options"}
    example: ClassVar[str] = (
        '{"type": "orchestrate", "instruction": "QUERY", "target": "42", "options": {"TYPE": "history"}}'
    )
    always: ClassVar[bool] = True

    instruction: str = Field(min_length=1)
    target: str = ""
    options: dict[str, Any] = Field(default_factory=dict)

    def act(self, ctx: ActionContext) -> Result:
        said = ctx.desk.orchestrate(self, ctx.index)
        return Result(ok=True, text=said, data={"instruction": self.instruction, "target": self.target})
