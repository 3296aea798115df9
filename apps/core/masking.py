"""Known secrets, and taking them out of text in whatever spelling they stand there.

What must not be shown is noted as soon as this process knows it, for everybody or within a scope (a project's
own secrets must not blacken the texts of another). Masking finds a value as it is, across line ends, and as
Base64, Base32, hexadecimal digits, in URLs, in JSON, HTML, quoted or reversed. What looks like a key of a
well-known service is masked without being known.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit

from django.conf import settings

if TYPE_CHECKING:
    from django.urls import ResolverMatch

MASK = "[secret]"
LEAST, LONGEST = 8, 8192  # characters of a value that is masked
LINE = 20  # characters from which on one line of a longer secret is one itself
REFRESH_S = 60.0
EVERYBODY = ""
NAMED = re.compile(
    r"(?:^|_|-|\b)(?:api_?key|access_?key|key|token|secret|passwd|password|pass|pwd|credentials?|private_?key"
    r"|auth|dsn|cookie)(?:$|_|-|\b)",
    re.IGNORECASE,
)
PATTERNS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}\b"
    r"|\bgithub_pat_[A-Za-z0-9_]{22,255}\b"
    r"|\bglpat-[A-Za-z0-9_-]{20,}"
    r"|\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]{19,}"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{35}\b"
    r"|\bnpm_[A-Za-z0-9]{36}\b"
    r"|\bpypi-AgE[A-Za-z0-9_-]{50,}",
    re.DOTALL,
)
_SIGNS = (
    "-----BEGIN ",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "xox",
    "AIza",
    "npm_",
    "pypi-",
)  # looked for first
_BEGUN = re.compile(
    r"(?:-----BEGIN (?:(?!-----END)[\s\S])*"
    r"|\b(?:AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|sk-|xox|AIza|npm_|pypi-)\S*)\Z"
)
_LONG = re.compile(r"[^/\s?]{32,}")  # a part of an address that is as long as a token
_BASE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_")
Source = Callable[[], Iterable[str]]


def is_secret(value: str) -> bool:
    """Whether a value under a telling name can be one: long enough, and no word, number, path or address."""
    if not LEAST <= len(value) <= LONGEST or value.startswith(("/", "./", "~")) or "://" in value:
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^\w\s]"))
    return kinds > 1 or len(value) >= 20


class Masker:
    """Takes a set of secrets out of texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = frozenset(secrets)

    @cached_property
    def forms(self) -> tuple[tuple[str, int], ...]:
        """What to look for, without blanks, and how many of its neighbors belong to it; the longest first."""
        found: dict[str, int] = {}
        for secret in self.secrets:
            for form, around in _spellings(secret):
                squeezed = "".join(form.split())
                if len(squeezed) >= LEAST:
                    found.setdefault(squeezed, around)
        return tuple(sorted(found.items(), key=lambda item: -len(item[0])))

    @cached_property
    def longest(self) -> int:
        """Characters that a secret may take up in a text, line ends counted in."""
        return max((len(form) for form, _ in self.forms), default=0) * 2 + 16

    def text(self, text: str) -> str:
        """The text with every secret replaced by MASK."""
        if len(text) < LEAST:
            return text
        if self.forms:
            text = self._masked(text)
        return PATTERNS.sub(MASK, text) if any(sign in text for sign in _SIGNS) else text

    def safe(self, text: str) -> int:
        """How much of a text that goes on can be shown already: its end may be the beginning of a secret."""
        begins = _BEGUN.search(text)
        safe = begins.start() if begins else len(text) - max(_begun(text, sign) for sign in _SIGNS)
        squeezed = "".join(text.split())
        if longest := max((_begun(squeezed, form) for form, _ in self.forms), default=0):
            places = [place for place, char in enumerate(text) if not char.isspace()]
            safe = min(safe, places[-longest])
        whole = next((start for start, end in self._spans(text) if start < safe < end), safe)
        return min(safe, whole)

    def value(self, value: Any) -> Any:
        """The same for a value that JSON knows; keys stay."""
        text = json.dumps(value, ensure_ascii=False)
        return value if self.text(text) == text else self._deep(value)

    def _deep(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case list() | tuple():
                return [self._deep(item) for item in value]
            case dict():
                return {key: self._deep(item) for key, item in value.items()}
            case _:
                return value

    def _masked(self, text: str) -> str:
        parts, at = [], 0
        for start, end in self._spans(text):
            parts += [text[at:start], MASK]
            at = end
        return "".join((*parts, text[at:])) if parts else text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where known secrets stand in the text, in order."""
        squeezed = "".join(text.split())
        hits = [
            hit for form, around in self.forms if form in squeezed for hit in _hits(squeezed, form, around)
        ]
        if hits:
            places = [place for place, char in enumerate(text) if not char.isspace()]
            for start, end in _united([_widened(text, places, *hit) for hit in hits]):
                yield places[start], places[end - 1] + 1


def _begun(text: str, form: str) -> int:
    """Characters of the form that the text ends with: the most that may be its beginning."""
    most = min(len(text), len(form) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(form[:size])), 0)


def _hits(text: str, form: str, around: int) -> Iterator[tuple[int, int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form), around
        start = text.find(form, start + len(form))


def _widened(text: str, places: list[int], start: int, end: int, around: int) -> tuple[int, int]:
    """With the neighbors in the same code, which hold the rest of the secret; line ends do not part them."""
    for _ in range(around):
        start -= start > 0 and _is_next(text, places, start - 1, start - 1)
        end += end < len(places) and _is_next(text, places, end, end - 1)
    return start, end


def _is_next(text: str, places: list[int], at: int, left: int) -> bool:
    between = text[places[left] + 1 : places[left + 1]]
    return text[places[at]] in _BASE and not between.strip("\r\n")


def _united(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    spans.sort()
    start, end = spans[0]
    for first, last in spans[1:]:
        if first >= end:
            yield start, end
            start, end = first, last
        end = max(end, last)
    yield start, end


def _spellings(secret: str) -> Iterator[tuple[str, int]]:
    raw = secret.encode("utf-8", "surrogatepass")
    quoted = quote(secret, safe="", errors="replace")
    escaped = json.dumps(secret)[1:-1]
    plain = {
        secret, secret[::-1], escaped, json.dumps(escaped)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quoted, quoted.lower() if quoted != secret else quoted, quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"), html.escape(secret), shlex.quote(secret), repr(secret)[1:-1],
        raw.hex(), raw.hex().upper(), *(line for line in secret.splitlines() if len(line.strip()) >= LINE),
    }  # fmt: skip
    yield from ((form, 0) for form in plain)
    coders = ((base64.b64encode, 3, 4), (base64.urlsafe_b64encode, 3, 4), (base64.b32encode, 5, 8))
    for encode, block, around in coders:
        for lead in range(block):
            whole = raw[lead:]
            if core := whole[: len(whole) // block * block]:
                yield encode(core).decode(), around


# -- what this process knows -------------------------------------------------------------------------

_lock = threading.Lock()
_known: dict[str, frozenset[str]] = {}
_maskers: dict[str, Masker] = {}
_sources: list[Source] = []
_refreshed_at = float("-inf")


def secrets_note(*values: str, scope: str = EVERYBODY) -> None:
    """Never show these again, anywhere or in the texts of one scope."""
    fresh = {value.strip() for value in values if is_secret(value.strip())}
    with _lock:
        known = _known.get(scope, frozenset())
        if fresh <= known:
            return
        _known[scope] = known | fresh
        _maskers.clear()


def secrets_source(source: Source) -> Source:
    """Register where more secrets are to be learned from; asked by `secrets_refresh`."""
    if source not in _sources:
        _sources.append(source)
    return source


def secrets_refresh(*, force: bool = False) -> None:
    """Ask the sources again if that was a while ago. It may query the database."""
    global _refreshed_at  # noqa: PLW0603 - a moment of this process
    now = time.monotonic()
    if force or now - _refreshed_at > REFRESH_S:
        _refreshed_at = now
        for source in _sources:
            secrets_note(*source())


def scope_of(project_id: int | None) -> str:
    """The scope of a project's own secrets."""
    return EVERYBODY if project_id is None else f"project:{project_id}"


def masker(scope: str = EVERYBODY) -> Masker:
    """Masks what everybody must not see, and what the scope must not."""
    if EVERYBODY not in _known:
        secrets_note(*environment_secrets(os.environ.items()), *_of_settings())
        _known.setdefault(EVERYBODY, frozenset())
    if (found := _maskers.get(scope)) is None:
        found = Masker(_known[EVERYBODY] | _known.get(scope, frozenset()))
        _maskers[scope] = found
    return found


def mask(text: str) -> str:
    return masker().text(text)


def environment_secrets(variables: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Values of variables whose names tell that they are secret, and passwords in addresses."""
    for name, value in variables:
        if NAMED.search(name):
            yield value
        if "://" in value and "@" in value:
            try:
                password = urlsplit(value).password
            except ValueError:
                password = None
            yield password or ""


def _of_settings() -> Iterator[str]:
    if settings.configured:
        yield str(settings.SECRET_KEY)
        yield str(settings.EMAIL_HOST_PASSWORD)
        yield from (str(one.get("PASSWORD") or "") for one in settings.DATABASES.values())


class MaskingFormatter(logging.Formatter):
    """Log lines without secrets, tracebacks included; operators read what many projects wrote."""

    def format(self, record: logging.LogRecord) -> str:
        line = masker().text(super().format(record))
        for scope in tuple(_known):
            if scope != EVERYBODY:
                line = Masker.text(masker(scope), line)
        return line


class AddressFilter(logging.Filter):
    """Takes tokens out of the address of a request about which the framework tells something.

    A link that admits may be followed with the wrong method or from an old page, and its token stays good.
    Where the address leads nowhere it may be such a link, mistyped.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request, args = getattr(record, "request", None), record.args
        if request is not None and isinstance(args, tuple):
            match = getattr(request, "resolver_match", None)
            record.args = tuple(_without_tokens(arg, match) if isinstance(arg, str) else arg for arg in args)
        return True


def _without_tokens(text: str, match: ResolverMatch | None) -> str:
    if match is None:
        return _LONG.sub(MASK, text)
    token = match.kwargs.get("token")
    return text.replace(token, MASK) if token and isinstance(token, str) else text
