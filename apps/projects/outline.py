"""The structure of a Markdown document: sections with their lists, tables and paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
UNDERLINE = re.compile(r"^(=+|-{3,})\s*$")
BOLD_LINE = re.compile(r"^\*\*([^*]+?):?\*\*:?\s*$")
ITEM = re.compile(r"^(\s*)(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(\S.*)$")
LABELED = re.compile(r"^\*\*[^*]+(:\*\*|\*\*:)\s+\S")
FENCE = re.compile(r"^\s*(```|~~~)")
COMMENT = re.compile(r"<!--.*?-->", re.S)
ROW = re.compile(r"^\s*\|(.+)\|\s*$")
RULE = re.compile(r"^[\s|:*_=-]+$")

LEAD = -1  # the column of a paragraph that items stand below
DEEPEST = "###### "


@dataclass
class Item:
    """A list item, a row of a table or a labeled paragraph; `column` is where it begins."""

    column: int
    text: str
    below: list[Item] = field(default_factory=list)

    def words(self) -> str:
        """The item with all that stands below it, in one line."""
        text, inner = plain(self.text), "; ".join(item.words() for item in self.below)
        return f"{text}{' ' if text.endswith(':') else '; '}{inner}" if inner else text

    def statements(self, topic: str = "") -> Iterator[str]:
        """A bold item that only names a topic passes its name on to those below; any other takes them in."""
        label = BOLD_LINE.match(self.text)
        if label and self.below:
            for item in self.below:
                yield from item.statements(f"{topic}{label[1].strip()}: ")
        else:
            yield topic + self.words()


@dataclass
class Section:
    """What stands below a heading; `titles` are those above it, outermost first."""

    titles: list[str]
    items: list[Item] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.titles[-1] if self.titles else ""

    def statements(self) -> list[str]:
        return [text for item in self.items for text in item.statements()]


def plain(text: str) -> str:
    """The text in one line, without bold marks."""
    return re.sub(r"\s+", " ", re.sub(r"\*\*(.+?)\*\*", r"\1", text)).strip()


def sections_of(text: str) -> list[Section]:
    """The document cut at its headings, the part before the first one included."""
    lines = _with_plain_headings(_without_code(COMMENT.sub("", text).splitlines()))
    levels = [len(match[1]) for line in lines if (match := HEADING.match(line))]
    # A heading above all others is the document's own: it says nothing about one part of it.
    own = levels[0] if levels and min(levels[1:], default=7) > levels[0] else 0
    sections, trail = [Section([])], list[tuple[int, str]]()
    reader = _Reader(sections[0])
    for line in lines:
        if heading := HEADING.match(line):
            reader.end()
            level = len(heading[1])
            trail = [entry for entry in trail if entry[0] < level] + [(level, plain(heading[2]))]
            sections.append(Section([title for depth, title in trail if depth != own]))
            reader = _Reader(sections[-1])
        else:
            reader.read(line)
    reader.end()
    return sections


def _without_code(lines: list[str]) -> list[str]:
    fences = [number for number, line in enumerate(lines) if FENCE.match(line)]
    if len(fences) % 2:  # the last one is never closed: rather read code than lose the rest of the document
        lines[fences.pop()] = ""
    for begin, end in zip(fences[-2::-2], fences[-1::-2], strict=True):
        lines[begin : end + 1] = [""]
    return lines


def _with_plain_headings(lines: list[str]) -> list[str]:
    """Underlined lines and bold lines of their own become headings with `#`."""
    found: list[str] = []
    for line in lines:
        stands_alone = len(found) < 2 or not found[-2].strip()
        if UNDERLINE.match(line) and found and _is_text(found[-1]) and stands_alone:
            found[-1] = f"{'#' if line[0] == '=' else '##'} {found[-1]}"
        elif (bold := BOLD_LINE.match(line)) and (not found or not found[-1].strip()):
            found.append(DEEPEST + bold[1])
        else:
            found.append(line)
    return found


def _is_text(line: str) -> bool:
    return bool(line.strip()) and not any(kind.match(line) for kind in (HEADING, ITEM, ROW, RULE))


class _Reader:
    """Reads the lines of one section into it."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.open: list[Item] = []  # the items that the next line may belong to, outermost first
        self.paragraph: list[str] = []
        self.rows: list[str] = []
        self.after_blank = True

    def read(self, line: str) -> None:
        if row := ROW.match(line):
            self.rows.append(row[1])
        elif self.rows:
            self._end_table()
        if not row:
            self._read_text(line)
        self.after_blank = not line.strip()

    def _read_text(self, line: str) -> None:
        column = len(line) - len(line.lstrip())
        if item := ITEM.match(line):
            self._end_paragraph()
            self._add(Item(column, item[2].strip()))
        elif not line.strip():
            self._end_paragraph()
        elif RULE.match(line):
            self.end()
        elif self.open and self.open[-1].column != LEAD and (column or not self.after_blank):
            while len(self.open) > 1 and 0 < column <= self.open[-1].column:
                self.open.pop()
            self.open[-1].text += " " + line.strip()
        else:
            self.open.clear()
            self.paragraph.append(line.strip())

    def _add(self, item: Item) -> None:
        while self.open and not self._takes(self.open[-1], item):
            self.open.pop()
        (self.open[-1].below if self.open else self.section.items).append(item)
        self.open.append(item)

    @staticmethod
    def _takes(above: Item, item: Item) -> bool:
        if above.column == LEAD:  # as long as the list goes on that began below it
            return not above.below or above.below[0].column <= item.column
        return above.column < item.column

    def _end_paragraph(self) -> None:
        if not self.paragraph:
            return
        text = " ".join(self.paragraph)
        self.paragraph = []
        if LABELED.match(text):
            self.section.items.append(Item(LEAD, text))
            self.open = [self.section.items[-1]] if text.endswith(":") else []
        else:
            self.section.paragraphs.append(text)

    def _end_table(self) -> None:
        has_header = len(self.rows) > 1 and RULE.match(self.rows[1])
        for row in self.rows[2:] if has_header else self.rows:
            cells = [plain(cell) for cell in row.split("|") if cell.strip()]
            if cells:
                self.section.items.append(Item(0, " – ".join(cells)))
        self.rows = []

    def end(self) -> None:
        self._end_table()
        self._end_paragraph()
        self.open.clear()
