"""Actions that keep an agent's own work in sight: its plan, and outputs it was shown in parts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apps.agents.actions.base import Action, ActionContext, Result
from apps.core.errors import BadInput

MOST_CHARS = 12_000
STEPS_CHARS = 300


class SetPlan(Action):
    name: ClassVar[str] = "set_plan"
    purpose: ClassVar[str] = "Keep your plan in sight for the whole session; begin finished steps with [x]."
    group: ClassVar[str] = "talk"
    aliases: ClassVar[tuple[str, ...]] = ("update_plan", "todo_write", "write_todos")
    renamed: ClassVar[dict[str, str]] = {"plan": "steps", "todos": "steps", "items": "steps"}

    steps: list[str] = Field(min_length=1, max_length=40)

    def act(self, ctx: ActionContext) -> Result:
        steps = [" ".join(step.split())[:STEPS_CHARS] for step in self.steps]
        return Result(ok=True, text="Your plan is kept.", data={"plan": steps})


class ReadOutput(Action):
    name: ClassVar[str] = "read_output"
    purpose: ClassVar[str] = "Read more of an earlier result that was shortened, by the name given there."
    group: ClassVar[str] = "read"
    renamed: ClassVar[dict[str, str]] = {"handle": "output", "name": "output", "start": "offset"}

    output: str = Field(pattern=r"^\s*\d+\.\d+\s*$", description='Such as "12.1".')
    offset: int = Field(default=0, ge=0, description="First character to show, from 0.")
    limit: int = Field(default=MOST_CHARS, ge=1, description="Characters.")

    def act(self, ctx: ActionContext) -> Result:
        whole = ctx.desk.output_read(self)
        if self.offset >= max(1, len(whole)):
            raise BadInput(f"Output {self.output} has only {len(whole):,} characters.")
        end = min(len(whole), self.offset + min(self.limit, MOST_CHARS))
        more = f"\n[go on with offset={end}]" if end < len(whole) else ""
        head = f"Output {self.output.strip()}, characters {self.offset} to {end} of {len(whole)}:"
        data = {"output": self.output, "from": self.offset, "to": end}
        return Result(ok=True, text=f"{head}\n{whole[self.offset : end]}{more}", data=data)
