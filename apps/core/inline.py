"""Scripts and styles that stand in the templates of others, by hash: what a strict policy lets run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

INLINE = re.compile(r"<(script|style)(?P<attributes>[^>]*)>(?P<text>.*?)</\1>", re.DOTALL)
DATA = re.compile(r"""type=["']application/""")


@cache
def inline_hashes(packages: tuple[str, ...]) -> dict[str, list[str]]:
    """`script-src` and `style-src` of what the packages' templates hold, unless a template fills it in."""
    found: dict[str, list[str]] = {"script-src": [], "style-src": []}
    for package in packages:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for template in sorted(Path(place, "templates").rglob("*.html")):
                for kind, text in _inline(template.read_text(encoding="utf-8")):
                    found[f"{kind}-src"].append(_source(text))
    return {directive: sorted(set(sources)) for directive, sources in found.items()}


def _inline(template: str) -> list[tuple[str, str]]:
    return [
        (one[1], one["text"])
        for one in INLINE.finditer(template)
        if one["text"].strip() and not DATA.search(one["attributes"]) and not re.search("{[{%]", one["text"])
    ]


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
