"""What linters, type checkers and compilers say: how many errors and warnings, of what, and where first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from apps.agents.told import ERROR_LENGTH, Told, names_of

FILE = r"(?P<file>(?:[A-Za-z]:)?[^\s:()'\"][^\n:()'\"]*?)"


@dataclass(frozen=True)
class Finding:
    """`at` is where it stands in the output; `rule` names it, if the tool does."""

    at: int
    place: str
    text: str
    rule: str = ""
    is_error: bool = True


@dataclass(frozen=True)
class Report:
    """What one tool says. Its own totals count for more than the findings, which may be cut off."""

    findings: tuple[Finding, ...] = ()
    errors: int | None = None
    warnings: int | None = None

    def totals(self) -> tuple[int, int]:
        counted = sum(one.is_error for one in self.findings)
        errors = counted if self.errors is None else self.errors
        warnings = len(self.findings) - counted if self.warnings is None else self.warnings
        return errors, warnings


def read_findings(text: str) -> Told | None:
    """All tools whose form is recognized, together: one check often runs several."""
    reports = [report for reader in READERS if (report := reader(text)) is not None]
    if not reports:
        return None
    totals = [report.totals() for report in reports]
    found = sorted((one for report in reports for one in report.findings), key=lambda one: one.at)
    errors = [one for one in found if one.is_error]
    first = errors[0] if errors else None
    return Told(
        failures=names_of(f"{one.place} {one.rule or one.text}"[:160].strip() for one in errors),
        first_error=f"{first.text}{f' [{first.rule}]' if first.rule else ''}"[:ERROR_LENGTH] if first else "",
        place=first.place if first else "",
        errors=sum(errors for errors, _ in totals),
        warnings=sum(warnings for _, warnings in totals),
    )


def checked_nothing(text: str) -> bool:
    """Whether a linter says that it found no file to look at."""
    return bool(NOTHING.search(text))


NOTHING = re.compile(
    r"^warning: No Python files found under the given path|^There are no \.py\[i\] files"
    r"|^No (?:Python files|source files|files) (?:are present|found|to (?:lint|check))"
    r"|no go files to analyze|^no packages to vet",
    re.MULTILINE | re.IGNORECASE,
)


def _int(text: str | None) -> int:
    return int(text) if text else 0


def _place(match: re.Match[str]) -> str:
    return f"{match['file'].removeprefix('./').strip()}:{match['line']}"


def _finding(match: re.Match[str], *, is_error: bool = True) -> Finding:
    """Of a match whose groups are file, line, text and rule."""
    return Finding(match.start(), _place(match), match["text"], match["rule"] or "", is_error)


CODED = re.compile(
    rf"^{FILE}:(?P<line>\d+):(?:\d+:)? (?P<rule>[A-Z]{{1,6}}\d{{2,5}}):? (?P<text>.+)$", re.MULTILINE
)
RUFF_FULL = re.compile(
    rf"^(?P<rule>[A-Z]{{1,6}}\d{{2,5}}|invalid-syntax):? (?P<text>.+)\n"
    rf"\s*--> {FILE}:(?P<line>\d+):\d+$",
    re.MULTILINE,
)
RUFF_TOTAL = re.compile(r"^Found (\d+) errors?\b(?! in )|^(All checks passed!)$", re.MULTILINE)
RUFF_SYNTAX = re.compile(
    rf"^{FILE}:(?P<line>\d+):\d+: (?P<rule>invalid-syntax|SyntaxError): (?P<text>.+)$", re.MULTILINE
)


def _coded(text: str) -> Report | None:
    """Ruff, flake8, pycodestyle, pylint."""
    matches = [*CODED.finditer(text), *RUFF_FULL.finditer(text), *RUFF_SYNTAX.finditer(text)]
    total = RUFF_TOTAL.search(text)
    if not matches and not total:
        return None
    found = tuple(
        Finding(one.start(), _place(one), re.sub(r"^\[\*\] ", "", one["text"]), one["rule"])
        for one in matches
    )
    return Report(found, max(_int(total[1]), 0) if total else None, 0)


MYPY = re.compile(
    rf"^{FILE}:(?P<line>\d+)(?::\d+)?: (?P<kind>fatal error|error|warning): (?P<text>.+?)"
    r"(?:  ?\[(?P<rule>-?[\w-]+(?:=[^\]]*)?)\])?$",
    re.MULTILINE,
)
MYPY_TOTAL = re.compile(r"^Found (\d+) errors? in \d+ files?|^(Success: no issues found)", re.MULTILINE)


def _mypy(text: str) -> Report | None:
    """Mypy, and compilers that write as GCC does."""
    found = tuple(_finding(one, is_error=one["kind"] != "warning") for one in MYPY.finditer(text))
    total = MYPY_TOTAL.search(text)
    if not found and not total:
        return None
    return Report(found, _int(total[1]) if total else None)


PYRIGHT = re.compile(
    rf"^\s+{FILE}:(?P<line>\d+):\d+ - (?P<kind>error|warning): (?P<text>.+?)"
    r"(?: \((?P<rule>report\w+)\))?$",
    re.MULTILINE,
)
PYRIGHT_TOTAL = re.compile(r"^(\d+) errors?, (\d+) warnings?, \d+ (?:informations?|notes?)", re.MULTILINE)


def _pyright(text: str) -> Report | None:
    if not (total := PYRIGHT_TOTAL.search(text)):
        return None
    found = tuple(_finding(one, is_error=one["kind"] == "error") for one in PYRIGHT.finditer(text))
    return Report(found, int(total[1]), int(total[2]))


ESLINT_LINE = re.compile(
    r"^(?P<file>\S.*\.\w+)$"
    r"|^\s+(?P<line>\d+):\d+\s+(?P<kind>error|warning)\s+(?P<text>.+?)(?:\s{2,}(?P<rule>[@\w/-]+))?$",
    re.MULTILINE,
)
ESLINT_TOTAL = re.compile(r"^[✖x✘] (\d+) problems? \((\d+) errors?, (\d+) warnings?\)", re.MULTILINE)


def _eslint(text: str) -> Report | None:
    """ESLint and others in its form: a file, then its findings."""
    if not (totals := list(ESLINT_TOTAL.finditer(text))):
        return None
    return Report(
        tuple(_eslint_findings(text)),
        sum(int(total[2]) for total in totals), sum(int(total[3]) for total in totals),
    )  # fmt: skip


def _eslint_findings(text: str) -> Iterator[Finding]:
    file = ""
    for line in ESLINT_LINE.finditer(text):
        if line["file"]:
            file = line["file"]
        elif file:
            place = f"{file}:{line['line']}"
            yield Finding(line.start(), place, line["text"], line["rule"] or "", line["kind"] == "error")


TSC = re.compile(
    r"^(?P<file>[^\s(:][^\n(:]*?)(?:\((?P<line>\d+),\d+\): |:(?P<line2>\d+):\d+ - )"
    r"error (?P<rule>TS\d+): (?P<text>.+)$",
    re.MULTILINE,
)
TSC_BARE = re.compile(r"^error (?P<rule>TS\d+): (?P<text>.+)$", re.MULTILINE)


def _tsc(text: str) -> Report | None:
    found = [
        Finding(one.start(), f"{one['file']}:{one['line'] or one['line2']}", one["text"], one["rule"])
        for one in TSC.finditer(text)
    ]
    found += [Finding(one.start(), "", one["text"], one["rule"]) for one in TSC_BARE.finditer(text)]
    return Report(tuple(found)) if found else None


RUSTC = re.compile(
    r"^(?P<kind>error|warning)(?:\[(?P<rule>\w+)\])?: (?P<text>.+)\n"
    r"\s*--> (?P<file>[^\n:]+):(?P<line>\d+):\d+$",
    re.MULTILINE,
)
CLIPPY_RULE = re.compile(r"`#\[(?:warn|deny|forbid)\(([\w:]+)\)\]`|rust-clippy/\w+/index\.html#(\w+)")
CARGO_DONE = re.compile(r"^\s+Finished `?\w+", re.MULTILINE)


def _rustc(text: str) -> Report | None:
    """Cargo, rustc and Clippy; what several targets repeat counts once."""
    found: dict[tuple[str, str], Finding] = {}
    matches = list(RUSTC.finditer(text))
    for one, following in zip_longest(matches, matches[1:]):
        block = text[one.end() : following.start() if following else len(text)].split("\n\n", 1)[0]
        rule = CLIPPY_RULE.search(block)
        name = one["rule"] or (f"clippy::{rule[2]}" if rule and rule[2] else rule[1] if rule else "") or ""
        place = _place(one)
        found.setdefault(
            (place, one["text"]), Finding(one.start(), place, one["text"], name, one["kind"] == "error")
        )
    if not found and not CARGO_DONE.search(text):
        return None
    return Report(tuple(found.values()))


GO = re.compile(
    r"^(?:vet: )?(?P<file>[^\s:][^\n:]*\.go):(?P<line>\d+)(?::\d+)?: (?P<text>.+?)"
    r"(?: \((?P<rule>[\w-]+)\))?$",
    re.MULTILINE,
)
GOLANGCI_TOTAL = re.compile(r"^(\d+) issues[.:]", re.MULTILINE)


def _go(text: str) -> Report | None:
    """The Go compiler, vet and golangci-lint."""
    found = tuple(
        _finding(one)
        for one in GO.finditer(text)
        if not re.match(r"(?:fatal )?(?:error|warning): ", one["text"])  # as GCC writes: cgo
    )
    total = GOLANGCI_TOTAL.search(text)
    return Report(found, _int(total[1]) if total else None, 0) if found or total else None


UNFORMATTED = re.compile(
    r"^(?:[Ww]ould reformat:? (?P<file>.+?)|(?P<gofmt>.+\.go): not formatted as gofmt does it"
    r"|\[warn\] (?P<prettier>(?!Code style)(?!All matched)\S.*\.\w+))$",
    re.MULTILINE,
)
DIFFERS = re.compile(
    r"^(?:Diff in (?P<file>[^\n:]+?)(?::| at line )(?P<line>\d+):?"
    r"|unformatted: .+\n\s*--> (?P<ruff>[^\n:]+):(?P<ruff_line>\d+):\d+)$",
    re.MULTILINE,
)
FORMATTED = re.compile(
    r"^(?:\d+ files? (?:would be left unchanged|already formatted)|All matched files use Prettier)",
    re.MULTILINE,
)


def _formatters(text: str) -> Report | None:
    """Ruff format, Black, gofmt, Prettier, rustfmt: files that are not as they would write them."""
    found = [
        Finding(
            one.start(), (one["file"] or one["gofmt"] or one["prettier"]).removeprefix("./"), "not formatted"
        )
        for one in UNFORMATTED.finditer(text)
    ]
    found += [
        Finding(
            one.start(),
            f"{(one['file'] or one['ruff']).strip()}:{one['line'] or one['ruff_line']}",
            "not formatted",
        )
        for one in DIFFERS.finditer(text)
    ]
    return Report(tuple(found)) if found or FORMATTED.search(text) else None


PYTHON_SYNTAX = re.compile(
    r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+)\n(?:\s.*\n){0,6}'
    r"(?P<rule>(?:Syntax|Indentation|Tab)Error): (?P<text>.+)$",
    re.MULTILINE,
)


def _python_syntax(text: str) -> Report | None:
    found = tuple(map(_finding, PYTHON_SYNTAX.finditer(text)))
    return Report(found) if found else None


READERS: tuple[Callable[[str], Report | None], ...] = (
    _coded, _mypy, _pyright, _eslint, _tsc, _rustc, _go, _formatters, _python_syntax,
)  # fmt: skip
