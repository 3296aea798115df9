"""What a text says twice, at length or half-heartedly, and the text without that. Code is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from apps.agents.prompts import SYSTEM

LEAST_WORDS = 4  # of a sentence, before saying it twice is a repetition
CODE = re.compile(r"(^```.*?(?:^```[^\n]*$|\Z)|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
END = re.compile(r"[.!?](?=\s|$)")
ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")  # how an item of a list begins

SHORTER = {
    "in order to": "to", "due to the fact that": "because", "at this point in time": "now",
    "in the event that": "if", "for the purpose of": "for", "with regard to": "about",
    "with respect to": "about", "a large number of": "many", "the majority of": "most", "is able to": "can",
    "are able to": "can", "has the ability to": "can", "have the ability to": "can", "prior to": "before",
    "each and every": "every", "utilize": "use",
}  # fmt: skip
# Before what is meant.
PADDING = (
    "it is important to note that", "it is important to", "it should be noted that", "please note that",
    "please make sure to", "please make sure that you", "make sure to", "make sure that you", "be sure to",
    "please", "basically", "as a matter of fact",
)  # fmt: skip
HEDGES = (
    "you should try to", "please try to", "try to", "do your best to", "you may want to", "you might want to",
    "feel free to", "ideally", "preferably",
)  # fmt: skip
# After it.
OUTS = ("if at all possible", "if possible", "where possible", "when possible", "as appropriate")


def unrepeated(text: str) -> str:
    """Without sentences that stand before in it, or that the platform tells every agent anyway."""
    seen, again = set(_platform()), []
    for start, end in _sentences(text):
        words = _words(text[start:end])
        if len(words) >= LEAST_WORDS and words in seen:
            again.append((start, end))
        seen.add(words)
    made = text
    for start, end in reversed(again):
        made = made[:start] + made[end:]
    return _tidy(made) if again else text


def shortened(text: str) -> str:
    """Without words that say nothing."""
    swaps = [_swap(phrase, short) for phrase, short in SHORTER.items()]
    return _outside_code(text, [*(_leading(phrase) for phrase in PADDING), *swaps])


def resolute(text: str) -> str:
    """Without ways out of what it asks for."""
    trailing = [_trailing(phrase) for phrase in OUTS]
    leading = [_leading(f"{phrase},") for phrase in OUTS]  # with its comma: else it is about what follows
    return _outside_code(text, [*trailing, *leading, *(_leading(phrase) for phrase in HEDGES)])


Edit = Callable[[str], str]


def _spaced(phrase: str) -> str:
    return r"\s+".join(re.escape(word) for word in phrase.split())


def _swap(phrase: str, short: str) -> Edit:
    pattern = re.compile(rf"\b{_spaced(phrase)}\b", re.IGNORECASE)
    return lambda text: pattern.sub(
        lambda found: short.capitalize() if found[0][0].isupper() else short, text
    )


def _leading(phrase: str) -> Edit:
    """Take it from before a word, which begins the sentence then."""
    pattern = re.compile(rf"\b{_spaced(phrase)},?\s+(?=(\w))", re.IGNORECASE)

    def edit(text: str) -> str:
        made, at = [], 0
        for found in pattern.finditer(text):
            made.append(text[at : found.start()])
            at = found.end()
            if found[0][0].isupper():
                made.append(found[1].upper())
                at += 1
        return "".join([*made, text[at:]])

    return edit


def _trailing(phrase: str) -> Edit:
    pattern = re.compile(
        rf"(?<!\bonly)(?<!\beven)(?<=\w),?\s+{_spaced(phrase)}(?=[.,;:)]|\s*$)", re.MULTILINE
    )
    return lambda text: pattern.sub("", text)


def _outside_code(text: str, edits: list[Edit]) -> str:
    pieces = CODE.split(text)  # every other one is code
    for number in range(0, len(pieces), 2):
        for edit in edits:
            pieces[number] = edit(pieces[number])
    return "".join(pieces)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where each stands: of paragraphs and items of lists, not of headings, nor of fenced code."""
    fenced = [found.span() for found in CODE.finditer(text) if found[0].startswith("```")]
    for start, end in _blocks(text):
        if any(begin <= start < stop for begin, stop in fenced):
            continue
        at = start
        for found in END.finditer(text, start, end):
            yield at, found.end()
            at = found.end()
            while at < end and text[at].isspace():
                at += 1


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs and items, from their first word on."""
    start, at = None, 0
    for line in text.splitlines(keepends=True):
        item = ITEM.match(line)
        if start is not None and (item or not line.strip() or line.startswith("#")):
            yield start, at
            start = None
        if start is None and line.strip() and not line.startswith("#"):
            start = at + (item.end() if item else len(line) - len(line.lstrip()))
        at += len(line)
    if start is not None:
        yield start, at


def _words(sentence: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", sentence.casefold()))


@cache
def _platform() -> frozenset[tuple[str, ...]]:
    told = [SYSTEM[start:end] for start, end in _sentences(SYSTEM)]
    return frozenset(_words(sentence) for sentence in told if "{" not in sentence)


def _tidy(text: str) -> str:
    """Without the empty items, spaces and lines that removed sentences left."""
    lines = [line.rstrip() for line in text.splitlines()]
    kept = "\n".join(line for line in lines if not re.fullmatch(r"\s*(?:[-*+]|\d+[.)])", line))
    return re.sub(r"\n{3,}", "\n\n", kept).strip("\n")
