"""Assertions of Python: bare `assert`, unittest's methods, `raises`; and what skips a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from apps.agents.tampering.cases import EXACT, LOOSE, TRIVIAL, Check

EXACT_METHODS = {
    "assertEqual", "assertEquals", "assertIs", "assertListEqual", "assertDictEqual", "assertSetEqual",
    "assertTupleEqual", "assertSequenceEqual", "assertMultiLineEqual", "assertCountEqual",
    "assertRaisesRegex", "assertAlmostEqual", "assertJSONEqual", "assert_called_once_with",
    "assert_called_with",
    "assert_has_calls", "assertRedirects", "assertHTMLEqual", "assertQuerySetEqual", "assertNumQueries",
}  # fmt: skip
EXACT_OPS = (ast.Eq, ast.Is)
RAISES = {"raises", "assertRaises", "assertRaisesRegex", "assertRaisesMessage", "warns", "assertWarns"}
BROAD = {"Exception", "BaseException"}
MAX_WEIGHT = 50


def checks_of(statement: ast.stmt, times: int = 1) -> Iterator[Check]:
    """The checks of a statement and of what is nested in it; loops over written-out data count each row."""
    for node, many in _walk(statement, times):
        if isinstance(node, ast.Assert):
            for part in _conjuncts(node.test):
                yield _expression(part, many)
        elif isinstance(node, ast.Call) and (check := _call(node, many)):
            yield check


def skips(node: ast.AST) -> bool:
    """Whether a decorator, a call or a statement takes a test out of the run."""
    if isinstance(node, ast.Raise):
        return node.exc is not None and "SkipTest" in ast.unparse(node.exc)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
    elif isinstance(node, ast.Attribute):
        name = ast.unparse(node)
    else:
        return False
    return name.rpartition(".")[2] in {
        "skip",
        "skipif",
        "skipIf",
        "skipUnless",
        "xfail",
        "skipTest",
        "expectedFailure",
    }


def is_conditional(node: ast.AST) -> bool:
    """`skipif(<something that is not the same everywhere>)`."""
    if not isinstance(node, ast.Call) or not node.args or isinstance(node.args[0], ast.Constant):
        return False
    return ast.unparse(node.func).rpartition(".")[2] in {"skipif", "skipIf", "skipUnless"}


def _walk(node: ast.AST, times: int) -> Iterator[tuple[ast.AST, int]]:
    yield node, times
    if isinstance(node, ast.For) and isinstance(node.iter, ast.List | ast.Tuple | ast.Set):
        times *= max(1, len(node.iter.elts))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, times)


def _conjuncts(test: ast.expr) -> list[ast.expr]:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return [part for value in test.values for part in _conjuncts(value)]
    return [test]


def _expression(test: ast.expr, times: int) -> Check:
    """What `assert <test>` checks."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right = test.left, test.comparators[0]
        strength = EXACT if isinstance(test.ops[0], EXACT_OPS) else LOOSE
        if isinstance(right, ast.Constant) and right.value is None and isinstance(test.ops[0], ast.IsNot):
            strength = LOOSE
        if _tolerance(right) or _tolerance(left):
            strength = LOOSE
        return _check(left, right, strength, times)
    if isinstance(test, ast.Compare):  # a <= b <= c
        return _check(test.left, None, LOOSE, times, whole=test)
    return _check(test, None, LOOSE, times)


def _tolerance(node: ast.expr) -> bool:
    """`approx` with so wide a margin that it says nothing."""
    if not isinstance(node, ast.Call):
        return False
    if ast.unparse(node.func) == "round":  # to tens, hundreds, ...
        return any(isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub) for one in node.args[1:])
    if not ast.unparse(node.func).endswith("approx"):
        return False
    values = [one.value for one in node.keywords] + node.args[1:]
    return any(_number(value) >= 1 for value in values)


def _number(node: ast.expr) -> float:
    value = node.value if isinstance(node, ast.Constant) else None
    return abs(float(value)) if isinstance(value, int | float) else 0.0


def _call(node: ast.Call, times: int) -> Check | None:
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    if name in RAISES:
        return _raises(node, name, times)
    if name == "fail" and isinstance(func, ast.Attribute):
        return Check(ast.unparse(node), "", LOOSE)
    if not name.startswith("assert") or not isinstance(func, ast.Attribute):
        return None
    if not node.args:
        return Check(ast.unparse(func), "", LOOSE, _subject(func.value), times)
    if name in {"assertTrue", "assert_"}:
        (*_, last) = [_expression(part, times) for part in _conjuncts(node.args[0])]
        return last
    right = node.args[1] if len(node.args) > 1 else None
    strength = EXACT if name in EXACT_METHODS else LOOSE
    if name == "assertAlmostEqual" and any(
        one.arg == "delta" and _number(one.value) >= 1 for one in node.keywords
    ):
        strength = LOOSE
    check = _check(node.args[0], right, strength, times)
    if name in {"assertFalse", "assertIsNone", "assertIsNotNone", "assertIn", "assertNotEqual"}:
        falsy = isinstance(node.args[0], ast.Constant)
        return Check(
            check.left, f"{name} {check.right}", TRIVIAL if falsy and right is None else check.strength,
            check.subject, check.weight, check.given, check.expected,
        )  # fmt: skip
    return check


def _raises(node: ast.Call, name: str, times: int) -> Check:
    expected = ast.unparse(node.args[0]) if node.args else ""
    strength = LOOSE if expected in BROAD or not expected else EXACT
    subject = ast.unparse(node.args[1]) if len(node.args) > 1 else ""
    return Check(f"raises {expected} {subject}".strip(), expected, strength, subject, times)


def _check(
    left: ast.expr, right: ast.expr | None, strength: int, times: int, *, whole: ast.expr | None = None
) -> Check:
    if right is not None and isinstance(left, ast.Constant) and not isinstance(right, ast.Constant):
        left, right = right, left  # assertEqual(3, add(1, 2))
    about = whole or left
    if _cannot_fail(about, right):
        strength = TRIVIAL
    size = len(right.elts) if isinstance(right, ast.List | ast.Tuple | ast.Set) else 1
    return Check(
        left=ast.unparse(about),
        right=ast.unparse(right) if right is not None else "",
        strength=strength,
        subject=_subject(about),
        weight=min(MAX_WEIGHT, max(1, size) * times),
        given=frozenset(_constants(about)),
        expected=frozenset(_constants(right)),
    )


def _cannot_fail(left: ast.expr, right: ast.expr | None) -> bool:
    if right is not None:
        same = ast.dump(left) == ast.dump(right)
        both = isinstance(left, ast.Constant) and isinstance(right, ast.Constant)
        return same or both
    if isinstance(left, ast.Constant | ast.Tuple | ast.List | ast.JoinedStr | ast.Lambda):
        return True
    if isinstance(left, ast.BoolOp) and isinstance(left.op, ast.Or):
        return any(_is_true(value) for value in left.values)
    return isinstance(left, ast.UnaryOp) and isinstance(left.operand, ast.Constant)


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(node.value)


def _subject(node: ast.AST) -> str:
    """The function that an expression is about: its outermost call, builtins like `len` aside."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            name = ast.unparse(one.func)
            if name not in {
                "len",
                "str",
                "int",
                "list",
                "sorted",
                "set",
                "dict",
                "tuple",
                "isinstance",
                "repr",
                "bool",
            }:
                return name.rpartition(".")[2]
    return ""


def _constants(node: Any) -> Iterator[str]:
    if node is not None:
        yield from (str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant))
