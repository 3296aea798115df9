"""Definitions and syntax errors by tree-sitter, for the languages whose grammars are installed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_rust
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

_SCRIPT = {
    "function_declaration": "function", "generator_function_declaration": "function",
    "class_declaration": "class", "method_definition": "method", "variable_declarator": "value",
}  # fmt: skip
_TYPED = {
    **_SCRIPT, "abstract_class_declaration": "class", "interface_declaration": "interface",
    "type_alias_declaration": "type", "enum_declaration": "enum",
}  # fmt: skip
_GO = {"function_declaration": "function", "method_declaration": "method", "type_spec": "type"}
_RUST = {
    "function_item": "function", "struct_item": "struct", "enum_item": "enum", "trait_item": "trait",
    "impl_item": "", "macro_definition": "macro", "type_item": "type", "const_item": "value",
    "mod_item": "module", "function_signature_item": "method",
}  # fmt: skip
_JAVA = {
    "class_declaration": "class", "interface_declaration": "interface", "enum_declaration": "enum",
    "record_declaration": "class", "method_declaration": "method", "constructor_declaration": "method",
}  # fmt: skip
_OWNERS = {"class", "interface", "enum", "trait", "struct", ""}
_DEEPEST = 8
_CALLABLE = {"arrow_function", "function_expression", "generator_function", "class"}


class Grammar(NamedTuple):
    load: Callable[[], object]
    kinds: dict[str, str]


_GRAMMARS = {
    "javascript": Grammar(tree_sitter_javascript.language, _SCRIPT),
    "typescript": Grammar(tree_sitter_typescript.language_typescript, _TYPED),
    "tsx": Grammar(tree_sitter_typescript.language_tsx, _TYPED),
    "go": Grammar(tree_sitter_go.language, _GO),
    "rust": Grammar(tree_sitter_rust.language, _RUST),
    "java": Grammar(tree_sitter_java.language, _JAVA),
}
_SUFFIXES = {
    ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
    ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
    ".go": "go", ".rs": "rust", ".java": "java",
}  # fmt: skip


def language_of(path: str) -> str | None:
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower())


@functools.cache
def _language(name: str) -> Language:
    return Language(_GRAMMARS[name].load())


def _root(path: str, text: str) -> tuple[str, Node]:
    name = _SUFFIXES[PurePosixPath(path).suffix.lower()]
    return name, Parser(_language(name)).parse(text.encode("utf-8", "replace")).root_node


def tree_definitions(path: str, text: str) -> Iterator[tuple[str, str, int, int, str]]:
    """(name, kind, first line, last line, owner) of what the file defines, in order."""
    name, root = _root(path, text)
    kinds = _GRAMMARS[name].kinds
    waiting: list[tuple[Node, str, int]] = [(root, "", 0)]
    while waiting:
        node, owner, depth = waiting.pop()
        kind = kinds.get(node.type)
        if kind is not None and depth:
            named = _named(node)
            if kind and named:
                told = "method" if owner and kind == "function" else kind
                holder = owner or _receiver(node)
                yield named, told, node.start_point.row + 1, node.end_point.row + 1, holder
            if kind not in _OWNERS:
                continue  # what is inside a function is its own affair
            owner = named
        if depth < _DEEPEST:
            waiting.extend((child, owner, depth + 1) for child in reversed(node.named_children))


def _named(node: Node) -> str:
    field = node.child_by_field_name("type" if node.type == "impl_item" else "name")
    if field is None or field.text is None:
        return ""
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        at_top = node.parent is not None and node.parent.parent is not None
        inner = at_top and node.parent.parent.type not in {"program", "export_statement"}  # type: ignore[union-attr]
        if inner and (value is None or value.type not in _CALLABLE):
            return ""
    return field.text.decode("utf-8", "replace").partition("<")[0]


def _receiver(node: Node) -> str:
    """The type of a Go method."""
    field = node.child_by_field_name("receiver")
    if field is None or field.text is None:
        return ""
    words = field.text.decode("utf-8", "replace").strip("()").replace("*", " ").split()
    return words[-1].partition("[")[0] if words else ""


def tree_error(path: str, text: str) -> str:
    """Where the file stops making sense to its grammar, or ""."""
    _, root = _root(path, text)
    if not root.has_error:
        return ""
    node = root
    while not (node.is_error or node.is_missing):
        broken = [child for child in node.children if child.has_error or child.is_missing]
        if not broken:
            break
        node = broken[0]
    line = node.start_point.row + 1
    if node.is_missing:
        return f"line {line}: {node.type!r} is missing"
    lines = text.split("\n")
    return f"line {line}: not understood near {lines[min(line, len(lines)) - 1].strip()[:80]!r}"
