"""Text files as bytes on disk: encoding, byte order mark and line endings survive every edit."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace

from apps.core.errors import BadInput, TooLarge

MAX_BYTES = 1_000_000
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class TextFile:
    """`text` holds the line endings as they stand in the file."""

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""

    @property
    def newline(self) -> str:
        return prevailing_newline(self.text)

    def with_text(self, text: str) -> TextFile:
        return replace(self, text=text)

    def encode(self) -> bytes:
        """Raises BadInput for characters that the file's encoding does not have."""
        try:
            return self.mark + self.text.encode(self.encoding)
        except UnicodeEncodeError as error:
            lost = error.object[error.start]
            raise BadInput(
                f"The character {lost!r} does not exist in the file's encoding, {self.encoding}.",
                hint="Use characters of that encoding, or escape sequences of the language.",
            ) from error


@dataclass(frozen=True)
class Line:
    """One line: its text and its line ending, which is "" only at the end of a file."""

    body: str
    ending: str


def decode(data: bytes, *, name: str) -> TextFile:
    """Text of a file called `name`; raises BadInput for binary data and TooLarge past MAX_BYTES."""
    if len(data) > MAX_BYTES:
        raise TooLarge(
            f"{name} has {len(data):,} bytes; files above {MAX_BYTES:,} are not edited.",
            hint="Change it with run_command, or split it.",
        )
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return TextFile(_decoded(data[len(mark) :], encoding, name), encoding, mark)
    if is_binary(data):
        raise BadInput(f"{name} is a binary file.", hint="Only text files are read and edited as text.")
    try:
        return TextFile(data.decode())
    except UnicodeDecodeError:
        # Latin-1 gives every byte a character, so whatever encoding this is, its bytes come back unchanged.
        return TextFile(data.decode("latin-1"), "latin-1")


def is_binary(data: bytes) -> bool:
    return b"\0" in data[:8192] or b"\0" in data[-8192:]


def _decoded(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is neither text nor valid {encoding}.") from error


def prevailing_newline(text: str) -> str:
    """The line ending that most lines of `text` have."""
    windows = text.count("\r\n")
    return "\r\n" if windows * 2 > text.count("\n") else "\n"


def split_lines(text: str) -> list[Line]:
    """Lines of `text`, divided only where editors and git divide them: at line feeds."""
    lines = [
        Line(part[:-1], "\r\n") if part.endswith("\r") else Line(part, "\n") for part in text.split("\n")[:-1]
    ]
    rest = text[text.rfind("\n") + 1 :]
    if rest:
        lines.append(Line(rest, ""))
    return lines


def join_lines(lines: list[Line]) -> str:
    return "".join(line.body + line.ending for line in lines)


def bodies(text: str) -> list[str]:
    """The lines a model wrote, without endings; a final newline adds no line."""
    parts = text.split("\n")
    rest = parts.pop()
    lines = [part.removesuffix("\r") for part in parts] if "\r" in text else parts
    return [*lines, rest] if rest else lines


def find_block(lines: list[str], wanted: list[str], *, limit: int = 20) -> list[int]:
    """Indexes where the lines `wanted` stand one after the other in `lines`; at most `limit` of them.

    Searches one joined string, so that a file of equal lines costs no more than any other.
    """
    if not wanted or len(wanted) > len(lines):
        return []
    hay = "\n" + "\n".join(lines) + "\n"
    needle = "\n" + "\n".join(wanted) + "\n"
    found: list[int] = []
    at, index, counted = hay.find(needle), 0, 0
    while at >= 0 and len(found) < limit:
        index += hay.count("\n", counted, at)
        counted = at
        found.append(index)
        at = hay.find(needle, at + 1)
    return found


def splice(lines: list[Line], start: int, end: int, fresh: list[Line]) -> list[Line]:
    """`lines` with [start:end] replaced by `fresh`; a file without a final newline stays one.

    Lines of `fresh` that end up inside the file must bring their line ending.
    """
    bare = bool(lines) and not lines[-1].ending
    before, after = lines[:start], lines[end:]
    newline = prevailing_newline(join_lines(lines))
    if not after and bare and fresh:
        fresh = [*fresh[:-1], Line(fresh[-1].body, "")]
    if before and not after and not fresh and bare:
        before[-1] = Line(before[-1].body, "")
    if before and not before[-1].ending and (fresh or after):
        before[-1] = Line(before[-1].body, newline)
    return [*before, *fresh, *after]
