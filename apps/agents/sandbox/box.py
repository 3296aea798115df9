"""The sandbox as the rest of the platform knows it: run a command, get its result."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.agents.git import disk
from apps.agents.results import CommandResult
from apps.agents.sandbox.owner import open_up, own
from apps.agents.sandbox.plan import Extra, Limits, Plan, bare, boxed
from apps.agents.sandbox.process import Outcome, execute
from apps.agents.sandbox.status import drop_to, sandbox_status
from apps.core.errors import BadInput, Unavailable
from apps.core.masking import Masker, masker

TIMED_OUT = 124  # as timeout(1) has it


@dataclass(frozen=True)
class Sandbox:
    """Commands of one session. `session` picks the unprivileged user when the platform is root.

    `mask` takes secrets out of what they print; without one, those of the installation are.
    """

    session: int = 0
    limits: Limits = field(default_factory=Limits)
    mask: Masker | None = None
    extra: Extra = field(default_factory=Extra)

    @property
    def uid(self) -> int | None:
        """Who owns files that commands may change; None: the platform's own user."""
        return drop_to(self.session)

    def run(
        self,
        command: str | Sequence[str],
        *,
        root: Path,
        timeout: float = 300,
        network: bool = False,
        read_only: bool = False,
        extra: Extra | None = None,
    ) -> CommandResult:
        """Run `command` (a string for a shell, or a program and its arguments) with `root` as its directory.

        Only `root` (unless `read_only`) and memory-backed scratch space can be written; nothing a command
        started outlives it. A command that fails is a result; Unavailable says that none could be started.
        """
        status = sandbox_status()
        if not status.available:
            raise Unavailable(f"Commands cannot run: {status.reason}", hint=status.fix)
        if not root.is_dir():
            raise BadInput(f"{root} is not a directory.")
        extra = extra or self.extra
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        if status.program is None:
            plan = bare(words, root=root, uid=self.uid, limits=self.limits, seconds=timeout, extra=extra)
        else:
            plan = boxed(
                words, bwrap=status.program, root=root, uid=self.uid, limits=self.limits, seconds=timeout,
                network=network, read_only=read_only, extra=extra,
            )  # fmt: skip
        self._hand_over(root)
        shown = command if isinstance(command, str) else shlex.join(command)
        return self._result(shown, self._execute(plan, timeout), status.kind)

    def _hand_over(self, root: Path) -> None:
        """A directory that the platform made as root, or that a command closed, would not be writable."""
        uid = self.uid
        with disk(root):
            open_up(root)
        if uid is not None and root.stat().st_uid != uid:
            with disk(root):
                own(root, uid)

    def _execute(self, plan: Plan, timeout: float) -> Outcome:
        with disk(Path("/dev/null")):
            outcome = execute(plan, seconds=timeout, limits=self.limits, margin=self._masker.longest)
        if not outcome.started:
            said = outcome.kept.text().strip().splitlines()
            raise Unavailable(f"The sandbox did not start: {said[-1] if said else 'no message'}")
        return outcome

    @property
    def _masker(self) -> Masker:
        return self.mask if self.mask is not None else masker()

    def _result(self, command: str, outcome: Outcome, kind: str) -> CommandResult:
        text = outcome.kept.text(self._masker.text)
        if outcome.flooded:
            text += f"\n[stopped after writing more than {self.limits.flood} bytes]\n"
        if outcome.stopped:
            text += f"\n[stopped for {outcome.stopped}]\n"
        return CommandResult(
            command=self._masker.text(command),
            exit_code=TIMED_OUT if outcome.timed_out else outcome.exit_code,
            output=text,
            duration_ms=outcome.duration_ms,
            timed_out=outcome.timed_out,
            truncated=outcome.kept.truncated,
            sandbox=kind,
        )
