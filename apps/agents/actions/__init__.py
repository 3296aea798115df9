"""What agents can do: typed actions, their registry, and how a model is told of them."""

from __future__ import annotations

from apps.agents.actions.base import Action, ActionContext, Desk, GitView, Result
from apps.agents.actions.binding import ActionError, bind
from apps.agents.actions.finish import Criterion, Decide, Done, SubmitReview
from apps.agents.actions.git import GitCommit, GitDiff, GitLog, GitStatus
from apps.agents.actions.manual import manual_for, tools_for
from apps.agents.actions.memory import ReadOutput, SetPlan
from apps.agents.actions.navigate import FindDefinition, FindReferences
from apps.agents.actions.orchestrate import ORCHESTRATE, Orchestrate
from apps.agents.actions.plan import CreateBead, Delegate, UpdateBead
from apps.agents.actions.read import ReadFile, ReadTree, SearchText
from apps.agents.actions.registry import REGISTRY, resolve
from apps.agents.actions.run import BuildProject, RunCommand, RunLinter, RunTests
from apps.agents.actions.talk import AskQuestion, Option, Remember, RequestDecision, SendMessage
from apps.agents.actions.write import ApplyPatch, DeleteFile, EditFile, MoveFile, WriteFile

__all__ = [
    "ORCHESTRATE",
    "REGISTRY",
    "Action",
    "ActionContext",
    "ActionError",
    "ApplyPatch",
    "AskQuestion",
    "BuildProject",
    "CreateBead",
    "Criterion",
    "Decide",
    "Delegate",
    "DeleteFile",
    "Desk",
    "Done",
    "EditFile",
    "FindDefinition",
    "FindReferences",
    "GitCommit",
    "GitDiff",
    "GitLog",
    "GitStatus",
    "GitView",
    "MoveFile",
    "Option",
    "Orchestrate",
    "ReadFile",
    "ReadOutput",
    "ReadTree",
    "Remember",
    "RequestDecision",
    "Result",
    "RunCommand",
    "RunLinter",
    "RunTests",
    "SearchText",
    "SendMessage",
    "SetPlan",
    "SubmitReview",
    "UpdateBead",
    "WriteFile",
    "bind",
    "manual_for",
    "resolve",
    "tools_for",
]
