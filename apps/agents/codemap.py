"""What a repository defines and where: definitions of each file, and a map of all within a budget.

Python is read by its own parser, JavaScript, TypeScript, Go, Rust and Java by tree-sitter; a file that does
not parse still gives what can be recognized in it.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from apps.agents.codemap_trees import language_of, tree_definitions
from apps.agents.paths import GENERATED
from apps.core.errors import LoomError

MAX_PARSED = 300_000  # characters of a file
MAX_FILES = 3_000  # files read for one map
MAP_TOKENS = 4_000
CHARS_PER_TOKEN = 4  # a little more in code; the budget errs on the small side
_HEADS = re.compile(r"^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w{2,}")
_KEPT = 5_000


@dataclass(frozen=True)
class Definition:
    """`owner` is the class, type or implementation it belongs to, "" at the top."""

    name: str
    kind: str
    line: int
    last: int
    owner: str = ""


_known: OrderedDict[bytes, tuple[Definition, ...]] = OrderedDict()


def can_map(path: str) -> bool:
    return path.endswith((".py", ".pyi")) or language_of(path) is not None


def definitions_of(path: str, text: str) -> tuple[Definition, ...]:
    """Functions, classes, types and the values at the top of a file, in order; () where nothing can tell."""
    if not can_map(path) or len(text) > MAX_PARSED:
        return ()
    suffix = PurePosixPath(path).suffix
    key = hashlib.blake2b(f"{suffix}\0{text}".encode("utf-8", "replace"), digest_size=16).digest()
    found = _known.pop(key, None)
    if found is None:
        if suffix in {".py", ".pyi"}:
            found = tuple(_python(text))
        else:
            found = tuple(Definition(*row) for row in tree_definitions(path, text))
    _known[key] = found
    while len(_known) > _KEPT:
        _known.popitem(last=False)
    return found


def _python(text: str) -> Iterator[Definition]:
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        for head in _HEADS.finditer(text):
            line = text.count("\n", 0, head.start()) + 1
            yield Definition(head[3], "class" if head[2] == "class" else "function", line, line)
        return
    yield from _members(tree.body, "")


def _members(body: list[ast.stmt], owner: str) -> Iterator[Definition]:
    for node in body:
        last = node.end_lineno or node.lineno
        if isinstance(node, ast.ClassDef):
            yield Definition(node.name, "class", node.lineno, last, owner)
            yield from _members(node.body, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition(node.name, "method" if owner else "function", node.lineno, last, owner)
        elif isinstance(node, ast.If | ast.Try):
            yield from _members([*node.body, *node.orelse], owner)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield Definition(target.id, "value", node.lineno, last, owner)


def code_map(files: Iterable[str], read: Callable[[str], bytes], *, tokens: int = MAP_TOKENS) -> str:
    """Every file of a repository, those that others lean on with what they define, within `tokens`.

    What does not fit is left out in this order: members of classes, definitions of files that few others
    mention, names of files (their directories are counted instead).
    """
    paths = [path for path in files if not GENERATED.intersection(PurePosixPath(path).parts)]
    room = tokens * CHARS_PER_TOKEN
    defined, mentions = _read_all(paths, read)
    full: dict[str, str] = {}
    for members in (True, False):
        full = {path: _told(found, members=members) for path, found in defined.items()}
        lines = _lines(paths, full)
        if sum(map(len, lines)) + len(lines) <= room:
            return "\n".join(lines)
    weights = _weights(defined, mentions)
    names = _lines(paths, {})
    size = sum(map(len, names)) + len(names)
    if size <= room:
        return "\n".join(_lines(paths, _fitted(full, weights, room - size)))
    folders = _folders(paths, room // 2)
    main = _fitted(full, weights, room - len(folders), whole_lines=True)
    return "\n".join([folders, "", *(f"{path}: {told}" for path, told in main.items())])


def _read_all(
    paths: list[str], read: Callable[[str], bytes]
) -> tuple[dict[str, tuple[Definition, ...]], Counter[str]]:
    """What each file defines, and in how many files each word stands."""
    defined: dict[str, tuple[Definition, ...]] = {}
    mentions: Counter[str] = Counter()
    for path in [path for path in paths if can_map(path)][:MAX_FILES]:
        try:
            text = read(path).decode("utf-8", "replace")
        except (LoomError, OSError):
            continue
        defined[path] = definitions_of(path, text)
        if len(text) <= MAX_PARSED:
            mentions.update(set(_NAME.findall(text)))
    return defined, mentions


def _told(found: tuple[Definition, ...], *, members: bool) -> str:
    """`Shop(open, close), main`: classes with their methods, then what else stands at the top."""
    parts = []
    for one in found:
        if one.owner or one.kind == "value" or one.name.startswith("_"):
            continue
        inner = [two.name for two in found if two.owner == one.name and two.kind != "value"]
        public = [name for name in inner if not name.startswith("_")]
        parts.append(f"{one.name}({', '.join(public)})" if members and public else one.name)
    owners = {one.name for one in found if not one.owner}
    strays = dict.fromkeys(one.owner for one in found if one.owner and one.owner not in owners)
    return ", ".join([*parts, *strays])


def _lines(paths: list[str], told: dict[str, str]) -> list[str]:
    """The files of each directory under its name."""
    lines, folder = list[str](), "."
    for path in sorted(paths, key=lambda path: PurePosixPath(path).parent.parts):
        place = PurePosixPath(path)
        if str(place.parent) != folder:
            folder = str(place.parent)
            lines.append(f"{folder}/")
        indent = "" if folder == "." else "  "
        lines.append(indent + (f"{place.name}: {told[path]}" if told.get(path) else place.name))
    return lines


def _weights(defined: dict[str, tuple[Definition, ...]], mentions: Counter[str]) -> dict[str, float]:
    """How much of a repository leans on each file; tests, which nobody imports, come out low."""
    return {
        path: sum(mentions[one.name] - 1 for one in found if not one.owner) / (len(found) + 1)
        for path, found in defined.items()
    }


def _fitted(
    full: dict[str, str], weights: dict[str, float], room: int, *, whole_lines: bool = False
) -> dict[str, str]:
    """As many files with their definitions as there is room for, the most needed first."""
    chosen: dict[str, str] = {}
    for path in sorted(full, key=lambda path: (-weights[path], path)):
        cost = len(full[path]) + 3 + (len(path) if whole_lines else 0)
        if full[path] and cost <= room:
            chosen[path] = full[path]
            room -= cost
    return chosen


def _folders(paths: list[str], room: int) -> str:
    """Directories with the number of files in and below them, the shallow ones first."""
    counts: Counter[str] = Counter()
    for path in paths:
        counts.update(str(parent) for parent in PurePosixPath(path).parents)
    lines, left = [f"({len(paths)} files; look closer with read_tree, find_definition and search_text)"], room
    left -= len(lines[0])
    for folder in sorted(counts, key=lambda folder: (folder.count("/"), folder)):
        line = f"{folder}/ ({counts[folder]} files)"
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    return "\n".join(lines)
