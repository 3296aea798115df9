"""A project with a real repository and a model server that says what the test wants, all in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections

from apps.accounts.services import organization_ensure
from apps.agents.hub import Hub
from apps.agents.models import Session, Turn
from apps.agents.persona_services import personas_sync
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.decisions.models import Decision
from apps.engine import runner
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers import pool
from apps.providers.models import Provider
from apps.providers.scripted import ScriptedReply, _tool_call, _written
from tests.providers.script_server import ScriptServer

Step = tuple[str, dict[str, Any]]
Answer = Sequence[Step] | str
Model = Callable[[str, str, list[dict[str, Any]]], Answer]

CALC = "def add(a, b):\n    return a + b\n"
TEST = (
    "import unittest\n\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n"
    "    def test_it_adds(self):\n        self.assertEqual(add(1, 2), 3)\n"
)
APPROVE: Answer = [("submit_review", {"verdict": "approve", "comments": "Fine."})]


def done(summary: str = "Done.") -> Step:
    return ("done", {"summary": summary})


def write(path: str, content: str) -> Step:
    return ("write_file", {"path": path, "content": content})


def last(messages: list[dict[str, Any]]) -> str:
    return str(messages[-1]["content"])


def replies(messages: list[dict[str, Any]]) -> int:
    """How many replies the conversation holds already."""
    return sum(message["role"] == "assistant" for message in messages)


def judged(one: Step, messages: list[dict[str, Any]]) -> Step:
    """A friendly reviewer finds every criterion met, unless the test says which are."""
    name, arguments = one
    if name != "submit_review" or arguments["verdict"] != "approve" or "criteria" in arguments:
        return one
    asked = str(messages[1]["content"]).partition("## Acceptance criteria\n")[2].partition("\n\n")[0]
    met = [
        {"criterion": line.removeprefix("- "), "met": True} for line in asked.splitlines() if line[:2] == "- "
    ]
    return name, {**arguments, "criteria": met}


class Studio:
    """`model(kind, title, messages)` gives the actions of the next reply, or raw text."""

    def __init__(self, model: Model, *, tools: bool = True, max_sessions: int = 4) -> None:
        self.model = model
        self.server = ScriptServer(self._say, tools=tools)
        self.server.start()
        personas_sync()
        self.organization = organization_ensure(name="Studio")
        self.provider = Provider.objects.create(
            name="studio",
            kind=Provider.Kind.OPENAI,
            endpoint=self.server.url,
            model="script",
            price_in=1_000_000,
            price_out=4_000_000,
            context_window=100_000,
        )
        pool.forget()
        self.project = project_create(
            organization=self.organization, name="Calculator", prd="# Calculator\n- It must add.\n",
            max_sessions=max_sessions,
        )  # fmt: skip
        self.hub = Hub(hub_path(self.project.pk))
        self.hub.create("main")
        self.hub.commit_files(
            "main",
            {
                "calc/__init__.py": CALC.encode(),
                "tests/__init__.py": b"",
                "tests/test_calc.py": TEST.encode(),
            },
            "Start",
            "Loom <loom@loom.invalid>",
        )

    def close(self) -> None:
        self.server.stop()

    def _say(self, messages: list[dict[str, Any]], tools_offered: bool) -> ScriptedReply:
        head = str(messages[1]["content"]).splitlines()
        kind, title = head[0].removeprefix("# Task: "), head[1].removeprefix("Title: ")
        try:
            answer = self.model(kind, title, messages)
        finally:
            connections.close_all()  # of a thread of the server, which nobody else would close
        if isinstance(answer, str):
            return ScriptedReply(answer)
        answer = [judged(one, messages) for one in answer] if kind == "review" else answer
        if tools_offered:
            count = replies(messages)
            calls = [_tool_call(f"call_{count}_{n}", name, args) for n, (name, args) in enumerate(answer)]
            return ScriptedReply("", tuple(calls), finish_reason="tool_calls")
        return ScriptedReply(json.dumps({"actions": [_written(name, args) for name, args in answer]}))

    def bead(self, title: str = "Subtract", **fields: Any) -> Bead:
        fields = {"role": "engineering-manager", "acceptance": ["It works."], **fields}
        return bead_create(project=self.project, title=title, **fields)

    def run(self) -> None:
        """Whatever is due, until nothing is."""
        runner.drain()

    def refreshed(self, bead: Bead) -> Bead:
        return Bead.objects.get(pk=bead.pk)

    def main_file(self, path: str) -> str:
        return self.hub.read(self.hub.head("main") or "", path).decode()

    def open_question(self) -> Decision:
        return Decision.objects.open().get(project=self.project)

    def sessions(self, kind: str) -> list[Session]:
        return list(Session.objects.filter(project=self.project, kind=kind).order_by("id"))

    def turns(self, session: Session) -> list[Turn]:
        return list(session.turns.order_by("number"))

    def project_row(self) -> Project:
        return Project.objects.get(pk=self.project.pk)
