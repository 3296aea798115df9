"""Reading patches: unified diffs as git writes them, as models write them, and "*** Begin Patch" blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from apps.core.errors import BadInput

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_STARRED = re.compile(r"\*\*\* (Update|Add|Delete) File: (.+)")
_PATH = re.compile(r'"(?:[^"\\]|\\.)*"|[^\t]*')
_NOISE = ("```", "*** Begin Patch", "*** End Patch", "*** End of File")
NULL = "/dev/null"
CUT_OFF = "The patch breaks off before its end; nothing was changed."


class PatchRefused(BadInput):
    """The patch cannot be read or does not fit; nothing was changed."""


@dataclass
class Hunk:
    """Lines with their sign (" ", "-" or "+"). `start` is the 1-based line it claims to be at, if it says.

    `old_bare` and `new_bare`: the last line of that side has no newline at the end of the file.
    """

    number: int
    start: int | None = None
    anchor: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)
    old_bare: bool = False
    new_bare: bool = False
    loose: int = 0  # lines at the end so far without a sign
    claimed: tuple[int, int] = (0, 0)  # lines before and after, as its header counts them

    @property
    def cut_off(self) -> bool:
        """Whether it breaks off in the midst of its changes: it has too few lines and ends with one."""
        before, after = (sum(sign != other for sign, _ in self.lines) for other in "+-")
        ends = bool(self.lines) and self.lines[-1][0] in "+-"
        return ends and before < self.claimed[0] and after < self.claimed[1]

    def trim(self) -> None:
        """Lines at the end without even a space are the patch's own layout, not context."""
        del self.lines[len(self.lines) - self.loose :]


@dataclass
class FilePatch:
    """Changes to one file. `old` is None for a new file, `new` is None for a deleted one."""

    old: str | None
    new: str | None
    hunks: list[Hunk] = field(default_factory=list)
    starred: bool = False

    @property
    def path(self) -> str:
        return self.new or self.old or ""


def parse_patch(text: str) -> list[FilePatch]:
    """The files of a patch in order; raises PatchRefused with the line that is not understood."""
    lines = text.replace("\r\n", "\n").split("\n")
    patches = _Reader(lines).read()
    if not patches:
        raise PatchRefused(
            "The patch names no file.",
            hint="Each file begins with '--- a/path' and '+++ b/path', each change with '@@ -1,3 +1,3 @@'.",
        )
    for patch in patches:
        for hunk in patch.hunks:
            hunk.trim()
        if patch.old == patch.new and not patch.hunks:
            raise PatchRefused(
                f"The patch has no change for {patch.path}.", hint="Add a hunk that starts with @@."
            )
    _be_whole(lines)
    return patches


def _be_whole(lines: list[str]) -> None:
    starred = {line.strip() for line in lines if line.startswith("*** ")}
    if "*** Begin Patch" in starred and "*** End Patch" not in starred:
        raise PatchRefused(CUT_OFF, hint="Send all of it, up to '*** End Patch'.")


class _Reader:
    """Goes through the lines once; counts in hunk headers are not believed, since models miscount."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0
        self.patches: list[FilePatch] = []
        self.hunk: Hunk | None = None
        self.hunks = 0

    def read(self) -> list[FilePatch]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not (self._file_header(line) or self._hunk_header(line)):
                self._body(line)
            self.at += 1
        return self.patches

    def _file_header(self, line: str) -> bool:
        if line.startswith("diff --git "):
            self.hunk = None
            self._git_header()
            return True
        if line.startswith("--- ") and self._peek().startswith("+++ ") and self._is_header():
            self.hunk = None
            self._unified_header(line)
            return True
        starred = _STARRED.fullmatch(line.rstrip())
        if starred:
            self._starred_header(starred[1], starred[2].strip())
            return True
        if line.startswith("*** Move to: ") and self.patches and self.patches[-1].starred:
            self.patches[-1].new = line[len("*** Move to: ") :].strip()
            return True
        return any(line.startswith(noise) for noise in _NOISE)

    def _peek(self, ahead: int = 1) -> str:
        index = self.at + ahead
        return self.lines[index] if index < len(self.lines) else ""

    def _is_header(self) -> bool:
        """Not the removal of a line that starts with "-- " and the addition of one with "++ "."""
        return self.hunk is None or self._peek(2).startswith("@@")

    def _git_header(self) -> None:
        """Facts that only git's extended header tells: renames, and files that begin or end empty."""
        facts = dict(self._extended())
        if "GIT binary patch" in facts or "Binary files" in facts:
            raise PatchRefused("The patch changes a binary file.", hint="Only text files are patched.")
        if "copy from" in facts:
            raise PatchRefused("The patch copies a file.", hint="Write the copy as a new file.")
        if "rename from" in facts and "rename to" in facts:
            self.patches.append(FilePatch(_unquoted(facts["rename from"]), _unquoted(facts["rename to"])))
        elif not self._peek(1 + len(facts)).startswith("--- "):
            path = _stripped(self.lines[self.at].rsplit(" ", 1)[-1])
            if "new file mode" in facts:
                self.patches.append(FilePatch(None, path))
            elif "deleted file mode" in facts:
                self.patches.append(FilePatch(path, None))

    def _extended(self) -> Iterator[tuple[str, str]]:
        known = re.compile(
            r"(index|similarity index|old mode|new mode|new file mode|deleted file mode"
            r"|rename from|rename to|copy from|copy to|GIT binary patch|Binary files)\b ?(.*)"
        )
        for index in range(self.at + 1, len(self.lines)):
            match = known.match(self.lines[index])
            if match is None:
                return
            yield match[1], match[2]

    def _unified_header(self, line: str) -> None:
        old, new = _target(line[4:]), _target(self._peek()[4:])
        self.at += 1
        last = self.patches[-1] if self.patches else None
        if last is not None and not last.hunks and (last.old, last.new) == (_stripped(old), _stripped(new)):
            return  # git's header has told of this file already
        if NULL not in {old, new}:
            path = new if old == new else _stripped(new)
            self.patches.append(FilePatch(path, path))
        elif old == new:
            raise PatchRefused(f"Line {self.at}: the patch names no file.")
        elif old == NULL:
            self.patches.append(FilePatch(None, _stripped(new)))
        else:
            self.patches.append(FilePatch(_stripped(old), None))

    def _starred_header(self, kind: str, path: str) -> None:
        old, new = (None if kind == "Add" else path), (None if kind == "Delete" else path)
        self.patches.append(FilePatch(old, new, starred=True))
        self.hunk = None
        if kind == "Add":
            self._open_hunk(None, "")

    def _hunk_header(self, line: str) -> bool:
        if not line.startswith("@@"):
            return False
        if not self.patches:
            raise PatchRefused(
                f"Line {self.at + 1}: a hunk stands before any file.",
                hint="Begin each file with '--- a/path' and '+++ b/path'.",
            )
        numbers = _HUNK.match(line)
        anchor = "" if numbers or line.startswith("@@ -") else line.strip("@ ").strip()
        self._open_hunk(int(numbers[1]) if numbers else None, anchor)
        if numbers:
            self.patches[-1].hunks[-1].claimed = (int(numbers[2] or 1), int(numbers[3] or 1))
        return True

    def _open_hunk(self, start: int | None, anchor: str) -> None:
        self.hunks += 1
        self.hunk = Hunk(self.hunks, start, anchor)
        self.patches[-1].hunks.append(self.hunk)

    def _body(self, line: str) -> None:
        hunk = self.hunk
        if hunk is None:
            if not (line[:1] in {"+", "-", " "} and self.patches and self.patches[-1].starred):
                return  # text around the patch
            self._open_hunk(None, "")
            self._body(line)
        elif line.startswith("\\"):
            if hunk.lines:
                sign = hunk.lines[-1][0]
                hunk.old_bare |= sign in " -"
                hunk.new_bare |= sign in " +"
        else:
            # Models drop the space of an empty or unindented context line.
            signed = line[:1] in {"+", "-", " "}
            hunk.lines.append((line[0], line[1:]) if signed else (" ", line))
            hunk.loose = 0 if line else hunk.loose + 1


def _target(text: str) -> str:
    """The path of a `---` or `+++` line, without a time after a tab."""
    match = _PATH.match(text.strip())
    return _unquoted(match[0].strip() if match else "")


def _stripped(path: str) -> str:
    return path[2:] if path.startswith(("a/", "b/")) else path


def _unquoted(path: str) -> str:
    """Git puts paths with unusual characters in quotes, with octal escapes for bytes."""
    if not (len(path) > 1 and path.startswith('"') and path.endswith('"')):
        return path
    plain = path[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")
    return plain.encode("latin-1", "replace").decode("utf-8", "replace")
