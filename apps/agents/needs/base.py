"""What the finders of dependencies share."""

from __future__ import annotations

import hashlib
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 1_000_000  # of one file that names dependencies
MOST_LOCK_BYTES = 20_000_000
MOST_FILES = 500
PASSED_OVER = {".git", "node_modules", "target", "vendor", ".venv", "venv", "__pycache__", "dist", "build"}


@dataclass(frozen=True)
class Need:
    """Dependencies in one language: the files that name them, and how they are installed at /work.

    `written` are files made of what others say; `stubs` are there by name alone, their content is not shown.
    """

    language: str
    files: tuple[Path, ...]
    install: str
    written: tuple[tuple[str, str], ...] = ()
    stubs: tuple[Path, ...] = ()

    def key(self, root: Path) -> str:
        found = hashlib.sha256(f"{self.language} {sys.version_info[:2]} {self.install}".encode())
        for file in self.files:
            found.update(f"\0{file.relative_to(root)}\0".encode() + file.read_bytes())
        for name, text in self.written:
            found.update(f"\0{name}\0{text}".encode())
        return found.hexdigest()[:32]

    def names(self, root: Path) -> str:
        return ", ".join(str(file.relative_to(root)) for file in self.files[:3])


def is_small(file: Path, most: int = MOST_BYTES) -> bool:
    return file.is_file() and not file.is_symlink() and file.stat().st_size <= most


def toml_of(file: Path, most: int = MOST_BYTES) -> dict[str, Any]:
    """A TOML file's content; {} for one that is missing, huge or broken."""
    if not is_small(file, most):
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8", "replace"))
    except tomllib.TOMLDecodeError:
        return {}


def found_below(root: Path, pattern: str) -> Iterator[Path]:
    """Files of a name anywhere in the repository, the first few hundred."""
    count = 0
    for file in sorted(root.rglob(pattern)):
        if PASSED_OVER.isdisjoint(file.relative_to(root).parts) and is_small(file):
            yield file
            count += 1
            if count == MOST_FILES:
                return
