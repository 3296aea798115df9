"""Markdown as safe HTML: rendered without raw HTML, then cleaned of all that is not plain text formatting."""

from __future__ import annotations

import re

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

MAX_CHARS = 40_000
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}}
SCHEMES = {"http", "https", "mailto"}

_MARKS = re.compile(r"[*_`~#\[\\|]|^\s*[-+>\d]", re.MULTILINE)
_reader = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").enable("strikethrough")


def rendered(text: str) -> SafeString:
    """Headings are all of one level, below those of the page."""
    tokens = _reader.parse(text[:MAX_CHARS])
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = "h3"
    html = _reader.renderer.render(tokens, _reader.options, {})
    clean = nh3.clean(
        html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer nofollow"
    )
    return mark_safe(clean)  # noqa: S308 - cleaned on the line above


def plain(text: str) -> str:
    """Markdown as the words alone, for titles and rows."""
    if not _MARKS.search(text):
        return text
    found: list[str] = []
    for token in _reader.parse(text[:MAX_CHARS]):
        parts = token.children or ()
        found += [" " if part.type.endswith("break") else part.content for part in parts]
        found += [token.content, " "] if token.type in {"fence", "code_block"} else [" "]
    return " ".join("".join(found).split())
