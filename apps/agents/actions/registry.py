"""All actions by name."""

from __future__ import annotations

import re

from apps.agents.actions.base import Action
from apps.agents.actions.finish import Decide, Done, SubmitReview
from apps.agents.actions.git import GitCommit, GitDiff, GitLog, GitStatus
from apps.agents.actions.memory import ReadOutput, SetPlan
from apps.agents.actions.navigate import FindDefinition, FindReferences
from apps.agents.actions.orchestrate import Orchestrate
from apps.agents.actions.plan import CreateBead, Delegate, UpdateBead
from apps.agents.actions.read import ReadFile, ReadTree, SearchText
from apps.agents.actions.run import BuildProject, RunCommand, RunLinter, RunTests
from apps.agents.actions.talk import AskQuestion, Remember, RequestDecision, SendMessage
from apps.agents.actions.write import ApplyPatch, DeleteFile, EditFile, MoveFile, WriteFile

_ALL: tuple[type[Action], ...] = (
    ReadFile, ReadTree, SearchText, FindDefinition, FindReferences, ReadOutput,
    WriteFile, EditFile, ApplyPatch, MoveFile, DeleteFile,
    RunCommand, RunTests, RunLinter, BuildProject,
    GitStatus, GitDiff, GitLog, GitCommit,
    CreateBead, UpdateBead, Delegate,
    SetPlan, AskQuestion, RequestDecision, SendMessage, Remember,
    Orchestrate,
    Done, SubmitReview, Decide,
)  # fmt: skip

REGISTRY: dict[str, type[Action]] = {action.name: action for action in _ALL}
_ALIASES: dict[str, type[Action]] = {alias: action for action in _ALL for alias in action.aliases}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def plain_name(name: str) -> str:
    """One spelling for "ReadFile", "read-file", "functions.read_file" and "read_file"."""
    last = name.strip().removeprefix("functions.").removeprefix("tools.")
    return _CAMEL.sub("_", last).replace("-", "_").replace(" ", "_").lower()


def resolve(name: str) -> type[Action] | None:
    """The action of that name, also by a name that the original or other tools use."""
    plain = plain_name(name)
    return REGISTRY.get(plain) or _ALIASES.get(plain)
