"""Reading a PRD: from bytes to text, and from text to numbered requirements."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass

from apps.core.errors import BadInput, TooLarge
from apps.projects.outline import HEADING, Section, plain, sections_of

MAX_BYTES = 1024 * 1024
MAX_REQUIREMENTS = 400

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'`(])")

NUMBERING = re.compile(r"^[\d.]+\s+")
WANTED = re.compile(
    r"\b(requirements?|functional|features?|user stor(?:y|ies)|acceptance|deliverables?)\b", re.I
)
UNWANTED = re.compile(
    r"\b(out of scope|non-?goals?|not in scope|future|glossary|references?|risks?|roadmap|milestones?)\b"
    r"|^(((target|intended|end) )?users|(target )?audience|personas?|stakeholders?|timeline|schedule|team|"
    r"definitions|terminology|assumptions|open questions|questions|appendix|appendices|success metrics|"
    r"metrics|kpis|change ?log|(revision|document) history)$",
    re.I,
)
OVERVIEW = re.compile(
    r"\boverview\b|^((executive )?summary|introduction|background|purpose|vision|problem( statement)?|"
    r"motivation|context|about|goals|objectives|goals and objectives)$",
    re.I,
)
MODAL = re.compile(r"\b(must|shall|should|will|can|needs? to|has to|have to)\b", re.I)
ASKS = re.compile(
    MODAL.pattern + r"|\b(requires?|supports?|provides?|allows?|enables?|displays?|returns?)\b", re.I
)
ANY = re.compile("")


@dataclass(frozen=True)
class Statement:
    """One requirement as it stands in the PRD."""

    section: str
    text: str


def prd_decode(data: bytes, *, source: str = "The PRD") -> str:
    """The PRD's text; BadInput or TooLarge with one sentence that says what is wrong with the file."""
    if len(data) > MAX_BYTES:
        size, limit = len(data) / 1024 / 1024, MAX_BYTES // 1024 // 1024
        raise TooLarge(
            f"{source} has {size:.1f} MB; at most {limit} MB are read.",
            hint="Keep the requirements and move appendices, logs and data to other files.",
        )
    if b"\0" in data and not data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)):
        raise BadInput(f"{source} is a binary file.", hint="Save it as Markdown or plain text.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{source} is not UTF-8 text (byte {error.start} cannot be read).",
            hint="Save it with encoding UTF-8.",
        ) from None
    if not text.strip():
        raise BadInput(f"{source} is empty.", hint="Write what the product is and what it must do.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def prd_title(text: str, default: str = "Untitled product") -> str:
    """The first heading, else the first line; a trailing "PRD" is no part of the product's name."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next(
        (match[2] for line in lines if (match := HEADING.match(line))), lines[0] if lines else default
    )
    title = re.sub(
        r"\s*[-–—:]?\s*\b(PRD|Product Requirements? Document)\b\s*(\(.*?\))?\s*$", "", first, flags=re.I
    )
    title = re.sub(r"^(PRD|Product Requirements? Document)\s*[-–—:]\s*", "", title, flags=re.I)
    return (title.strip(" *_`#:") or first)[:200]


def requirements_cut(text: str) -> list[Statement]:
    """The PRD's requirements in document order; TooLarge if there are more than one plan can hold.

    What stands in lists, tables and labeled paragraphs below headings that speak of requirements or features
    counts, and elsewhere what asks for something. Overviews count only where nothing else does, and sections
    such as "Out of scope" never. A PRD without any of these is cut into sentences.
    """
    sections = [section for section in sections_of(text) if not _speaks(section, UNWANTED)]
    chosen = _chosen(sections) or _sentences(sections, MODAL) or _sentences(sections, ANY)
    unique = list({_normal(statement.text): statement for statement in reversed(chosen)}.values())[::-1]
    if len(unique) > MAX_REQUIREMENTS:
        raise TooLarge(
            f"The PRD has {len(unique)} requirements; at most {MAX_REQUIREMENTS} are planned at once.",
            hint="Split it: have a first part built, then go on with the next.",
        )
    return unique


def _speaks(section: Section, of: re.Pattern[str]) -> bool:
    return any(of.search(NUMBERING.sub("", title)) for title in section.titles)


def _chosen(sections: list[Section]) -> list[Statement]:
    body = [section for section in sections if not _speaks(section, OVERVIEW)]
    wanted = [section for section in body if _speaks(section, WANTED)]
    if not any(section.items for section in wanted):
        wanted = body if any(section.items for section in body) else sections
    found: list[Statement] = []
    for section in body if wanted is not sections else sections:
        stated = [Statement(section.title, text) for text in section.statements()]
        if section not in wanted:
            stated = [statement for statement in stated if ASKS.search(statement.text)]
        found += stated or (_sentences([section], MODAL) if section in wanted else [])
    return found


def _sentences(sections: list[Section], pattern: re.Pattern[str]) -> list[Statement]:
    return [
        Statement(section.title, sentence)
        for section in sections
        for paragraph in section.paragraphs
        for sentence in SENTENCE.split(plain(paragraph))
        if sentence and pattern.search(sentence)
    ]


def _normal(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def requirement_keys(existing: dict[str, str], statements: list[Statement]) -> list[tuple[str, Statement]]:
    """Keys for the statements: those that stood before keep theirs, new ones get numbers never used before.

    `existing` maps every key ever given in the project to its text.
    """
    by_text = {_normal(text): key for key, text in existing.items()}
    highest = max((int(key.rpartition("-")[2]) for key in existing), default=0)
    keyed = []
    for statement in statements:
        key = by_text.get(_normal(statement.text))
        if key is None:
            highest += 1
            key = f"R-{highest:03d}"
        keyed.append((key, statement))
    return keyed
