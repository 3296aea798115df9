"""A shell command line read into the simple commands that it runs, also those inside of others.

The line is parsed as the shell will parse it. What cannot be parsed, or runs a program whose name is only
known when it runs, is refused: nobody could say what it does.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from apps.commands.words import Variables, Word, is_unknown, pieces, text_of, words
from apps.commands.wrappers import ASSIGNMENT, SHELLS, inner_commands
from apps.core.errors import BadInput

DEEPEST, MOST = 8, 400
FETCHERS = {"curl", "wget", "fetch", "aria2c", "http", "https", "nc", "ncat", "socat"}
INTERPRETERS = SHELLS | {"python", "python3", "node", "perl", "ruby", "php"}
_GIT_VALUES = {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"}
HINT = "Write it out in plain words, or put it into a script of the repository and run that."


class Unreadable(BadInput):
    """Nobody can say what the command would do."""


@dataclass(frozen=True)
class Simple:
    """One command with its arguments; `assignments` stand before it, `|` joins the stages of a pipeline."""

    words: tuple[Word, ...]
    assignments: tuple[Word, ...] = ()
    is_pipe: bool = False

    @property
    def name(self) -> str:
        return self.words[0].value.rpartition("/")[2]

    @property
    def shown(self) -> str:
        return " ".join(word.shown for word in (*self.assignments, *self.words))

    @property
    def is_known(self) -> bool:
        return all(word.is_known for word in (*self.assignments, *self.words))

    @functools.cached_property
    def spellings(self) -> tuple[str, ...]:
        """The ways a rule may name it: as written, without the program's directory, without git's options."""
        values = [word.value for word in self.words]
        plain = [self.name, *values[1:]]
        found = [values, plain]
        if self.name == "git" and not self.is_pipe:
            found.append(["git", *_without_options(values[1:])])
        if self.assignments:
            found.append([word.value for word in self.assignments] + plain)
        return tuple(dict.fromkeys(" ".join(spelling) for spelling in found))


def read_commands(line: str) -> tuple[Simple, ...]:
    """All simple commands of a command line and its pipelines, outer ones first. Raises Unreadable."""
    found: list[Simple] = []
    _Reader.read(line, 0, found)
    return tuple(found)


@functools.cache
def _language() -> Language:
    return Language(tree_sitter_bash.language())


@dataclass
class _Reader:
    """Reads one script; scripts inside of it get readers of their own that add to the same list."""

    variables: Variables
    depth: int
    found: list[Simple]

    @classmethod
    def read(cls, script: str, depth: int, found: list[Simple]) -> None:
        if depth > DEEPEST:
            raise Unreadable("The command nests shells too deeply to be judged.", hint=HINT)
        if is_unknown(script):
            raise Unreadable(
                "The command runs a script that is only known when it runs, so it cannot be judged.",
                hint=HINT,
            )
        root = Parser(_language()).parse(script.encode("utf-8", "replace")).root_node
        if root.has_error:
            raise _unparsed(root, script)
        cls(Variables.of(root), depth, found)._visit(root, None)

    def _visit(self, node: Node, stdin: Word | None) -> None:
        match node.type:
            case "command":
                self._command(node, stdin)
            case "pipeline":
                self._pipeline([one for one in node.named_children if one.type != "comment"], stdin)
            case "redirected_statement":
                self._redirected(node, stdin)
            case _:
                for child in node.named_children:
                    self._visit(child, stdin)

    def _command(self, node: Node, stdin: Word | None) -> None:
        for child in node.named_children:
            if child.type == "herestring_redirect":
                stdin = self._text(child)
            self._substitutions(child)
        if node.child_by_field_name("name") is None:
            return  # assignments alone
        self._add(self._words(node), self._before(node), stdin, node)

    def _words(self, node: Node) -> list[Word]:
        found: list[Word] = []
        for place, child in enumerate(node.children):
            if node.field_name_for_child(place) in {"name", "argument"}:
                inner = child.named_children[0] if child.type == "command_name" else child
                found += words(inner, self.variables)
        return found

    def _before(self, node: Node) -> tuple[Word, ...]:
        found = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
                text = "".join(part for part, _ in pieces(value, self.variables)) if value else ""
                head = f"{text_of(name) if name else ''}="
                found.append(Word(head + text, text_of(child) if is_unknown(text) else head + text))
        return tuple(found)

    def _add(
        self,
        found: Sequence[Word],
        before: tuple[Word, ...],
        stdin: Word | None,
        node: Node | None = None,
    ) -> None:
        given = list(found)
        while given and ASSIGNMENT.match(given[0].value):  # after expansion it is a word like any other
            given.pop(0)
        if not given:
            return
        if not given[0].is_known:
            raise Unreadable(
                f"Which program {given[0].shown!r} names is only known when it runs, so it cannot be judged.",
                hint=HINT,
            )
        if len(self.found) >= MOST:
            raise Unreadable(f"The command line runs more than {MOST} commands.", hint=HINT)
        simple = Simple(tuple(given), before)
        self.found.append(simple)
        if node is not None and simple.name in INTERPRETERS | {".", "source", "eval"}:
            self._fetched(node, simple)
        for inner in inner_commands(simple.words, stdin):
            if inner.script is not None:
                self.read(inner.script.value, self.depth + 1, self.found)
            else:
                self._add(inner.words, (), stdin)

    def _fetched(self, node: Node, simple: Simple) -> None:
        """`bash <(curl ...)` and `sh -c "$(curl ...)"` are pipes in another spelling."""
        for inner in _descend(node):
            if inner.type == "command" and inner != node:
                source = self._words(inner)
                if source and source[0].value.rpartition("/")[2] in FETCHERS:
                    self._pipe([source, list(simple.words)])

    def _substitutions(self, node: Node) -> None:
        """Commands inside of words."""
        if node.type in {"command_substitution", "process_substitution"}:
            for child in node.named_children:
                self._visit(child, None)
            return
        for child in node.named_children:
            self._substitutions(child)

    def _pipeline(self, stages: Sequence[Node], stdin: Word | None) -> None:
        told: list[list[Word]] = []
        for stage in stages:
            before = len(self.found)
            self._visit(stage, stdin)
            first = next((one for one in self.found[before:] if not one.is_pipe), None)
            told.append(list(first.words) if first is not None else [])
            stdin = _said(first) if stage.type == "command" and first is not None else None
        self._pipe(told)

    def _pipe(self, stages: Sequence[Sequence[Word]]) -> None:
        joined: list[Word] = []
        for stage in stages:
            if stage:
                head = stage[0].value.rpartition("/")[2]
                joined += [Word("|", "|")] if joined else []
                joined += [Word(head, head), *stage[1:]]
        if any(word.value == "|" for word in joined):
            self.found.append(Simple(tuple(joined), is_pipe=True))

    def _redirected(self, node: Node, stdin: Word | None) -> None:
        body = node.child_by_field_name("body")
        following: list[Node] = []
        for redirect in node.named_children:
            if redirect == body:
                continue
            if redirect.type == "heredoc_redirect":
                stdin = self._heredoc(redirect)
                following += [
                    one for one in redirect.named_children if one.type in {"pipeline", "list", "command"}
                ]
            self._substitutions(redirect)
        before = len(self.found)
        if body is not None:
            self._visit(body, stdin)
        first = next((one for one in self.found[before:] if not one.is_pipe), None)
        for one in following:
            # `cat <<EOF | sh`: the grammar hangs what follows on the here-document.
            fed = stdin if first is not None and first.name == "cat" else None
            stages = one.named_children if one.type == "pipeline" else [one]
            self._pipeline(stages, fed)
            self._pipe([first.words if first else (), self.found[-1].words])

    def _heredoc(self, redirect: Node) -> Word:
        start = next((one for one in redirect.named_children if one.type == "heredoc_start"), None)
        body = next((one for one in redirect.named_children if one.type == "heredoc_body"), None)
        if body is None:
            return Word("", "")
        if start is not None and set(text_of(start)) & set("'\"\\"):
            return Word(text_of(body), text_of(body))
        return self._text(body)

    def _text(self, node: Node) -> Word:
        return Word("".join(part for part, _ in pieces(node, self.variables)), text_of(node))


def _said(command: Simple | None) -> Word | None:
    """What `echo` and `printf` print, where the next stage of a pipeline runs it."""
    if command is None or command.name not in {"echo", "printf"}:
        return None
    shown = [word for word in command.words[1:] if word.value not in {"-e", "-n", "-E", "--"}]
    text = " ".join(word.value for word in shown)
    return Word(text.replace("\\n", "\n").replace("%s", " "), text)


def _descend(node: Node) -> Iterator[Node]:
    yield node
    for child in node.named_children:
        yield from _descend(child)


def _without_options(values: Sequence[str]) -> list[str]:
    """Git's words from its subcommand on."""
    rest = list(values)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in _GIT_VALUES and rest:
            rest.pop(0)
    return rest


def _unparsed(root: Node, script: str) -> Unreadable:
    wrong = [node for node in _descend(root) if node.is_error or node.is_missing]
    last = max(wrong, key=lambda node: node.start_byte, default=root)  # the outer ones begin with good text
    inner = [one for one in last.children if last.is_error and one.start_point.row > last.start_point.row]
    row, column = (inner[0] if inner else last).start_point
    line = script.splitlines()[row] if row < len(script.splitlines()) else ""
    return Unreadable(
        f"The command cannot be parsed at line {row + 1}, column {column + 1}: {line.strip()[:200]!r}.",
        hint="Mind quotes, brackets and keywords; use plain POSIX shell.",
    )
