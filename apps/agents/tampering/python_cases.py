"""Tests of Python files, read from their syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from apps.agents.tampering.cases import Case, Check
from apps.agents.tampering.change import parsed
from apps.agents.tampering.python_checks import checks_of, is_conditional, skips
from apps.agents.tampering.python_flow import live_statements, replacements, swallowing, will_not_run

Function = ast.FunctionDef | ast.AsyncFunctionDef
HELPERS_DEEP = 3


def python_cases(path: str, text: str) -> list[Case] | None:
    """Every test of a file, as pytest and unittest collect them; None if it is not valid Python."""
    tree = parsed(text)
    if tree is None:
        return None
    reader = _Reader(path, tree)
    return list(reader.cases())


class _Reader:
    def __init__(self, path: str, tree: ast.Module) -> None:
        self.path, self.tree = path, tree
        self.helpers = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
        self.gone = set(_given_away(tree.body))
        self.missing = any(_is_import_or_skip(node) for node in tree.body)
        self.all_skipped = any(_is_module_skip(node) for node in tree.body)
        self.not_run = "the file says that it holds no tests" if _untested(tree.body) else ""

    def cases(self) -> Iterator[Case]:
        found: dict[str, Case] = {}  # of two definitions of one name only the last is run
        for function, owner in _functions(self.tree.body):
            name = f"{owner.name}.{function.name}" if owner else function.name
            found[name] = self._case(name, function, owner)
        yield from found.values()

    def _case(self, name: str, function: Function, owner: ast.ClassDef | None) -> Case:
        body, reason = live_statements(function.body)
        times = _times(function.decorator_list)
        checks = [check for one in body for check in self._checks(one, times, 0)]
        skipped, on_condition = self._skipped(function, owner)
        why_not = self.not_run or reason or will_not_run(function, owner) or self._undone(function, owner)
        if owner is not None and _untested(owner.body):
            why_not = "its class says that it holds no tests"
        return Case(
            path=self.path,
            name=name,
            checks=tuple(checks),
            body="\n".join(ast.unparse(one) for one in function.body)[:20_000],
            skipped=skipped,
            on_condition=on_condition,
            why_not=why_not,
            pool=self._pool(function, body, owner),
            replaced=replacements(function, owner),
            is_empty=_is_empty(function.body, checks),
            line=function.lineno,
        )

    def _undone(self, function: Function, owner: ast.ClassDef | None) -> str:
        """Why a test of the file is not what it looks like once the file was read."""
        if {name for name in (function.name, owner and owner.name) if name} & self.gone or (
            owner is not None and f"{owner.name}.{function.name}" in self.gone
        ):
            return "its name is deleted or given to something else"
        used = {ast.unparse(one).partition("(")[0] for one in function.decorator_list}
        if any(swallowing(self.helpers[name]) for name in used & self.helpers.keys()):
            return "its decorator swallows failures"
        return ""

    def _skipped(self, function: Function, owner: ast.ClassDef | None) -> tuple[bool, bool]:
        """Whether it may be skipped, and whether only where a condition holds."""
        decorators = [*function.decorator_list, *(owner.decorator_list if owner else ())]
        marks = [node for node in decorators if skips(node)]
        always = any(not is_conditional(node) for node in marks) or self.all_skipped
        always = always or (owner is not None and any(_is_module_skip(node) for node in owner.body))
        inside = [one for one in function.body if any(skips(node) for node in ast.walk(one))]
        always = always or any(not isinstance(one, ast.If) for one in inside)
        given = {argument.arg for argument in function.args.args} & self.helpers.keys()
        fixtures = [one for name in given for one in self.helpers[name].body]
        kept_out = self.missing or any(skips(node) for one in fixtures for node in ast.walk(one))
        return bool(always or marks or inside or kept_out), not always

    def _checks(self, statement: ast.stmt, times: int, depth: int) -> Iterator[Check]:
        yield from checks_of(statement, times)
        if depth >= HELPERS_DEEP:
            return
        for node in ast.walk(statement):
            helper = self.helpers.get(_called(node)) if isinstance(node, ast.Call) else None
            if helper is not None and not helper.name.startswith("test"):
                for one in live_statements(helper.body)[0]:
                    yield from self._checks(one, times, depth + 1)

    def _pool(
        self, function: Function, body: Sequence[ast.stmt], owner: ast.ClassDef | None
    ) -> frozenset[str]:
        """Literals that reach its checks: its own, of its decorators, of tables of its file and class."""
        tables: list[ast.AST] = [
            node for node in self.tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
        ]
        tables += [node for node in (owner.body if owner else ()) if isinstance(node, ast.Assign)]
        roots: list[ast.AST] = [*tables, *function.decorator_list, *body]
        return frozenset(value for root in roots for value in _data(root))


def _data(root: ast.AST) -> Iterator[str]:
    """Constants below a node, without those of its assertions."""
    if isinstance(root, ast.Assert) or (
        isinstance(root, ast.Call) and _called(root).startswith(("assert", "raises"))
    ):
        return
    if isinstance(root, ast.Constant):
        yield str(root.value)
    for child in ast.iter_child_nodes(root):
        yield from _data(child)


def _functions(body: Sequence[ast.stmt]) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    for node in body:
        if isinstance(node, Function) and node.name.startswith("test"):
            yield node, None
        elif isinstance(node, ast.ClassDef) and _is_collected(node):
            for inner in node.body:
                if isinstance(inner, Function) and inner.name.startswith("test"):
                    yield inner, node
                elif isinstance(inner, ast.ClassDef) and _is_collected(inner):
                    yield from ((one, inner) for one, _ in _functions(inner.body))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _functions([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])


def _is_collected(node: ast.ClassDef) -> bool:
    bases = [ast.unparse(base) for base in node.bases]
    if any("Test" in base or base.endswith("Case") for base in bases):
        return True
    has_init = any(isinstance(one, Function) and one.name == "__init__" for one in node.body)
    return node.name.startswith("Test") and not has_init


def _is_module_skip(node: ast.stmt) -> bool:
    """`pytestmark = pytest.mark.skip`, `pytest.skip(..., allow_module_level=True)`, `raise SkipTest`."""
    if isinstance(node, ast.Assign) and _targets(node) & {"pytestmark", "setUp", "setup_method"}:
        return any(skips(one) and not is_conditional(one) for one in _calls_first(node.value))
    if isinstance(node, Function) and node.name in {"setUp", "setup_method", "setUpClass", "setUpModule"}:
        return any(skips(one) for one in ast.walk(node))
    if isinstance(node, Function | ast.ClassDef | ast.If | ast.Try):
        return False
    return any(skips(one) for one in ast.walk(node))


def _calls_first(root: ast.AST) -> Iterator[ast.AST]:
    """The nodes of an expression, of a call without the name that is called."""
    yield root
    children = ast.iter_child_nodes(root)
    for child in children:
        if not (isinstance(root, ast.Call) and child is root.func):
            yield from _calls_first(child)


def _untested(body: Sequence[ast.stmt]) -> bool:
    """`__test__ = False`, or `del` of everything at the end."""
    return any(
        isinstance(node, ast.Assign)
        and "__test__" in _targets(node)
        and isinstance(node.value, ast.Constant)
        and not node.value.value
        for node in body
    )


def _given_away(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that a module deletes, or sets to nothing, after it defined them."""
    for node in body:
        if isinstance(node, ast.Delete) or (
            isinstance(node, ast.Assign)
            and (
                isinstance(node.value, ast.Lambda)
                or (isinstance(node.value, ast.Constant) and not node.value.value)
            )
        ):
            yield from (ast.unparse(target) for target in node.targets)


def _is_import_or_skip(node: ast.stmt) -> bool:
    """`pytest.importorskip(...)`: without that module the whole file is skipped."""
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("importorskip")


def _targets(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


def _times(decorators: Sequence[ast.expr]) -> int:
    """How many sets of data a test is run with."""
    times = 1
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(
            ("parametrize", "expand")
        ):
            data: Any = decorator.args[-1] if decorator.args else None
            if isinstance(data, ast.List | ast.Tuple):
                times *= max(1, len(data.elts))
            else:
                times *= 2  # a table elsewhere
    return times


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _is_empty(body: Sequence[ast.stmt], checks: Sequence[Check]) -> bool:
    """Nothing is done but passing: no call, and no check that could fail."""
    if any(check.strength for check in checks):
        return False
    calls = (node for one in body for node in ast.walk(one) if isinstance(node, ast.Call))
    return all(_called(node) in {"print", "assertTrue", "assertEqual", "assertIsNone"} for node in calls)
