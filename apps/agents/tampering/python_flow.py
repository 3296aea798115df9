"""What of a Python test is reached, what keeps it from running, and what it replaces by mocks."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

Function = ast.FunctionDef | ast.AsyncFunctionDef
SWALLOWED = {"Exception", "BaseException", "AssertionError"}


def live_statements(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], str]:
    """The statements that can make a test fail, and why it checks nothing if it leaves at once."""
    called = {node.id for one in body for node in ast.walk(one) if _is_used(node)}
    live = _reached([_Pruned(called).visit(copy.deepcopy(node)) for node in body])
    left_early = len(live) < len(body) and isinstance(live[-1], ast.Return) and len(live) == 1
    return live, "it returns before it has checked anything" if left_early else ""


def _is_used(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


class _Pruned(ast.NodeTransformer):
    """Puts `pass` in the place of what is never reached, or whose failure is swallowed."""

    def __init__(self, called: set[str]) -> None:
        self.called = called

    def visit_If(self, node: ast.If) -> ast.AST:
        if _is_constant(node.test, False):
            return _block(node, node.orelse)
        return self._inside(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return ast.Pass() if _is_constant(node.test, False) else self._inside(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        empty = isinstance(node.iter, ast.List | ast.Tuple) and not node.iter.elts
        return ast.Pass() if empty else self._inside(node)

    def visit_Try(self, node: ast.Try) -> ast.AST:
        leaves = any(isinstance(one, ast.Return | ast.Break | ast.Continue) for one in node.finalbody)
        swallowed = leaves or any(_swallows(one) for one in node.handlers)
        return ast.Pass() if swallowed else self._inside(node)

    def visit_With(self, node: ast.With) -> ast.AST:
        lost = any(_suppresses(item.context_expr) for item in node.items)
        return ast.Pass() if lost else self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node if node.name in self.called or node.decorator_list else ast.Pass()

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return ast.Pass() if isinstance(node.value, ast.Lambda) and not names & self.called else node

    def _inside(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.body = _reached(node.body)
        fixed: ast.AST = ast.fix_missing_locations(node)
        return fixed


def _reached(body: list[ast.stmt]) -> list[ast.stmt]:
    for position, node in enumerate(body):
        if isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break):
            return body[: position + 1]
    return body


def _block(node: ast.If, body: list[ast.stmt]) -> ast.stmt:
    """What is left of a branch whose condition is known."""
    kept = ast.If(test=ast.Constant(value=True), body=body or [ast.Pass()], orelse=[])
    return ast.fix_missing_locations(ast.copy_location(kept, node))


def _is_constant(node: ast.expr, truth: bool) -> bool:
    return isinstance(node, ast.Constant) and bool(node.value) is truth


def _swallows(handler: ast.ExceptHandler) -> bool:
    """`except Exception: pass`: the failure of a check is lost."""
    names = _names(handler.type) if handler.type is not None else {"BaseException"}
    if not names & SWALLOWED:
        return False
    fails = (ast.Raise, ast.Assert)
    return not any(
        isinstance(node, fails) or (isinstance(node, ast.Call) and _ends(node, {"fail", "failureException"}))
        or (isinstance(node, ast.Attribute) and node.attr.startswith("assert"))
        for one in handler.body
        for node in ast.walk(one)
    )  # fmt: skip


def _suppresses(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and _ends(node, {"suppress"})
        and any(_names(one) & SWALLOWED for one in node.args)
    )


def _names(node: ast.expr | None) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} if node is not None else set()


def _ends(node: ast.Call, names: set[str]) -> bool:
    return ast.unparse(node.func).rpartition(".")[2] in names


def swallowing(decorator: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a decorator of one's own loses the failures of what it wraps."""
    return any(
        isinstance(node, ast.Try) and any(_swallows(one) for one in node.handlers)
        for node in ast.walk(decorator)
    )


def will_not_run(function: Function, owner: ast.ClassDef | None) -> str:
    """Why a collected test is never executed; empty if it is."""
    bases = [ast.unparse(base) for base in owner.bases] if owner else []
    is_unittest = any(base.endswith("TestCase") for base in bases)
    is_async_case = any("Async" in base for base in bases)
    if isinstance(function, ast.AsyncFunctionDef) and is_unittest and not is_async_case:
        return "it is a coroutine that nobody awaits"
    if is_unittest and any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(function)):
        return "it is a generator that nobody runs"
    if any(_is_fixture(one) for one in function.decorator_list):
        return "it is a fixture now"
    return "it is run with no data" if any(_is_without_data(one) for one in function.decorator_list) else ""


def _is_without_data(node: ast.expr) -> bool:
    """`parametrize` over nothing."""
    if not isinstance(node, ast.Call) or not _ends(node, {"parametrize", "expand"}) or not node.args:
        return False
    data = node.args[-1]
    if isinstance(data, ast.GeneratorExp | ast.ListComp):
        return any(_is_constant(test, False) for one in data.generators for test in one.ifs)
    if isinstance(data, ast.Call):
        return ast.unparse(data) in {"list()", "tuple()", "set()", "range(0)", "iter(())", "iter([])"}
    return isinstance(data, ast.List | ast.Tuple | ast.Set) and not data.elts


def _own(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _is_fixture(node: ast.expr) -> bool:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).endswith("fixture")


def replacements(function: Function, owner: ast.ClassDef | None) -> frozenset[str]:
    """Names that mocks, monkeypatches and assignments put something else in the place of."""
    found = set(_patched(function))
    for decorator in [*function.decorator_list, *(owner.decorator_list if owner else ())]:
        found |= set(_patched(decorator))
    return frozenset(found)


def _patched(root: ast.AST) -> Iterator[str]:
    for node in ast.walk(root):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            texts = [
                one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            if called.endswith(("patch", "setattr", "patch.object")) and texts:
                yield texts[0 if "." in texts[0] else -1].rpartition(".")[2]
        elif isinstance(node, ast.Assign):
            value = node.value
            fake = isinstance(value, ast.Lambda) or (
                isinstance(value, ast.Call) and "Mock" in ast.unparse(value.func)
            )
            for target in node.targets:
                if fake and isinstance(target, ast.Attribute):
                    yield target.attr
                elif fake and isinstance(target, ast.Name):
                    yield target.id
