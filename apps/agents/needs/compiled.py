"""Modules of Go and crates of Rust. What a repository keeps in `vendor` is there already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.agents.languages.base import part
from apps.agents.needs.base import MOST_LOCK_BYTES, Need, found_below, is_small, toml_of

TABLES = ("dependencies", "dev-dependencies", "build-dependencies")
CARGO_SETTINGS = (".cargo/config.toml", ".cargo/config")


def go_need(root: Path) -> Need | None:
    module = root / "go.mod"
    if not is_small(module) or (root / "vendor" / "modules.txt").is_file():
        return None
    if not re.search(r"^\s*require\b", module.read_text("utf-8", "replace"), re.MULTILINE):
        return None
    others = [root / name for name in ("go.sum", "go.work", "go.work.sum")]
    files = [*found_below(root, "go.mod"), *(one for one in others if is_small(one, MOST_LOCK_BYTES))]
    install = (
        "mkdir -p done/modules && export GOMODCACHE=/work/done/modules GOTOOLCHAIN=local"
        " GOFLAGS='-mod=mod -modcacherw' && go mod download && rm -rf done/modules/cache/vcs"
    )
    return Need("go", tuple(dict.fromkeys((module, *files))), install)


def rust_need(root: Path) -> Need | None:
    if not is_small(root / "Cargo.toml") or any(_is_vendored(root / name) for name in CARGO_SETTINGS):
        return None
    manifests = list(dict.fromkeys((root / "Cargo.toml", *found_below(root, "Cargo.toml"))))
    if not any(_asks_elsewhere(toml_of(file)) for file in manifests):
        return None
    lock = root / "Cargo.lock"
    locked = is_small(lock, MOST_LOCK_BYTES)
    files = [
        *manifests,
        *([lock] if locked else []),
        *(root / one for one in CARGO_SETTINGS if is_small(root / one)),
    ]
    # Cargo reads no manifest without the sources that it names.
    stubs = tuple(found_below(root, "*.rs"))
    option = " --locked" if locked else ""
    install = f"mkdir -p done/cargo && CARGO_HOME=/work/done/cargo cargo fetch{option}"
    return Need("rust", tuple(files), install, stubs=stubs)


def _is_vendored(settings: Path) -> bool:
    sources = part(toml_of(settings), "source")
    return any("replace-with" in part(sources, name) for name in sources)


def _asks_elsewhere(manifest: dict[str, Any]) -> bool:
    """Whether a manifest asks for a crate that does not lie in the repository."""
    return any(
        not isinstance(asked, dict) or not {"path", "workspace"} & asked.keys() for asked in _asked(manifest)
    )


def _asked(manifest: dict[str, Any]) -> Iterator[Any]:
    targets = part(manifest, "target")
    tables = (manifest, part(manifest, "workspace"), *(part(targets, name) for name in targets))
    for table in tables:
        for name in TABLES:
            yield from part(table, name).values()
