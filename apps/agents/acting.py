"""Taking the actions of one turn, in order, in the session's own worktree."""

from __future__ import annotations

import time
from typing import Any

from apps.agents.actions import Action, ActionContext, ActionError, Result, bind
from apps.agents.checks import run_checks
from apps.agents.desk import PlatformDesk
from apps.agents.models import Turn
from apps.agents.project_checks import worktree_checks
from apps.agents.replies import Call
from apps.agents.results import CheckReport, CommandResult
from apps.agents.seat import Seat
from apps.engine import leases
from apps.engine.flow import current


class Acting:
    """One turn's actions on their way."""

    def __init__(self, seat: Seat, turn: Turn, *, run_id: int) -> None:
        self.seat, self.turn = seat, turn
        self.results: list[dict[str, Any]] = []
        self.outcome: list[dict[str, Any]] = []
        self.commit = ""
        self.ends = ""
        self.desk = PlatformDesk(seat, turn=turn.number, run_id=run_id)
        self.desk.check = self._check
        self._context: ActionContext | None = None

    def run(self) -> None:
        changed = False
        for index, asked in enumerate(self.turn.actions):
            if self.ends:
                self._keep(asked, Result(ok=False, text="Not done: an earlier action ended the turn."), 0)
                continue
            if index:
                leases.confirm(current().run)  # the action before may have taken long
            started = time.monotonic()
            name, result = self._take(asked, index)
            changed = changed or result.changed
            self.ends = result.ends if result.ok else ""
            self._keep(asked, result, int((time.monotonic() - started) * 1000), name)
        if changed or (self.ends == "claim" and self.seat.head != self.seat.session.head_commit):
            self.commit = self.seat.keep()
        if self.turn.error:
            self.results.append({"say": self.turn.error})
        elif self.seat.trail.repeats(self.turn.actions) and not self.ends:
            self.results.append(
                {"say": "You did exactly this before; the result does not change. Try another way."}
            )

    def _take(self, asked: dict[str, Any], index: int) -> tuple[str, Result]:
        """The action's own name, whatever the model called it, and what it gave."""
        allowed = set(self.seat.session.actions)
        try:
            action: Action = bind(Call(asked["id"], asked["name"], asked["arguments"]), allowed)
        except ActionError as error:
            return "", Result(ok=False, text=str(error))
        return action.name, action.run(self._context_for(index))

    def _context_for(self, index: int) -> ActionContext:
        if self._context is None:
            workspace = self.seat.workspace()
            self._context = ActionContext(
                root=workspace.root,
                base=self.seat.session.base_commit,
                seen=self.seat.seen,
                run=self._command,
                check=self._check,
                git=workspace.git,
                write=workspace.write,
                desk=self.desk,
            )
        self._context.index = index
        return self._context

    def _command(self, command: str | list[str], *, timeout: float = 300) -> CommandResult:
        return self.seat.sandbox().run(
            command, root=self.seat.workspace().root, timeout=timeout, network=self.seat.network()
        )

    def _check(self, kind: str) -> CheckReport:
        root = self.seat.workspace().root
        configured = self.seat.session.project.checks
        checks = [check for check in worktree_checks(root, configured) if check.kind == kind]
        return run_checks(checks, root, self.seat.sandbox())

    def _keep(self, asked: dict[str, Any], result: Result, duration_ms: int, name: str = "") -> None:
        self.results.append({"id": asked["id"], "name": asked["name"], "text": result.text})
        self.outcome.append(
            {
                "name": name or asked["name"],
                "ok": result.ok,
                "data": result.data,
                "ms": duration_ms,
                "ends": result.ends,
            }
        )

    def output(self) -> dict[str, Any]:
        return {
            "ends": self.ends,
            "claim_id": self.desk.claim_id,
            "decision_id": self.desk.waits_for,
            "commit": self.commit,
            **({"awaits": self.desk.awaits} if self.desk.awaits else {}),
        }
