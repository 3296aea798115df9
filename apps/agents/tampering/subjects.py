"""What tests test: whether something else stands under the name, or in the place, of the product's code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from apps.agents.tampering.change import SCRIPT, Change, File, Finding, added_lines, parsed
from apps.agents.tampering.script_cases import without_comments

STAND_IN = re.compile(r"(^|[./_-])(tests?|testing|fakes?|mocks?|stubs?|dumm(?:y|ies)|standins?)([./_-]|$)")
_MOCKED = re.compile(
    r"\b(?:jest|vi)\.(?:mock|doMock|setMock|unstable_mockModule)\(\s*[\"']([^\"']+)[\"']\s*,"
)
_SET_UP_MOCK = re.compile(r"\b(?:jest|vi)\.(?:mock|doMock|setMock)\(\s*[\"']\.")
_SET_UP = re.compile(
    r"(^|[./-])(setup|set-up)[^/]*\.[cm]?[jt]sx?$|setup-?tests?\.[cm]?[jt]sx?$", re.IGNORECASE
)
_IMPORT = re.compile(
    r"(?:const|let|var|import)\s+\{?\s*([\w\s,{}*]+?)\s*\}?\s*(?:=\s*require\(|from)\s*[\"'](\.[^\"']*)[\"']"
)


def compare_subjects(change: Change) -> Iterator[Finding]:
    for file in change.files:
        if file.after is None:
            continue
        if file.is_test and file.suffix == ".py" and file.before is not None:
            yield from _python(file)
        elif file.suffix in SCRIPT:
            yield from _script(file)


def _python(file: File) -> Iterator[Finding]:
    """A name that was the product's is now one of the tests' own."""
    was, now = _imported(file.before or ""), _imported(file.after or "")
    tree = parsed(file.after or "")
    own = (
        {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        if tree
        else set()
    )
    for name, module in was.items():
        if STAND_IN.search(module) or not _asks(file.after or "", name):
            continue
        if name in own:
            yield Finding(file.path, f"{name} is the test's own now, not that of {module}", "subject-mocked")
        elif name in now and STAND_IN.search(now[name]):
            what = f"{name} comes from {now[name]} now, not from {module}"
            yield Finding(file.path, what, "subject-mocked")


def _imported(text: str) -> dict[str, str]:
    """Names and the modules that they are taken from."""
    tree = parsed(text)
    return {
        alias.asname or alias.name: node.module
        for node in (ast.walk(tree) if tree else ())
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _asks(text: str, name: str) -> bool:
    return re.search(rf"\bassert.*\b{re.escape(name)}\(", text) is not None


def _script(file: File) -> Iterator[Finding]:
    lines = added_lines(file)
    if _SET_UP.search(file.path) and any(_SET_UP_MOCK.search(line) for line in lines):
        yield Finding(file.path, "code of the product is replaced for all tests", "subject-mocked")
        return
    if not file.is_test or not any(_MOCKED.search(line) for line in lines):
        return
    text = without_comments(file.after or "")
    taken: dict[str, set[str]] = {}
    for names, place in _IMPORT.findall(text):
        taken.setdefault(place, set()).update(re.findall(r"\w+", names))
    for place in {match[1] for line in lines if (match := _MOCKED.search(line))}:
        called = re.findall(r"expect\(\s*(?:await\s+)?(\w+)\(", text)
        if faked := sorted(taken.get(place, set()) & set(called)):
            yield Finding(
                file.path, f"{', '.join(faked)} of {place} is replaced and tested", "subject-mocked"
            )
