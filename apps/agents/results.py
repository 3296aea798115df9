"""What commands and checks gave: plain frozen records shared by the sandbox, the checks and the actions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CommandResult:
    """One finished command. `output` is stdout and stderr in the order they came, cut if `truncated`."""

    command: str
    exit_code: int
    output: str
    duration_ms: int
    timed_out: bool = False
    truncated: bool = False
    sandbox: str = ""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True)
class Check:
    """A command by which a project proves itself; `kind` is "test", "lint" or "build"."""

    kind: str
    name: str
    command: str


@dataclass(frozen=True)
class CheckResult:
    """A check that ran. Counts are None where the tool's output does not tell them.

    A check with a `first_error` has not passed, whatever its exit code: "no test ran" is one.
    """

    check: Check
    result: CommandResult
    passed_count: int | None = None
    failed_count: int | None = None
    skipped_count: int | None = None
    failures: tuple[str, ...] = ()
    first_error: str = ""

    @property
    def passed(self) -> bool:
        return self.result.ok and not self.first_error

    def summary(self) -> str:
        """One line: "pytest: passed (12 passed, 1 skipped) in 0.8 s"."""
        counts = (
            (self.passed_count, "passed"),
            (self.failed_count, "failed"),
            (self.skipped_count, "skipped"),
        )
        told = ", ".join(f"{count} {word}" for count, word in counts if count)
        if self.passed:
            verdict = "passed"
        else:
            verdict = "timed out" if self.result.timed_out else f"failed (exit code {self.result.exit_code})"
        return (
            f"{self.check.name}: {verdict}"
            + (f" ({told})" if told else "")
            + f" in {self.result.duration_ms / 1000:.1f} s"
        )


@dataclass(frozen=True)
class CheckReport:
    """All checks of one kind (or of a whole verification) together."""

    passed: bool
    results: tuple[CheckResult, ...]
    note: str = ""

    def summary(self) -> str:
        """A few lines for people and models: verdict per check, failing names, first error."""
        if not self.results:
            return self.note or "No such checks are known for this project."
        lines = [self.note] if self.note else []
        for result in self.results:
            lines.append(result.summary())
            if result.failures:
                lines.append("  failing: " + ", ".join(result.failures[:20]))
            if result.first_error:
                lines.append("  first error: " + result.first_error)
        return "\n".join(lines)
