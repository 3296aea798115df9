"""What a tool's output says, in the same words for every tool."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_FAILURES = 50
ERROR_LENGTH = 400
TELLING = re.compile(r"\b(?:error(?! \d)|not found|no such file|cannot|fatal|undefined)\b", re.IGNORECASE)
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ROOT = re.compile(r"(?<![\w/])/work/")


@dataclass(frozen=True)
class Told:
    """Counts are None where the output does not tell them: of tests, and of what linters and compilers found.

    `place` is where `first_error` is, as file:line, where the tool tells that apart from the error.
    """

    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    failures: tuple[str, ...] = ()
    first_error: str = ""
    place: str = ""
    errors: int | None = None
    warnings: int | None = None

    @property
    def nothing_ran(self) -> bool:
        return self.passed == 0 and not self.failed and not self.skipped

    @property
    def error(self) -> str:
        """The first error with its place."""
        if not self.place or self.place in self.first_error:
            return self.first_error
        return f"{self.place}: {self.first_error}" if self.first_error else self.place


def plain(output: str) -> str:
    """Without colors; files named from the repository's root."""
    return ROOT.sub("", ANSI.sub("", output).replace("\r\n", "\n"))


def error_line(text: str) -> str:
    """The line that most looks like the reason of a failure, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = (line for line in lines if TELLING.search(line))
    return next(telling, lines[-1] if lines else "")[:ERROR_LENGTH]


def names_of(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in found))[:MOST_FAILURES]


_MISSING = re.compile(
    r"^(?:.*/)?(?:ba|da|z)?sh: (?:line )?(?:\d+: )?(?P<shell>[^\s:]+): (?:command )?not found$"
    r"|python[\d.]*: No module named (?P<module>[\w.]+)$"
    r"|^error: no such command: `(?P<cargo>[\w-]+)`"
    r"|^error: '(?P<rustup>[\w-]+)' is not installed for the toolchain"
    r"|^make(?:\[\d+\])?: (?P<make>[^\s:]+): No such file or directory$"
    r"|^(?:.*/)?env: ['‘]?(?P<env>[\w.-]+)['’]?: No such file or directory$"
    r"|exec: \"(?P<go>[\w.-]+)\": executable file not found in \$PATH"
    r"|^go: no such tool \"(?P<gotool>[\w-]+)\"",
    re.MULTILINE,
)  # fmt: skip


def missing_tool(output: str) -> str:
    """The program or module that was asked for and is not there; "" if that is not what happened."""
    if not (found := _MISSING.search(plain(output))):
        return ""
    name = next(value for value in found.groups() if value)
    return f"cargo {name}" if found["cargo"] else name
