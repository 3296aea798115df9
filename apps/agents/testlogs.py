"""What test runners say in their output: counts, failing names and the first error with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from apps.agents.told import ERROR_LENGTH, Told, error_line, names_of

GO = re.compile(
    r"^(?:ok\s+\S+\s+(?:[\d.]+s|\(cached\))|FAIL\s+\S+|\?\s+\S+\s+\[no test files\])", re.MULTILINE
)
PY_PLACE = re.compile(r"^(?!/)(\S+\.py:\d+): (?:\w+(?:\.\w+)*)?$", re.MULTILINE)
FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
FOREIGN = ("/usr/", "/opt/", "<", "/lib")  # frames that are not the project's
JS_FILE = r"(?:file://)?((?!node:)[\w./@-]*[\w-]+\.[cm]?[jt]sx?:\d+)(?::\d+)?"
JS_FRAME = re.compile(rf"(?:\bat .*?\(?|❯ |\()(?<![\w/.]){JS_FILE}")
JS_DECLARED = re.compile(rf"(?:location: ['\"]|\btest at ){JS_FILE}")


def read_tests(text: str, truncated: bool) -> Told | None:
    """What the first runner whose summary is recognized tells."""
    return next((told for reader in READERS if (told := reader(text, truncated))), None)


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
    first, place = _traceback_end(text) if failed else ("", "")
    return Told(passed, failed, skipped, names_of(map(_unittest_name, names)), first, place)


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
    first, place = (error[1], "") if error else _traceback_end(text)
    if error and (at := PY_PLACE.search(text, error.end())):
        place = at[1]
    passed = count.get("passed", 0) + count.get("xpassed", 0)
    if not failed:
        return Told(passed, failed, skipped, names_of(names))
    return Told(passed, failed, skipped, names_of(names), first[:ERROR_LENGTH], place)


def _cargo(text: str, _truncated: bool) -> Told | None:
    results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.MULTILINE)
    if not results:
        return None
    passed, failed, skipped = (sum(int(row[column]) for row in results) for column in range(3))
    names = re.findall(r"^test (.+?) \.\.\. FAILED$", text, re.MULTILINE)
    panic = re.search(r"panicked at (?:([^\n]*?:\d+):\d+:\n)?(.+)$", text, re.MULTILINE)
    if not panic or not failed:
        return Told(passed, failed, skipped, names_of(names))
    return Told(passed, failed, skipped, names_of(names), panic[2][:ERROR_LENGTH], panic[1] or "")


def _go_json(text: str, truncated: bool) -> Told | None:
    """`go test -json`: what it would have printed, read as such."""
    events = list(_json_lines(text)) if '"Action":' in text else []
    if not any(event.get("Action") in {"pass", "fail", "skip"} and "Package" in event for event in events):
        return None
    printed = "".join(str(event.get("Output", "")) for event in events)
    told = _go(printed, truncated)
    ended = [(event["Action"], event["Test"]) for event in events if "Test" in event and "Action" in event]
    count = {action: sum(one == action for one, _ in ended) for action in ("pass", "fail", "skip")}
    names = [str(test) for action, test in ended if action == "fail"]
    names += told.failures if told else ()
    failed = max(count["fail"], len(told.failures) if told else 0)
    passed = None if truncated else count["pass"]
    return Told(passed, failed, count["skip"], names_of(names), told.first_error if told else "")


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


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
        passed,
        len(names),
        skipped,
        names_of(names),
        error[0].strip()[:ERROR_LENGTH] if error and names else "",
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
    return Told(int(said["pass"]), int(said["fail"]), skipped, names_of(names), first, _js_place(text, first))


def _jest(text: str, _truncated: bool) -> Told | None:
    """Jest and Vitest."""
    if not (
        line := re.search(r"^\s*Tests:?\s+((?:\d+ \w+[,| ]*)+)(?:\(\d+\)|total)?\s*$", text, re.MULTILINE)
    ):
        return None
    count = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line[1])}
    names = re.findall(
        r"^\s*● (?!Console|Test suite failed)(.+)$|^\s*(?:FAIL|×)\s+(\S+ > .+?)(?: \d+ms)?$",
        text,
        re.MULTILINE,
    )
    error = re.search(r"^\s*((?:\w*Error|expect\(.*\)).*)$", text, re.MULTILINE)
    failed = count.get("failed", 0)
    skipped = count.get("skipped", 0) + count.get("todo", 0)
    first = error[1][:ERROR_LENGTH] if error and failed else ""
    found = names_of(one or other for one, other in names)
    return Told(count.get("passed", 0), failed, skipped, found, first, _js_place(text, first))


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
    skipped = int(pending[1]) if pending else 0
    return Told(int(passing[1]), failed, skipped, names_of(told), first, _js_place(after, first))


def _tap(text: str, truncated: bool) -> Told | None:
    if not re.search(r"^1\.\.\d+", text, re.MULTILINE):
        return None
    lines = re.findall(r"^(not ok|ok)\b ?\d*(?: -)? ?(.*)$", text, re.MULTILINE)
    excused = [bool(re.search(r"# (?:skip|todo)", name, re.IGNORECASE)) for _, name in lines]
    failures = [
        name for (verdict, name), fine in zip(lines, excused, strict=True) if verdict != "ok" and not fine
    ]
    passed = sum(verdict == "ok" and not fine for (verdict, _), fine in zip(lines, excused, strict=True))
    return Told(None if truncated else passed, len(failures), sum(excused), names_of(failures))


READERS: tuple[Callable[[str, bool], Told | None], ...] = (
    _pytest, _unittest, _cargo, _go_json, _node, _jest, _mocha, _go, _tap,
)  # fmt: skip


def _traceback_end(text: str) -> tuple[str, str]:
    """The line of the first traceback that names the exception, and the last place in the project's files."""
    match = re.search(r"^Traceback \(most recent call last\):\n(?:[ \t]+.*\n|\n)*(\S.*)$", text, re.MULTILINE)
    if match is None:
        return error_line(text), ""
    frames = [frame for frame in FRAME.finditer(match[0]) if not frame["file"].startswith(FOREIGN)]
    return match[1][:ERROR_LENGTH], f"{frames[-1]['file']}:{frames[-1]['line']}" if frames else ""


def _js_place(text: str, error: str) -> str:
    """Where an error of JavaScript arose: the first frame after it that is the project's, else its test."""
    start = text.find(error) if error else -1
    if start < 0:
        return ""
    frames = (at[1] for at in JS_FRAME.finditer(text, start) if "node_modules/" not in at[1])
    declared = JS_DECLARED.search(text)
    return next(frames, declared[1] if declared else "").removeprefix("./")
