"""Taking the actions of one turn, in order, in the session's own worktree."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.agents.actions import Action, ActionContext, ActionError, Result, bind, resolve
from apps.agents.actions.base import LIMIT, clip
from apps.agents.checks import run_checks
from apps.agents.compaction import room_for
from apps.agents.desk import PlatformDesk
from apps.agents.models import Turn
from apps.agents.project_checks import worktree_checks
from apps.agents.replies import Call
from apps.agents.results import CheckReport
from apps.agents.seat import Seat, idle_turns
from apps.agents.secrets import project_masker, secrets_learn
from apps.commands.judging import Judgement
from apps.commands.services import command_judge
from apps.core.errors import Forbidden
from apps.core.masking import MASK
from apps.engine import leases
from apps.engine.flow import current

SHARE = 0.12  # of the model's room that one result may take
LEAST_SHOWN = 2_000


def result_chars(seat: Seat) -> int:
    """How many characters of a result the model is shown: less where its window is small."""
    room = int(room_for(seat) * SHARE * seat.talk.bytes_per_token)
    return max(LEAST_SHOWN, min(LIMIT, room)) if room else LIMIT


def only_looks(seat: Seat, turn: Turn) -> bool:
    """Whether the turn changes nothing and takes milliseconds: then it is kept together with its reply."""
    kinds = [resolve(asked["name"]) for asked in turn.actions]
    return seat.is_laid_out and bool(kinds) and all(kind is not None and kind.is_look for kind in kinds)


class Acting:
    """One turn's actions on their way."""

    def __init__(self, seat: Seat, turn: Turn, *, run_id: int) -> None:
        self.seat, self.turn = seat, turn
        self.results: list[dict[str, Any]] = []
        self.outcome: list[dict[str, Any]] = []
        self.outputs: dict[int, str] = {}  # whole texts of which only parts are shown
        self.shown = result_chars(seat)
        self.masked = project_masker(seat.session.project_id)
        self.commit = ""
        self.ends = ""
        self.desk = PlatformDesk(seat, turn=turn.number, run_id=run_id)
        self.desk.check = self._check
        self._context: ActionContext | None = None

    def run(self) -> None:
        self.masked = secrets_learn(self.seat.session.project_id, self.seat.session.base_commit)
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
        elif not self.ends:
            idle = idle_turns(self.seat.session.kind)
            told = self.seat.trail.nudge(self.turn.actions, self.results, self.outcome, idle=idle)
            self.results += [{"say": told}] if told else []

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
                run=self.seat.command,
                judge=self._judge,
                check=self._check,
                git=workspace.git,
                write=self._write,
                desk=self.desk,
            )
        self._context.index = index
        return self._context

    def _judge(self, line: str) -> Judgement:
        return command_judge(project=self.seat.session.project, line=line)

    def _write(self, path: Path, data: bytes) -> None:
        """What was shown masked must not come back as the file's content."""
        if MASK.encode() in data and not (path.is_file() and MASK.encode() in path.read_bytes()):
            raise Forbidden(
                f"The text holds {MASK}, which stands for a secret that you were not shown.",
                hint="Edit the lines around it, or let the program read the secret from its environment.",
            )
        self.seat.workspace().write(path, data)

    def _check(self, kind: str) -> CheckReport:
        root = self.seat.workspace().root
        configured = self.seat.session.project.checks
        checks = [check for check in worktree_checks(root, configured) if check.kind == kind]
        given = self.seat.dependencies()
        sandbox = replace(self.seat.sandbox(), extra=given.extra)
        return run_checks(checks, root, sandbox, note=given.note)

    def _keep(self, asked: dict[str, Any], result: Result, duration_ms: int, name: str = "") -> None:
        text = self._shown(result)
        self.results.append({"id": asked["id"], "name": asked["name"], "text": text})
        self.outcome.append(
            {
                "name": name or asked["name"],
                "ok": result.ok,
                "data": self.masked.value(result.data),
                "ms": duration_ms,
                "ends": result.ends,
            }
        )

    def _shown(self, result: Result) -> str:
        """The result as far as the model is shown it, and how to read the rest."""
        text = self.masked.text(result.text)
        whole = self.masked.text(result.whole).replace("\0", "") if len(result.whole) > len(text) else text
        if len(whole) <= min(len(text), self.shown) or "read_output" not in self.seat.session.actions:
            return text
        number = len(self.results) + 1
        self.outputs[number] = whole
        name = f"{self.turn.number}.{number}"
        return (
            f"{clip(text, self.shown)}\n"
            f'[all {len(whole):,} characters of it: read_output with output "{name}" and an offset]'
        )

    def note(self, *, handed_over: bool) -> None:
        """The turn is kept: what its session knows of it, and what is said next."""
        seat = self.seat
        seat.untold, seat.handed_over = False, handed_over
        seat.note_turn(self.turn, self.results, self.outcome, self.commit)
        seat.talk.add_results(self.turn.actions, self.results)

    def output(self) -> dict[str, Any]:
        return {
            "ends": self.ends,
            "claim_id": self.desk.claim_id,
            "decision_id": self.desk.waits_for,
            "commit": self.commit,
            **({"awaits": self.desk.awaits} if self.desk.awaits else {}),
            **({"asks": self.desk.asks} if self.desk.asks else {}),
        }
