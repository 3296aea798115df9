"""Code that decides how tests run or end: hooks of pytest, files that Python loads by itself, early exits."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from apps.agents.tampering.change import Change, File, Finding, added_lines, parsed

# Hooks by which a conftest can change what is collected, or how it ended.
OUTCOME_HOOKS = {
    "pytest_runtest_makereport", "pytest_collection_modifyitems", "pytest_sessionfinish",
    "pytest_ignore_collect",
    "pytest_runtest_call", "pytest_runtest_protocol", "pytest_pyfunc_call", "pytest_report_teststatus",
    "pytest_itemcollected", "pytest_deselected", "pytest_runtest_logreport", "pytest_collect_file",
    "pytest_exception_interact",
    "pytest_pycollect_makeitem", "pytest_cmdline_main", "pytest_runtestloop", "pytest_make_collect_report",
    "pytest_collection_finish",
}  # fmt: skip
STEERS = re.compile(
    r"\bconfig\.(?:option\.\w+\s*=[^=]|args\b|invocation_params)|\b(?:unregister|set_blocked)\(|_inicache|"
    r"\bparametrize\([^\n]*,\s*(?:\[\]|\(\)|set\(\)|\{\})\s*[,)]"
)
HARMLESS = re.compile(r"add_marker|fspath|sort|slow", re.IGNORECASE)
LOADED = {"sitecustomize.py", "usercustomize.py"}
SHADOWED = {
    "pytest.py", "unittest.py", "unittest/__init__.py", "pytest/__init__.py", "_pytest/__init__.py",
    "doctest.py",
    "tox.py", "coverage.py", "mypy.py", "node_modules/.bin/jest", "pluggy.py",
}  # fmt: skip
EXIT_PY = re.compile(
    r"\b(?:os\._exit|sys\.exit|exit|quit)\(\s*(?:0|os\.EX_OK|code\s*=\s*0)?\s*\)|"
    r"raise\s+SystemExit(?:\(\s*0?\s*\))?\s*$"
)
EXIT_JS = re.compile(
    r"\bprocess\.(?:exit\(\s*0?\s*\)|exitCode\s*=\s*0)|process\.(?:reallyExit|exit)\s*=|Deno\.exit\(0?\)"
)
EXIT_GO = re.compile(r"\bos\.Exit\(\s*0\s*\)")
PATCHED_PY = re.compile(
    r"\b(?:unittest\.)?(?:\w*TestCase|TestResult|TextTestRunner|TestProgram|pytest|AssertionError|"
    r"runner)\.\w+\s*=[^=]|\b(?:builtins\.\w+|sys\.exit|os\._exit|os\.abort)\s*=[^=]|class AssertionError\b|"
    r"setattr\(\s*(?:unittest|pytest|\w*TestCase)\b|sys\.modules\[\s*[\"'](?:pytest|unittest)|"
    r"\breport\.outcome\s*=|\bexitstatus\s*=\s*0|\benviron(?:\[|\.setdefault\()\s*[\"']PYTEST_ADDOPTS|\b__import__\(\s*[\"']os[\"']\s*\)\._exit"
)
PATCHED_JS = re.compile(
    r"(?:global(?:This)?|window)\.(?:expect|it|test|describe|assert)\s*=[^=]|\bassert\.\w+\s*=[^=]|"
    r"expect\.extend\(\s*\{\s*to(?:Be|Equal)\b|"
    r"\b(?:it|test)\s*=\s*(?:it|test)\.skip|require\([\"']assert[\"']\)\.\w+\s*=[^=]"
)


def compare_runners(change: Change) -> Iterator[Finding]:
    for file in change.files:
        if file.after is None:
            if file.name == "conftest.py" and _fixture_checks(file.before or ""):
                yield _found(file, "its checks are gone")
            continue
        if file.name == "conftest.py" or (file.suffix == ".py" and (file.is_test or "/" not in file.path)):
            yield from _conftest(file)
        yield from _loaded(file)
        if file.suffix == ".py":
            yield from _python(file)
        elif file.suffix in {".js", ".ts", ".mjs", ".cjs", ".tsx", ".jsx", ".mts", ".cts"}:
            yield from _script(file)
        elif file.path.endswith("_test.go"):
            yield from _go(file)


def _found(file: File, what: str, rule: str = "runner-changed") -> Finding:
    return Finding(file.path, what, rule)


def _conftest(file: File) -> Iterator[Finding]:
    old, new = _hooks(file.before or ""), _hooks(file.after or "")
    for name, text in new.items():
        if name in OUTCOME_HOOKS and old.get(name) != text and not (_only_marks(text)):
            yield _found(file, f"{name} changes which tests run, or how they end")
    if any(STEERS.search(line) for line in added_lines(file)):
        yield _found(file, "it changes which tests run, and how")
    if any(_is_autouse_skip(node) for node in _nodes(file.after)) and not any(
        _is_autouse_skip(node) for node in _nodes(file.before)
    ):
        yield _found(file, "a fixture that every test uses skips tests", "test-skipped")
    for name in ("collect_ignore", "collect_ignore_glob"):
        if name in new and old.get(name) != new[name]:
            yield _found(file, f"{name} leaves tests out")
    if any(_is_autouse_mock(node) for node in _nodes(file.after)) and not any(
        _is_autouse_mock(node) for node in _nodes(file.before)
    ):
        yield _found(file, "a fixture that every test uses replaces what is tested", "subject-mocked")


def _fixture_checks(text: str) -> bool:
    return any(isinstance(node, ast.Assert) for node in _nodes(text))


def _nodes(text: str | None) -> list[ast.AST]:
    tree = parsed(text or "")
    return list(ast.walk(tree)) if tree is not None else []


def _hooks(text: str) -> dict[str, str]:
    """Functions and assignments of a module by name."""
    tree = parsed(text)
    found: dict[str, str] = {}
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = ast.unparse(node)
        elif isinstance(node, ast.Assign):
            found |= {one.id: ast.unparse(node.value) for one in node.targets if isinstance(one, ast.Name)}
    return found


def _only_marks(text: str) -> bool:
    """A hook that sorts or marks tests, and skips or drops none."""
    return bool(HARMLESS.search(text)) and not re.search(
        r"skip|xfail|deselect|outcome|exitstatus|items\s*(?:\[:\])?\s*=|\.clear\(|\.remove\(|\bdel\b|"
        r"\.pop\(",
        text,
    )


def _is_autouse_mock(node: ast.AST) -> bool:
    return bool(re.search(r"setattr\([^)]*(?:lambda|Mock\()|patch\([^)]*return_value", _autouse(node)))


def _is_autouse_skip(node: ast.AST) -> bool:
    return bool(re.search(r"\b(?:skip|xfail|importorskip)\(", _autouse(node)))


def _autouse(node: ast.AST) -> str:
    """The body of a fixture that every test uses."""
    if not isinstance(node, ast.FunctionDef):
        return ""
    head = " ".join(ast.unparse(one) for one in node.decorator_list)
    is_for_all = "autouse=True" in head.replace(" ", "")
    return "\n".join(ast.unparse(one) for one in node.body) if is_for_all else ""


def _loaded(file: File) -> Iterator[Finding]:
    fresh = file.before is None
    if file.name in LOADED or (file.suffix == ".pth" and fresh):
        yield _found(file, "Python loads this file by itself before any test")
    elif fresh and any(file.path == name or file.path.endswith("/" + name) for name in SHADOWED):
        yield _found(file, "it stands in the place of a tool that checks")
    elif file.name == ".npmrc" and any("script-shell" in line for line in added_lines(file)):
        yield _found(file, "npm runs its scripts in another shell")


def _python(file: File) -> Iterator[Finding]:
    lines = added_lines(file)
    near = file.is_test or file.name in {"conftest.py", *LOADED}
    if any(EXIT_PY.search(line) for line in lines) and _exits(file, anywhere=near):
        yield _found(file, "it ends the run of the tests as a success")
    if any(PATCHED_PY.search(line) for line in lines):
        yield _found(file, "it changes the tools that check")
    if any("atexit.register" in line for line in lines) and re.search(r"_exit\b\W{1,3}0", file.after or ""):
        yield _found(file, "it ends the process as a success")
    if near and "load_tests" in _hooks(file.after or "") and "load_tests" not in _hooks(file.before or ""):
        yield _found(file, "load_tests decides which tests run")


def _exits(file: File, *, anywhere: bool) -> bool:
    """Whether it exits when it is imported, or `anywhere`, but as a program."""
    tree = parsed(file.after or "")
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not anywhere:
            continue
        text = ast.unparse(node)
        if any(EXIT_PY.search(line) for line in text.splitlines()) and not re.search(
            r"raises|SystemExit\)", text
        ):
            return True
    return False


def _script(file: File) -> Iterator[Finding]:
    lines = added_lines(file)
    if not file.is_code and any(EXIT_JS.search(line) for line in lines):
        yield _found(file, "it ends the run of the tests as a success")
    if any(PATCHED_JS.search(line) for line in lines):
        yield _found(file, "it changes the tools that check")


def _go(file: File) -> Iterator[Finding]:
    if any(EXIT_GO.search(line) for line in added_lines(file)):
        yield _found(file, "it ends the run of the tests as a success")
    if re.search(r"func TestMain\b", file.after or "") and not re.search(
        r"func TestMain\b", file.before or ""
    ):
        body = (file.after or "").partition("func TestMain")[2]
        if not re.search(r"\.Run\(\)", body.partition("\n}")[0]):
            yield _found(file, "TestMain runs no test")
