"""Secrets that stand in a project's own repository: found by where they stand, masked in its texts."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from apps.agents.hub import Hub
from apps.agents.places import hub_path
from apps.core.errors import LoomError
from apps.core.masking import NAMED, Masker, is_secret, masker, scope_of, secrets_note, secrets_refresh
from apps.providers import gateway

MOST_FILES, MOST_CHARS = 100, 200_000
_HOLDERS = re.compile(
    r"\.env(?:\..+)?|.+\.env|\.envrc|\.npmrc|\.yarnrc(?:\.yml)?|\.pypirc|\.netrc|\.htpasswd|\.pgpass|\.git-credentials"
    r"|(?:.*[._-])?(?:credentials?|secrets?)(?:[._-].*)?\.(?:json|ya?ml|toml|ini|cfg|conf|txt|env)|credentials"
    r"|.+\.(?:pem|key|tfvars|p8)|id_(?:rsa|dsa|ecdsa|ed25519)|service[_-]?account.*\.json|master\.key",
    re.IGNORECASE,
)
_SAMPLES = re.compile(r"\b(?:example|sample|template|dist|schema)\b", re.IGNORECASE)
_ENTRY = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?["']?([\w./:-]+?)["']?[ \t]*[:=][ \t]*"""
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s#,"'][^\n#,]*))""",
    re.MULTILINE,
)
_INLINE = re.compile(
    r"""["']?([\w-]+)["']?[ \t]*[:=][ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^\s,"'}\]]+))"""
)  # several a line
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.+?)-----END", re.DOTALL)


def project_masker(project_id: int) -> Masker:
    """Masks what this process knows of the project's secrets, and those of the installation."""
    return masker(scope_of(project_id))


def secrets_learn(project_id: int, *commits: str) -> Masker:
    """Look through the files of commits that hold secrets; not in a transaction, since git is asked."""
    secrets_refresh()
    for commit in filter(None, commits):
        secrets_note(*_secrets_in(str(hub_path(project_id)), commit), scope=scope_of(project_id))
    return project_masker(project_id)


def reply_masked(reply: gateway.Reply, masked: Masker) -> gateway.Reply:
    """What a model put together of a secret's pieces is neither kept nor acted on."""
    calls = tuple(masked.value(list(reply.tool_calls)))
    return replace(reply, text=masked.text(reply.text), tool_calls=calls)


@functools.lru_cache(maxsize=256)
def _secrets_in(hub: str, commit: str) -> frozenset[str]:
    repository = Hub(Path(hub))
    return frozenset(repository_secrets(repository.files(commit), lambda path: repository.read(commit, path)))


def repository_secrets(files: Iterable[str], read: Callable[[str], bytes]) -> Iterator[str]:
    """Values under telling names in the files that are there to hold secrets."""
    holders = [path for path in files if _holds(PurePosixPath(path).name)]
    for path in holders[:MOST_FILES]:
        try:
            text = read(path)[:MOST_CHARS].decode("utf-8", "replace")
        except (LoomError, OSError):
            continue
        yield from _values(PurePosixPath(path).name, text)


def _holds(name: str) -> bool:
    return _HOLDERS.fullmatch(name) is not None and not _SAMPLES.search(name)


def _values(name: str, text: str) -> Iterator[str]:
    is_environment = ".env" in name
    for match in (*_ENTRY.finditer(text), *_INLINE.finditer(text)):
        value = next((group for group in match.groups()[1:] if group), "").strip()
        if (NAMED.search(_CAMEL.sub("_", match[1])) or (is_environment and _is_random(value))) and is_secret(
            value
        ):
            yield value
    for key in _KEY.findall(text):
        yield key.strip()
    if (single := text.strip()) and "\n" not in single and name in {"master.key", "credentials"}:
        yield single


def _is_random(value: str) -> bool:
    """Letters and digits mixed, without blanks: an identifier that somebody generated."""
    return (
        len(value) >= 16
        and bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value))
        and " " not in value
    )
