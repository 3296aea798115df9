"""Actions that shape the work: new beads, changed beads, work for another role."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from apps.agents.actions.base import Action, ActionContext, Result

Title = Annotated[str, Field(min_length=3, max_length=300)]
Type = Literal["task", "bug", "feature", "story", "epic", "chore"]
TYPE_NAMES = {"bead_type": "type", "issue_type": "type", "kind": "type"}
LINKS = {
    "depends_on": "blocked_by",
    "dependencies": "blocked_by",
    "acceptance_criteria": "acceptance",
    "requirement_ids": "requirements",
    "parent_bead_id": "parent",
    "bead_id": "bead",
    "id": "bead",
    "body": "description",
}
_WORDS = {
    "critical": 0,
    "urgent": 0,
    "highest": 0,
    "high": 1,
    "medium": 2,
    "normal": 2,
    "low": 3,
    "backlog": 4,
}


def _priority(value: Any) -> Any:
    """P1, "high" and 1 say the same."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    short = re.fullmatch(r"p?([0-4])", text)
    return int(short[1]) if short else _WORDS.get(text, value)


Priority = Annotated[
    int,
    BeforeValidator(_priority, json_schema_input_type=int),
    Field(ge=0, le=4, description="0 critical to 4 backlog."),
]


class CreateBead(Action):
    name: ClassVar[str] = "create_bead"
    purpose: ClassVar[str] = (
        "Create a bead (a unit of work); parent and blocked_by name beads by id, ref or title."
    )
    group: ClassVar[str] = "plan"
    aliases: ClassVar[tuple[str, ...]] = ("create_task", "create_issue", "new_bead")
    renamed: ClassVar[dict[str, str]] = {**TYPE_NAMES, **LINKS}
    ignored: ClassVar[frozenset[str]] = frozenset({"project_id", "tags", "labels", "context"})
    example: ClassVar[str] = (
        '{"type": "create_bead", "bead_type": "story", "title": "Parse dates", "role": "qa-engineer",'
        ' "description": "...", "acceptance": ["2024-02-30 raises ValueError"], "requirements": ["R3"]}'
    )

    title: Title
    type: Type = "task"
    priority: Priority = 2
    role: str = Field(default="", description="Who works on it; needed for all but epics.")
    parent: str = ""
    blocked_by: list[str] = Field(default_factory=list)
    description: str = ""
    acceptance: list[str] = Field(default_factory=list, description="Criteria that can be checked.")
    requirements: list[str] = Field(default_factory=list, description="Ids of the requirements it covers.")
    ref: str = Field(default="", description="A short name of yours for parent and blocked_by.")
    paths: list[str] = Field(default_factory=list, description="Files it will probably change.")

    @classmethod
    def adapted(cls, arguments: dict[str, Any], *, called: str) -> dict[str, Any]:
        if isinstance(nested := arguments.get("bead"), dict):  # the form of the original
            arguments = {**nested, **{key: value for key, value in arguments.items() if key != "bead"}}
        return super().adapted(arguments, called=called)

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=ctx.desk.bead_create(self, ctx.index), data={"title": self.title})


class UpdateBead(Action):
    """Only the fields that were given (`model_fields_set`) are to change."""

    name: ClassVar[str] = "update_bead"
    purpose: ClassVar[str] = "Change a bead of the plan, or drop it; give only what changes."
    group: ClassVar[str] = "plan"
    aliases: ClassVar[tuple[str, ...]] = ("edit_bead",)
    renamed: ClassVar[dict[str, str]] = {**TYPE_NAMES, **LINKS}

    bead: str = Field(min_length=1, description="Its id, ref or title.")
    title: Title | None = None
    type: Type | None = None
    priority: Priority | None = None
    role: str | None = None
    parent: str | None = None
    blocked_by: list[str] = Field(default_factory=list)
    description: str | None = None
    acceptance: list[str] = Field(default_factory=list)
    requirements: list[str] = Field(default_factory=list)
    drop: bool = False

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=ctx.desk.bead_update(self), data={"bead": self.bead})


class Delegate(Action):
    name: ClassVar[str] = "delegate"
    purpose: ClassVar[str] = "Hand a separate piece of work to another role, and wait for it if you must."
    group: ClassVar[str] = "plan"
    aliases: ClassVar[tuple[str, ...]] = ("delegate_task",)
    renamed: ClassVar[dict[str, str]] = {
        **LINKS,
        "delegate_to_role": "role",
        "to_role": "role",
        "task_title": "title",
        "task_description": "description",
    }
    ignored: ClassVar[frozenset[str]] = frozenset({"task_priority", "priority"})

    role: str = Field(min_length=1)
    title: Title
    description: str
    acceptance: list[str] = Field(default_factory=list)
    wait: bool = Field(default=False, description="You go on when that work is merged.")

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=ctx.desk.bead_delegate(self, ctx.index), data={"title": self.title})
