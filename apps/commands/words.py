"""What the words of a shell command come to: quotes, variables and escapes resolved as far as they are known.

A part that is only known when the command runs stands as UNKNOWN in a word's value; judging assumes the worst
of it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tree_sitter import Node

UNKNOWN = "\0"  # within one word; no command can hold it
MANY = "\1"  # what may become several words
GLOB = re.compile(r"[*?]|\[[^\]]*\]")
BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")
ENVIRONMENT = {"HOME": "/home/agent", "PWD": "/work", "IFS": " "}  # as the sandbox sets them
WRITERS = {"read", "mapfile", "readarray", "getopts", "printf", "let", "unset"}


@dataclass(frozen=True)
class Word:
    """`value` is the word after expansion; `shown` is its source where that is not known."""

    value: str
    shown: str

    @property
    def is_known(self) -> bool:
        return not is_unknown(self.value)


def is_unknown(text: str) -> bool:
    return UNKNOWN in text or MANY in text


@dataclass
class Variables:
    """Values that the script itself gives, each by one plain assignment; others are unknown, or unset."""

    assigned: Mapping[str, Node | None]
    _resolving: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, root: Node) -> Variables:
        found: dict[str, Node | None] = {}
        for node in descendants(root):
            for name, value in _assignments(node):
                found[name] = None if name in found else value
        return cls(found)

    def value(self, name: str) -> str:
        if name in self.assigned:
            node = self.assigned[name]
            if node is None or name in self._resolving:
                return UNKNOWN
            self._resolving.add(name)
            try:
                return "".join(part for part, _ in pieces(node, self))
            finally:
                self._resolving.discard(name)
        if not name[:1].isalpha() and name[:1] != "_":
            return UNKNOWN  # positional and special ones
        if name in ENVIRONMENT:
            return ENVIRONMENT[name]
        return UNKNOWN if name.isupper() and name in _INHERITED else ""


_INHERITED = {"PATH", "OLDPWD", "RANDOM", "SECONDS", "HOSTNAME", "SHELL", "USER", "LOGNAME", "LANG", "TERM",
              "PPID", "UID", "BASH", "LINENO", "CI", "LD_LIBRARY_PATH"}  # fmt: skip


def descendants(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(current.named_children))


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _assignments(node: Node) -> Iterator[tuple[str, Node | None]]:
    """Variables that a node sets, with the node of the value where it is plain."""
    if node.type == "variable_assignment":
        name = node.child_by_field_name("name")
        plain = "+=" not in text_of(node).split("=", 1)[0] + "=" and not _is_prefix(node)
        value = node.child_by_field_name("value")
        if name is not None and name.type == "variable_name":
            yield text_of(name), value if plain else None
            if _is_repeated(node):
                yield text_of(name), None
    elif node.type in {"for_statement", "select_statement"}:
        if (variable := node.child_by_field_name("variable")) is not None:
            yield text_of(variable), None
    elif node.type in {"command", "unset_command"}:
        name = node.child_by_field_name("name")
        if node.type == "unset_command" or (name is not None and text_of(name) in WRITERS):
            yield from ((text_of(word), None) for word in node.named_children)


def _is_prefix(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "command"


def _is_repeated(node: Node) -> bool:
    """Set under a condition or in a loop: what it is afterwards is not known."""
    parent = node.parent
    while parent is not None:
        if parent.type in {"if_statement", "while_statement", "for_statement", "case_statement", "list"}:
            return parent.type != "list" or b"||" in (parent.text or b"")
        parent = parent.parent
    return False


def words(node: Node, variables: Variables) -> list[Word]:
    """The words that one argument becomes: none for an unset variable, several for a split value."""
    source = text_of(node)
    if node.type in {"word", "concatenation"} and BRACES.search(source):
        return [Word(MANY, source)]
    fields: list[str] = []
    joined, quoted = "", False
    for part, is_quoted in pieces(node, variables):
        quoted = quoted or is_quoted
        if is_quoted:
            joined += part
            continue
        head, *rest = re.split(r"\s+", part.replace(UNKNOWN, MANY))
        for piece in rest:
            fields += [joined + head] if joined + head else []
            joined, head = "", piece
        joined += head
    if joined or quoted:
        fields.append(joined)
    return [Word(value, source if is_unknown(value) else value) for value in fields]


def pieces(node: Node, variables: Variables) -> Iterator[tuple[str, bool]]:
    """(text, whether quotes protect it) of each part of a word."""
    source = text_of(node)
    match node.type:
        case "word" | "number" | "variable_name" | "extglob_pattern" | "regex" | "file_descriptor":
            yield _unescaped(source), True
        case "raw_string":
            yield source[1:-1], True
        case "ansi_c_string":
            yield _ansi_c(source[2:-1]), True
        case "string" | "heredoc_body":
            yield "".join(_inside_string(node, variables)), True
        case "translated_string" | "concatenation" | "command_name" | "herestring_redirect":
            for child in node.named_children:
                yield from pieces(child, variables)
        case "simple_expansion":
            yield variables.value(source[1:]), False
        case "expansion" if re.fullmatch(r"\$\{\w+\}", source):
            yield variables.value(source[2:-1]), False
        case _:
            yield UNKNOWN, node.type == "process_substitution"


def _unescaped(text: str) -> str:
    """An unquoted word: backslashes taken off, patterns unknown, `~` and `~/` at home."""
    if text == "~" or text.startswith("~/"):
        text = ENVIRONMENT["HOME"] + text[1:]
    parts = re.split(r"(\\.)", text, flags=re.DOTALL)
    return "".join(
        part[1:].replace("\n", "") if part.startswith("\\") and len(part) == 2 else GLOB.sub(UNKNOWN, part)
        for part in parts
    )


def _inside_string(node: Node, variables: Variables) -> Iterator[str]:
    raw = node.text or b""
    start, end = node.start_byte, node.end_byte
    if node.type == "string":
        start, end = start + 1, end - 1
    place = start
    for child in node.named_children:
        if child.type in {"string_content", "heredoc_content"}:
            continue
        yield _double_quoted(raw[place - node.start_byte : child.start_byte - node.start_byte])
        yield from (part for part, _ in pieces(child, variables))
        place = child.end_byte
    yield _double_quoted(raw[place - node.start_byte : end - node.start_byte])


def _double_quoted(raw: bytes) -> str:
    return re.sub(r'\\(["\\$`])|\\\n', lambda match: match[1] or "", raw.decode("utf-8", "replace"))


def _ansi_c(text: str) -> str:
    try:
        return codecs.decode(text.encode("latin-1", "backslashreplace"), "unicode_escape")
    except (UnicodeDecodeError, ValueError):
        return UNKNOWN
