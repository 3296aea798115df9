"""What test runners say in their output: counts, failing names and the first error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MOST_FAILURES = 50
ERROR_LENGTH = 400
GO = re.compile(
    r"^(?:ok\s+\S+\s+(?:[\d.]+s|\(cached\))|FAIL\s+\S+|\?\s+\S+\s+\[no test files\])", re.MULTILINE
)
TELLING = re.compile(r"\b(?:error(?! \d)|not found|no such file|cannot|fatal|undefined)\b", re.IGNORECASE)
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Told:
    """Counts are None where the output does not tell them."""

    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    failures: tuple[str, ...] = ()
    first_error: str = ""

    @property
    def nothing_ran(self) -> bool:
        return self.passed == 0 and not self.failed and not self.skipped


def read_log(output: str, *, truncated: bool = False) -> Told:
    """What the first runner whose summary is recognized tells; of compilers and others an error line."""
    text = ANSI.sub("", output).replace("\r\n", "\n")
    for reader in READERS:
        if told := reader(text, truncated):
            return told
    return Told(first_error=error_line(text))


def _unittest(text: str, _truncated: bool) -> Told | None:
    if not (runs := list(re.finditer(r"^Ran (\d+) tests? in ", text, re.MULTILINE))):
        return None
    ran = runs[-1]  # a test may print anything before
    verdict = re.search(r"^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", text[ran.end() :], re.MULTILINE)
    said = dict(re.findall(r"([a-z ]+)=(\d+)", (verdict and verdict[1]) or ""))
    count = {name.strip(): int(number) for name, number in said.items()}
    failed = count.get("failures", 0) + count.get("errors", 0) + count.get("unexpected successes", 0)
    skipped = count.get("skipped", 0)
    names = re.findall(r"^(?:ERROR|FAIL|UNEXPECTED SUCCESS): (.+)$", text, re.MULTILINE)
    passed = max(int(ran[1]) - failed - skipped, 0)
    return Told(
        passed, failed, skipped, _names(map(_unittest_name, names)), _traceback_end(text) if failed else ""
    )


def _unittest_name(said: str) -> str:
    """`test_a (tests.test_x.Case.test_a)` is told as `tests.test_x.Case.test_a`."""
    match = re.match(r"(\S+) \((.+?)\)", said)
    if match is None:
        return said
    return match[2] if match[2].endswith(match[1]) else f"{match[2]}.{match[1]}"


def _pytest(text: str, _truncated: bool) -> Told | None:
    summaries = re.findall(
        r"^=* ?((?:\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?)(?:, )?)+"
        r"|no tests ran) in [\d.]+s",
        text,
        re.MULTILINE,
    )
    if not summaries:
        return None
    count = {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) (\w+)", summaries[-1])}
    failed = count.get("failed", 0) + count.get("error", 0)
    skipped = count.get("skipped", 0) + count.get("xfailed", 0)
    names = re.findall(r"^(?:FAILED|ERROR) (\S+?(?:\[.*?\])?)(?: - .*)?$", text, re.MULTILINE)
    error = re.search(r"^E +(.+)$", text, re.MULTILINE)
    first = error[1] if error else _traceback_end(text)
    passed = count.get("passed", 0) + count.get("xpassed", 0)
    return Told(passed, failed, skipped, _names(names), first[:ERROR_LENGTH] if failed else "")


def _cargo(text: str, _truncated: bool) -> Told | None:
    results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.MULTILINE)
    if not results:
        return None
    passed, failed, skipped = (sum(int(row[column]) for row in results) for column in range(3))
    names = re.findall(r"^test (.+?) \.\.\. FAILED$", text, re.MULTILINE)
    panic = re.search(r"panicked at (?:[^\n]*?:\d+:\d+:\n)?(.+)$", text, re.MULTILINE)
    return Told(passed, failed, skipped, _names(names), panic[1][:ERROR_LENGTH] if panic and failed else "")


def _go(text: str, truncated: bool) -> Told | None:
    if not GO.search(text):
        return None
    tests = re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", text, re.MULTILINE)
    names = [name for verdict, name in tests if verdict == "FAIL"]
    names += re.findall(r"^FAIL\s+(\S+) \[(?:build|setup) failed\]", text, re.MULTILINE)
    error = re.search(r"^\s+\S+\.go:\d+: .+$|^\S+\.go:\d+:\d+: .+$|^panic: .+$", text, re.MULTILINE)
    passed = None if truncated else sum(verdict == "PASS" for verdict, _ in tests)
    skipped = sum(verdict == "SKIP" for verdict, _ in tests)
    return Told(
        passed, len(names), skipped, _names(names), error[0].strip()[:ERROR_LENGTH] if error and names else ""
    )


def _node(text: str, _truncated: bool) -> Told | None:
    """`node --test`, in its own form or as TAP."""
    said = dict(re.findall(r"^(?:#|ℹ) (pass|fail|skipped|todo) (\d+)$", text, re.MULTILINE))
    if "pass" not in said or "fail" not in said:
        return None
    names = re.findall(r"^\s*not ok \d+ -? ?(.+?)(?: # .*)?$", text, re.MULTILINE)
    names += re.findall(r"^\s*✖ (.+?) \([\d.]+ms\)$", text, re.MULTILINE)
    error = re.search(r"^\s*error: (?:\|-\n\s*)?['\"]?(.+?)['\"]?$", text, re.MULTILINE)
    error = error or re.search(r"^\s*((?:\w*Error)(?: \[\w+\])?: .+)$", text, re.MULTILINE)
    first = error[1][:ERROR_LENGTH] if error and int(said["fail"]) else ""
    skipped = int(said.get("skipped", 0)) + int(said.get("todo", 0))
    return Told(int(said["pass"]), int(said["fail"]), skipped, _names(names), first)


def _jest(text: str, _truncated: bool) -> Told | None:
    """Jest and Vitest."""
    if not (
        line := re.search(r"^\s*Tests:?\s+((?:\d+ \w+[,| ]*)+)(?:\(\d+\)|total)?\s*$", text, re.MULTILINE)
    ):
        return None
    count = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line[1])}
    names = re.findall(r"^\s*● (.+ › .+)$|^\s*(?:FAIL|×)\s+(\S+ > .+?)(?: \d+ms)?$", text, re.MULTILINE)
    error = re.search(r"^\s*((?:\w*Error|expect\(.*\)).*)$", text, re.MULTILINE)
    failed = count.get("failed", 0)
    skipped = count.get("skipped", 0) + count.get("todo", 0)
    first = error[1][:ERROR_LENGTH] if error and failed else ""
    return Told(count.get("passed", 0), failed, skipped, _names(one or other for one, other in names), first)


def _mocha(text: str, _truncated: bool) -> Told | None:
    if not (passing := re.search(r"^\s+(\d+) passing \(", text, re.MULTILINE)):
        return None
    failing = re.search(r"^\s+(\d+) failing$", text, re.MULTILINE)
    pending = re.search(r"^\s+(\d+) pending$", text, re.MULTILINE)
    failed = int(failing[1]) if failing else 0
    after = text[passing.end() :]
    names = re.findall(r"^\s+\d+\) ([^:]+):$", after, re.MULTILINE)
    error = re.search(r"^\s+((?:\w*Error).*)$", after, re.MULTILINE)
    first = error[1][:ERROR_LENGTH] if error and failed else ""
    told = (" ".join(name.split()) for name in names)
    return Told(int(passing[1]), failed, int(pending[1]) if pending else 0, _names(told), first)


def _tap(text: str, truncated: bool) -> Told | None:
    if not re.search(r"^1\.\.\d+", text, re.MULTILINE):
        return None
    lines = re.findall(r"^(not ok|ok)\b ?\d*(?: -)? ?(.*)$", text, re.MULTILINE)
    excused = [bool(re.search(r"# (?:skip|todo)", name, re.IGNORECASE)) for _, name in lines]
    failures = [
        name for (verdict, name), fine in zip(lines, excused, strict=True) if verdict != "ok" and not fine
    ]
    passed = sum(verdict == "ok" and not fine for (verdict, _), fine in zip(lines, excused, strict=True))
    return Told(None if truncated else passed, len(failures), sum(excused), _names(failures))


READERS: tuple[Callable[[str, bool], Told | None], ...] = (
    _pytest, _unittest, _cargo, _node, _jest, _mocha, _go, _tap,
)  # fmt: skip


def error_line(text: str) -> str:
    """The line that most looks like the reason of a failure, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = (line for line in lines if TELLING.search(line))
    return next(telling, lines[-1] if lines else "")[:ERROR_LENGTH]


def _names(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in found))[:MOST_FAILURES]


def _traceback_end(text: str) -> str:
    """The line of the first traceback that names the exception."""
    match = re.search(r"^Traceback \(most recent call last\):\n(?:[ \t]+.*\n|\n)*(\S.*)$", text, re.MULTILINE)
    return match[1][:ERROR_LENGTH] if match else error_line(text)
