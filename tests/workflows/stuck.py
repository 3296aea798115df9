"""Beads that cannot go on, and the person who helps them: for tests of what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from tests.workflows.studio import APPROVE, Answer, Studio, done, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]


def good(kind: str, title: str, messages: Messages) -> Answer:
    if kind == "review":
        return APPROVE
    return [write(f"{title.lower()}.txt", "x\n"), done()]


def helpless(kind: str, title: str, messages: Messages) -> Answer:
    return "I am not sure what to do."


def retry(decision: Decision) -> None:
    decision_decide(decision=decision, choice="retry", decider="ann")
