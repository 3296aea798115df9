"""Actions that look: files, the tree, text search."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import regex  # type: ignore[import-untyped]
from pydantic import Field

from apps.agents.actions.base import LIMIT, Action, ActionContext, Files, Result, clip
from apps.agents.actions.seen import note_shown
from apps.agents.editing.text import MAX_BYTES, bodies, decode, is_binary
from apps.agents.paths import GENERATED, relative, resolve_inside, walk_files
from apps.core.errors import BadInput, NotFound, TooLarge

MOST_LINES = 400
LONGEST_LINE = 2000
MAX_READ = 5_000_000
MAX_ENTRIES = 400
SEARCH_SECONDS = 5.0
PATHS = {"file": "path", "filename": "path", "file_path": "path", "filepath": "path", "file_name": "path"}


def existing_file(ctx: Files, path: str) -> Path:
    """The regular file at `path`; raises NotFound that offers files of a similar name."""
    return _existing(ctx, path)[0]


def _existing(ctx: Files, path: str) -> tuple[Path, int]:
    """The regular file at `path`, and how many bytes it has."""
    found = resolve_inside(ctx.root, path)
    try:
        known = found.stat()
    except (FileNotFoundError, NotADirectoryError):
        near = _similar(ctx.root, path)
        raise NotFound(f"There is no file {path}.", hint=f"Did you mean {near}?" if near else "") from None
    if stat.S_ISDIR(known.st_mode):
        raise BadInput(f"{path} is a directory.", hint="List it with read_tree.")
    if not stat.S_ISREG(known.st_mode):
        raise BadInput(f"{path} is not a regular file.")
    return found, known.st_size


def _similar(root: Path, path: str) -> str:
    known = [relative(root, file) for file in islice(walk_files(root.resolve()), 5000)]
    name = Path(path).name
    same = [one for one in known if Path(one).name == name]
    return ", ".join(same[:3] or get_close_matches(path, known, n=2, cutoff=0.7))


class ReadFile(Action):
    name: ClassVar[str] = "read_file"
    purpose: ClassVar[str] = f"Read a text file with line numbers, at most {MOST_LINES} lines at a time."
    group: ClassVar[str] = "read"
    is_look: ClassVar[bool] = True
    aliases: ClassVar[tuple[str, ...]] = ("read", "read_code", "open_file", "view_file", "cat", "view")
    renamed: ClassVar[dict[str, str]] = {**PATHS, "start_line": "offset", "start": "offset", "line": "offset"}

    path: str
    offset: int = Field(default=1, ge=1, description="First line to show, from 1.")
    limit: int = Field(default=MOST_LINES, ge=1)

    def act(self, ctx: ActionContext) -> Result:
        file, size = _existing(ctx, self.path)
        if size > MAX_READ:
            raise TooLarge(f"{self.path} is too large to read.", hint="Look at parts of it with run_command.")
        with file.open("rb", buffering=0) as opened:  # each call of the system lets another thread go first
            data = opened.read(size)
        text = data.decode("utf-8", "replace") if len(data) > MAX_BYTES else decode(data, name=self.path).text
        lines = bodies(text)
        name = relative(ctx.root, file)
        if not lines:
            note_shown(ctx.seen, {"path": name})
            return Result(ok=True, text=f"{name} is empty.", data={"path": name, "lines": 0})
        if self.offset > len(lines):
            raise BadInput(f"{name} has only {len(lines)} lines.", hint="Use a smaller offset.")
        shown = self._shown(lines)
        last = self.offset + len(shown) - 1
        head = f"{name} (lines {self.offset}-{last} of {len(lines)})"
        foot = (
            f"\n[{len(lines) - last} more lines; go on with offset={last + 1}]" if last < len(lines) else ""
        )
        data_kept = {"path": name, "from": self.offset, "to": last, "lines": len(lines)}
        note_shown(ctx.seen, data_kept)
        return Result(ok=True, text="\n".join([head, *shown]) + foot, data=data_kept)

    def _shown(self, lines: list[str]) -> list[str]:
        shown: list[str] = []
        room = LIMIT
        for number in range(self.offset, min(self.offset + min(self.limit, MOST_LINES), len(lines) + 1)):
            line = lines[number - 1]
            if len(line) > LONGEST_LINE:
                line = f"{line[:LONGEST_LINE]} [... {len(line) - LONGEST_LINE} more characters in this line]"
            room -= len(line) + 8
            if room < 0 and shown:
                break
            shown.append(f"{number:>5}\t{line}")
        return shown


class ReadTree(Action):
    name: ClassVar[str] = "read_tree"
    purpose: ClassVar[str] = "List files and directories."
    group: ClassVar[str] = "read"
    is_look: ClassVar[bool] = True
    aliases: ClassVar[tuple[str, ...]] = ("scope", "tree", "list_files", "list_dir", "list_directory", "ls")
    renamed: ClassVar[dict[str, str]] = {"max_depth": "depth", "dir": "path", "directory": "path"}
    ignored: ClassVar[frozenset[str]] = frozenset({"limit", "recursive"})

    path: str = "."
    depth: int = Field(default=3, ge=1, le=20)

    def act(self, ctx: ActionContext) -> Result:
        start = resolve_inside(ctx.root, self.path)
        if not start.exists():
            raise NotFound(f"There is no directory {self.path}.", hint="Begin with read_tree of '.'.")
        if start.is_file():
            return Result(ok=True, text=relative(ctx.root, start))
        lines = list(islice(self._lines(start, 0), MAX_ENTRIES + 1))
        more = len(lines) > MAX_ENTRIES
        if more:
            lines[-1] = f"[more than {MAX_ENTRIES} entries; list a directory of it, or use a smaller depth]"
        text = "\n".join([f"{relative(ctx.root, start)}/", *lines])
        return Result(ok=True, text=clip(text), data={"path": self.path, "entries": len(lines) - more})

    def _lines(self, folder: Path, level: int) -> Iterator[str]:
        indent = "  " * (level + 1)
        entries = sorted(folder.iterdir(), key=lambda entry: (not entry.is_dir(), entry.name))
        for entry in entries:
            if entry.name == ".git":
                continue
            if entry.is_symlink():
                yield f"{indent}{entry.name} -> {entry.readlink()}"
            elif not entry.is_dir():
                yield f"{indent}{entry.name}"
            elif entry.name in GENERATED:
                yield f"{indent}{entry.name}/ (generated, not listed)"
            elif level + 1 >= self.depth:
                yield f"{indent}{entry.name}/ ({sum(1 for _ in islice(entry.iterdir(), 1000))} entries)"
            else:
                yield f"{indent}{entry.name}/"
                yield from self._lines(entry, level + 1)


class SearchText(Action):
    name: ClassVar[str] = "search_text"
    purpose: ClassVar[str] = (
        "Find text in the files; path may be a file, a directory or a pattern like '*.py'."
    )
    group: ClassVar[str] = "read"
    aliases: ClassVar[tuple[str, ...]] = ("search", "grep", "search_code", "find_text")
    renamed: ClassVar[dict[str, str]] = {
        "pattern": "query",
        "text": "query",
        "max_results": "limit",
        "is_regex": "regex",
        "include": "path",
        "glob": "path",
    }

    query: str = Field(min_length=1, max_length=1000)
    path: str = "."
    regex: bool = Field(default=False, description="Take the query as a regular expression.")
    limit: int = Field(default=50, ge=1, le=500)

    def act(self, ctx: ActionContext) -> Result:
        found, late = self._find(ctx, self._compiled(as_regex=self.regex))
        note = ""
        if not found and not self.regex and not late and set(self.query) & set("\\*+?|[("):
            try:
                found, late = self._find(ctx, self._compiled(as_regex=True))
                note = "\n[nothing had this text; it was taken as a regular expression]" if found else ""
            except BadInput:
                note = ""
        more = len(found) > self.limit
        where = "" if self.path == "." else f" in {self.path}"
        if more:
            note += f"\n[more than {self.limit} lines; narrow the query or the path]"
        if late:
            note += f"\n[stopped after {SEARCH_SECONDS:.0f} s; narrow the path]"
        text = "\n".join(found[: self.limit]) or f"Nothing found for {self.query!r}{where}."
        return Result(ok=True, text=clip(text + note), data={"query": self.query, "found": len(found) - more})

    def _compiled(self, *, as_regex: bool) -> Any:
        try:
            query = self.query if as_regex else regex.escape(self.query)
            return regex.compile(query, regex.MULTILINE)
        except regex.error as error:
            raise BadInput(f"The regular expression is not valid: {error}.") from error

    def _find(self, ctx: ActionContext, pattern: Any) -> tuple[list[str], bool]:
        """Up to one more line than the limit, and whether time ran out."""
        found: list[str] = []
        deadline = time.monotonic() + SEARCH_SECONDS
        for file in self._files(ctx):
            if time.monotonic() > deadline:
                return found, True
            try:
                for number, line in self._matches(file, pattern, deadline):
                    found.append(f"{relative(ctx.root, file)}:{number}: {line.strip()[:300]}")
                    if len(found) > self.limit:
                        return found, False
            except TimeoutError:
                return found, True
        return found, False

    def _files(self, ctx: ActionContext) -> Iterator[Path]:
        if not set(self.path) & set("*?["):
            start = resolve_inside(ctx.root, self.path)
            if not start.exists():
                raise NotFound(f"There is no file or directory {self.path}.")
            yield from walk_files(start)
            return
        glob = self.path.removeprefix("./").removeprefix("**/")
        for file in walk_files(ctx.root.resolve()):
            name = relative(ctx.root, file)
            if fnmatchcase(name, glob) or fnmatchcase(file.name, glob):
                yield file

    def _matches(self, file: Path, pattern: Any, deadline: float) -> Iterator[tuple[int, str]]:
        if file.stat().st_size > MAX_BYTES:
            return
        data = file.read_bytes()
        if is_binary(data):
            return
        text = data.decode("utf-8", "replace")
        if pattern.search(text, timeout=max(0.01, deadline - time.monotonic())) is None:
            return
        for number, line in enumerate(text.split("\n"), 1):
            if pattern.search(line, timeout=max(0.01, deadline - time.monotonic())):
                yield number, line
