"""What commands and checks gave: plain frozen records shared by the sandbox, the checks and the actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COUNTED = ("passed", "failed", "skipped", "error", "warning")


def counts_text(counts: Mapping[str, Any]) -> str:
    """Counts of a check in words: "12 passed, 1 skipped", "1 error, 2 warnings"."""
    told = [(counts.get(f"{word}_count") or 0, word) for word in COUNTED]
    plural = {"error": "errors", "warning": "warnings"}
    return ", ".join(
        f"{count} {plural.get(word, word) if count > 1 else word}" for count, word in told if count
    )


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

    Of tests there are passed, failed and skipped ones, of linters and compilers errors and warnings.

    A check with a `first_error` has not passed, whatever its exit code: "no test ran" is one.
    """

    check: Check
    result: CommandResult
    passed_count: int | None = None
    failed_count: int | None = None
    skipped_count: int | None = None
    failures: tuple[str, ...] = ()
    first_error: str = ""
    error_count: int | None = None
    warning_count: int | None = None

    @property
    def passed(self) -> bool:
        return self.result.ok and not self.first_error

    def counts(self) -> dict[str, int | None]:
        return {f"{word}_count": getattr(self, f"{word}_count") for word in COUNTED}

    def summary(self) -> str:
        """One line: "pytest: passed (12 passed, 1 skipped) in 0.8 s"."""
        told = counts_text(self.counts())
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
