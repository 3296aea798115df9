"""Git's objects, read in this process: starting git takes many times longer than reading a small tree.

Only what needs no configuration is read here: trees and blobs by their hash, which can never change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# GitPython looks for git when it is imported and would refuse to load; we say it better ourselves.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
from git.db import GitDB
from git.exc import ODBError

TREE, SUBMODULE = "40000", "160000"
SHA1_CHARS = 40


class Unreadable(Exception):
    """These objects are not where or what we can read; git itself can."""


class Entry(NamedTuple):
    """A file of a commit; links count as files."""

    path: str
    mode: str
    blob: str


def commit_entries(repository: Path, commit: str) -> tuple[Entry, ...]:
    """Every file of a commit in path order, submodules left out."""
    database = GitDB(str(repository / "objects"))
    return tuple(_entries(database, _tree(database, commit), ""))


def commit_tree(repository: Path, commit: str) -> str:
    """The hash of a commit's tree."""
    return _tree(GitDB(str(repository / "objects")), commit)


def _tree(database: GitDB, commit: str) -> str:
    head = _read(database, commit).partition(b"\n")[0]
    if not head.startswith(b"tree "):
        raise Unreadable(f"{commit} is no commit")
    return head.removeprefix(b"tree ").decode()


def blob_read(repository: Path, blob: str) -> bytes:
    return _read(GitDB(str(repository / "objects")), blob)


def _entries(database: GitDB, tree: str, prefix: str) -> Iterator[Entry]:
    for mode, name, sha in _rows(_read(database, tree)):
        if mode == TREE:
            yield from _entries(database, sha, f"{prefix}{name}/")
        elif mode != SUBMODULE:
            yield Entry(prefix + name, mode, sha)


def _rows(tree: bytes) -> Iterator[tuple[str, str, str]]:
    """`<mode> <name>\\0<20 bytes>`, again and again."""
    place = 0
    while place < len(tree):
        end = tree.index(b"\0", place)
        mode, _, name = tree[place:end].partition(b" ")
        place = end + 1 + SHA1_CHARS // 2
        yield mode.decode(), name.decode("utf-8", "surrogateescape"), tree[end + 1 : place].hex()


def _read(database: GitDB, sha: str) -> bytes:
    if len(sha) != SHA1_CHARS:
        raise Unreadable(f"{sha} is of another hash")
    try:
        data: bytes = database.stream(bytes.fromhex(sha)).read()
    except (ODBError, OSError, ValueError) as error:
        raise Unreadable(str(error)) from error
    return data
