"""Actions that run something: a command, or the project's own checks."""

from __future__ import annotations

import shlex
from typing import Any, ClassVar

from pydantic import Field

from apps.agents.actions.base import LIMIT, Action, ActionContext, Result, clip
from apps.agents.results import CheckReport, CommandResult
from apps.commands.judging import ASK, DENY

WHOLE = 400_000  # characters that can be read again
KEPT = 4_000  # characters of output that stay with the turn, for people


class RunCommand(Action):
    name: ClassVar[str] = "run_command"
    purpose: ClassVar[str] = "Run a shell command at the repository's root, in the sandbox."
    group: ClassVar[str] = "run"
    aliases: ClassVar[tuple[str, ...]] = (
        "bash",
        "shell",
        "run",
        "execute",
        "execute_command",
        "terminal",
        "exec",
    )
    renamed: ClassVar[dict[str, str]] = {
        "cmd": "command",
        "script": "command",
        "input": "command",
        "timeout_seconds": "timeout",
    }

    command: str = Field(min_length=1, max_length=20_000)
    timeout: float = Field(default=300, gt=0, le=1800, description="Seconds.")

    @classmethod
    def adapted(cls, arguments: dict[str, Any], *, called: str) -> dict[str, Any]:
        adapted = super().adapted(arguments, called=called)
        command = adapted.get("command")
        if isinstance(command, list) and all(isinstance(part, str) for part in command):
            adapted["command"] = shlex.join(command)
        folder = next((adapted.pop(key) for key in ("working_dir", "cwd", "workdir") if key in adapted), None)
        if folder and str(folder) not in {".", "./"}:
            adapted["command"] = f"cd {shlex.quote(str(folder))} && {adapted.get('command', '')}"
        return adapted

    def act(self, ctx: ActionContext) -> Result:
        judgement = ctx.judge(self.command)
        if judgement.verdict == DENY:
            return Result(ok=False, text=judgement.refusal(), data={"command": self.command, "verdict": DENY})
        if judgement.verdict == ASK:
            said = ctx.desk.command_ask(judgement, ctx.index)
            return Result(ok=True, text=said, data={"command": self.command, "verdict": ASK}, ends="wait")
        done = ctx.run(self.command, timeout=self.timeout)
        return Result(
            ok=done.ok,
            text=command_text(done),
            data=command_data(done),
            changed=True,
            whole=command_text(done, WHOLE),
        )


def command_text(done: CommandResult, limit: int = LIMIT) -> str:
    """A finished command for the model: how it ended, then what it said."""
    seconds = done.duration_ms / 1000
    ended = f"Exit code {done.exit_code} after {seconds:.1f} s"
    if done.timed_out:
        ended = f"Stopped after {seconds:.0f} s, the time it had; give a longer timeout or do less at once"
    output = clip(done.output.strip("\n"), limit) or "(no output)"
    return f"{ended}{', output shortened' if done.truncated else ''}\n{output}"


def command_data(done: CommandResult) -> dict[str, Any]:
    return {
        "command": done.command,
        "exit_code": done.exit_code,
        "duration_ms": done.duration_ms,
        "timed_out": done.timed_out,
        "output": clip(done.output, KEPT),
    }


class _Check(Action):
    """Runs the project's checks of one kind, whatever tool they use."""

    kind: ClassVar[str]
    none_known: ClassVar[str]
    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "pattern", "test_pattern", "path", "paths", "files", "framework", "timeout_seconds", "timeout",
            "build_target", "build_command",
        }
    )  # fmt: skip

    def act(self, ctx: ActionContext) -> Result:
        report = ctx.check(self.kind)
        if not report.results:
            return Result(ok=False, text=self.none_known)
        return Result(
            ok=report.passed,
            text=report_text(report),
            data=report_data(report),
            changed=True,
            whole=report_text(report, WHOLE),
        )


def report_text(report: CheckReport, limit: int = LIMIT) -> str:
    """Verdicts first; the output of what failed after them."""
    parts = [report.summary()]
    red = [one for one in report.results if not one.passed]
    room = (limit - 4000) // max(1, len(red))
    parts.extend(f"$ {one.result.command}\n{clip(one.result.output.strip(), room)}" for one in red)
    return clip("\n\n".join(parts), limit)


def report_data(report: CheckReport) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "checks": [
            {
                "name": one.check.name,
                "passed": one.passed,
                "counts": {word.removesuffix("_count"): count for word, count in one.counts().items()},
                "failures": list(one.failures[:50]),
                "first_error": one.first_error[:1000],
                **command_data(one.result),
            }
            for one in report.results
        ],
    }


class RunTests(_Check):
    name: ClassVar[str] = "run_tests"
    purpose: ClassVar[str] = "Run the project's tests."
    group: ClassVar[str] = "run"
    aliases: ClassVar[tuple[str, ...]] = ("test", "tests")
    kind: ClassVar[str] = "test"
    none_known: ClassVar[str] = (
        "This project has no tests that are known how to run. Add some in the usual place of its language."
    )


class RunLinter(_Check):
    name: ClassVar[str] = "run_linter"
    purpose: ClassVar[str] = "Run the project's linters."
    group: ClassVar[str] = "run"
    aliases: ClassVar[tuple[str, ...]] = ("lint", "linter")
    kind: ClassVar[str] = "lint"
    none_known: ClassVar[str] = "This project has no linter configured; go on without."


class BuildProject(_Check):
    name: ClassVar[str] = "build_project"
    purpose: ClassVar[str] = "Build the project."
    group: ClassVar[str] = "run"
    aliases: ClassVar[tuple[str, ...]] = ("build", "compile")
    kind: ClassVar[str] = "build"
    none_known: ClassVar[str] = "This project has no build step; go on without."
