"""A real worktree to act in, and a desk that writes down what it was asked."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agents.actions import REGISTRY, Action, ActionContext, Result, bind
from apps.agents.hub import Hub
from apps.agents.replies import Call
from apps.agents.results import Check, CheckReport, CheckResult, CommandResult
from apps.agents.workspace import Workspace
from apps.core.errors import LoomError

FILES = {
    "README.md": b"# Shop\n\nSells things.\n",
    "shop/__init__.py": b"",
    "shop/till.py": b"def total(prices):\n    return sum(prices)\n\n\n"
    b"def change(paid, price):\n    return paid - price\n\n\ndef vat(price):\n    return price * 0.19\n",
    "shop/data.json": b'{"vat": 0.19}\n',
    "logo.png": b"\x89PNG\r\n\0\0",
    "windows.txt": b"one\r\ntwo\r\nthree\r\n",
    "old/caf\xc3\xa9.txt".encode("latin-1").decode(): b"caf\xe9\n",
}


@dataclass
class NotingDesk:
    """Notes every request; refuses with `refusal` if one is set."""

    asked: list[tuple[str, Action, int | None]] = field(default_factory=list)
    refusal: LoomError | None = None

    def __getattr__(self, name: str) -> Callable[..., str]:
        def answer(action: Action, index: int | None = None) -> str:
            if self.refusal is not None:
                raise self.refusal
            self.asked.append((name, action, index))
            return f"{name} was done"

        return answer


@dataclass
class Room:
    """One session's world; `do` binds and runs an action as the loop does."""

    workspace: Workspace
    context: ActionContext
    desk: NotingDesk

    @property
    def root(self) -> Path:
        return self.workspace.root

    def do(self, name: str, **arguments: Any) -> Result:
        return bind(Call("1", name, arguments), set(REGISTRY)).run(self.context)

    def text(self, path: str) -> str:
        return (self.root / path).read_bytes().decode()


def make_room(place: Path) -> Room:
    hub = Hub(place / "hub.git")
    hub.create()
    commit = hub.commit_files("main", FILES, "Begin", "Ann <ann@example.org>")
    workspace = Workspace.open(hub, place / "worktree", commit)
    desk = NotingDesk()

    def run(command: str, *, timeout: float = 300) -> CommandResult:
        started = time.monotonic()
        timed_out, code, output = False, 0, b""
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=workspace.root,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            timed_out, code, output = True, -9, error.stdout or b""
        taken = int((time.monotonic() - started) * 1000)
        return CommandResult(command, code, output.decode(), taken, timed_out=timed_out)

    def check(kind: str) -> CheckReport:
        if kind == "build":
            return CheckReport(True, ())
        command = "python -m json.tool shop/data.json" if kind == "test" else "true"
        result = CheckResult(Check(kind, "json", command), run(command))
        return CheckReport(result.passed, (result,))

    context = ActionContext(
        root=workspace.root,
        base=commit,
        seen=set(),
        run=run,
        check=check,
        git=workspace.git,
        write=workspace.write,
        desk=desk,
    )
    return Room(workspace, context, desk)
