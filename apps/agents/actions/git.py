"""Actions that look at git. Committing is the platform's work, and it says so."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field

from apps.agents.actions.base import Action, ActionContext, Result, clip


class GitStatus(Action):
    name: ClassVar[str] = "git_status"
    purpose: ClassVar[str] = "List the files this work has changed."
    group: ClassVar[str] = "git"
    aliases: ClassVar[tuple[str, ...]] = ("status",)

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=clip(ctx.git.status()))


class GitDiff(Action):
    name: ClassVar[str] = "git_diff"
    purpose: ClassVar[str] = "Show what this work has changed, as a diff."
    group: ClassVar[str] = "git"
    aliases: ClassVar[tuple[str, ...]] = ("diff",)
    renamed: ClassVar[dict[str, str]] = {"path": "paths", "files": "paths", "file": "paths"}

    paths: list[str] = Field(default_factory=list, max_length=100)

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=clip(ctx.git.diff(self.paths)))


class GitLog(Action):
    name: ClassVar[str] = "git_log"
    purpose: ClassVar[str] = "Show the newest commits."
    group: ClassVar[str] = "git"
    aliases: ClassVar[tuple[str, ...]] = ("log", "git_bead_commits")
    renamed: ClassVar[dict[str, str]] = {"max_count": "limit", "count": "limit"}
    ignored: ClassVar[frozenset[str]] = frozenset({"branch"})

    limit: int = Field(default=20, ge=1, le=200)

    def act(self, ctx: ActionContext) -> Result:
        return Result(ok=True, text=clip(ctx.git.log(self.limit)))


class GitCommit(Action):
    """Nothing to do: the names of the original are understood and answered with the truth."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: ClassVar[str] = "git_commit"
    purpose: ClassVar[str] = "Not needed: the platform keeps every change."
    group: ClassVar[str] = "git"
    aliases: ClassVar[tuple[str, ...]] = (
        "commit", "push", "git_push", "git_add", "git_checkout", "git_fetch", "git_merge", "create_pr",
    )  # fmt: skip
    always: ClassVar[bool] = True

    def act(self, ctx: ActionContext) -> Result:
        return Result(
            ok=True,
            text="Nothing was committed or pushed by this, and nothing needs to be: the platform keeps every "
            "change after each turn and merges the branch itself. When the work is complete, use done.",
        )
