"""Packages of Node, installed by the project's own manager, which is fetched where it is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from apps.agents.languages.base import part
from apps.agents.languages.node_managers import PackageTool, manager_of
from apps.agents.needs.base import MOST_FILES, MOST_LOCK_BYTES, PASSED_OVER, Need, is_small
from apps.agents.paths import resolve_inside
from apps.core.errors import LoomError

SETTINGS = (".yarnrc.yml", "pnpm-workspace.yaml")
FOLDERS = (".yarn/releases", ".yarn/plugins", ".yarn/patches", "patches")
INSTALL = {
    "npm": "npm {} --no-audit --no-fund --no-update-notifier",
    "pnpm": "pnpm install {} --store-dir /work/.store --config.node-linker=hoisted --reporter=append-only",
    "yarn": "yarn install {}",
}
LOCKED = {
    "npm": ("ci", "install"),
    "pnpm": ("--frozen-lockfile", "--no-frozen-lockfile"),
    "yarn": ("--immutable", "--no-immutable"),
}
CLASSIC = ("--frozen-lockfile --non-interactive --no-progress", "--non-interactive --no-progress")
KINDS = ("dependencies", "devDependencies")
# Links to workspaces lead to where the repository is seen: the packages move away from beside it.
RELINK = (
    "find node_modules -maxdepth 2 -type l 2>/dev/null | while read -r one; do "
    'to=$(readlink -m "$one"); '
    'case "$to" in /work/node_modules/*) ;; /work/*) ln -sfn "$to" "$one" ;; esac; done'
)
KEEP = "mkdir -p done && { test ! -d node_modules || mv node_modules done/; }"


def node_need(root: Path) -> Need | None:
    if not is_small(root / "package.json"):
        return None
    try:
        told = json.loads((root / "package.json").read_text("utf-8", "replace"))
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    manager = manager_of(told, lambda name: _text(root / name))
    inside = dict(_workspaces(root, told))
    asked = [part(one, kind) for one in (told, *inside.values()) for kind in KINDS]
    if not any(asked) and not manager.package:
        return None
    lock = (root / manager.lock,) if manager.lock else ()
    files = dict.fromkeys((root / "package.json", *inside, *lock, *_local(root, asked), *_settings(root)))
    return Need("node", tuple(files), _install(manager, installs=any(asked)))


def _install(manager: PackageTool, *, installs: bool) -> str:
    lines = []
    if manager.package:
        fetch = f"npm install --no-audit --no-fund --no-update-notifier --prefix manager {manager.package}"
        lines.append(f"{{ command -v {manager.name} >/dev/null || (mkdir -p manager && {fetch}); }}")
        lines.append('export PATH="/work/manager/node_modules/.bin:$PATH" COREPACK_ENABLE_STRICT=0')
        lines.append("export YARN_NODE_LINKER=node-modules YARN_GLOBAL_FOLDER=/work/.yarn-global")
        lines.append("export YARN_ENABLE_TELEMETRY=0 npm_config_manage_package_manager_versions=false")
    if installs:
        is_classic = manager.package.startswith("yarn@")
        choices = CLASSIC if is_classic else LOCKED[manager.name]
        lines.append(INSTALL[manager.name].format(choices[0 if manager.lock else 1]))
    lines += [f"{{ {RELINK}; }}", KEEP]
    if manager.package:
        lines.append("{ test ! -d manager || mv manager done/; }")
    return " && ".join(lines)


def _workspaces(root: Path, told: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The `package.json` of each package in the repository that is installed together with this one."""
    asked = told.get("workspaces")
    patterns = asked.get("packages") if isinstance(asked, dict) else asked
    if is_small(root / "pnpm-workspace.yaml"):
        with suppress(yaml.YAMLError):
            listed = yaml.safe_load((root / "pnpm-workspace.yaml").read_text("utf-8", "replace"))
            patterns = listed.get("packages") if isinstance(listed, dict) else None
    texts = [one.strip("/") for one in patterns if isinstance(one, str)] if isinstance(patterns, list) else []
    left_out = {file for one in texts if one[:1] == "!" for file in _packages(root, one[1:])}
    found = dict.fromkeys(file for one in texts if one[:1] != "!" for file in _packages(root, one))
    for file in [one for one in found if one not in left_out][:MOST_FILES]:
        with suppress(ValueError):
            if isinstance(own := json.loads(file.read_text("utf-8", "replace")), dict):
                yield file, own


def _packages(root: Path, pattern: str) -> Iterator[Path]:
    parts = PurePosixPath(pattern).parts
    is_odd = any("**" in part and part != "**" for part in parts)  # Python knows no such pattern
    if not parts or ".." in parts or is_odd or parts.count("**") > 1 or pattern.startswith("/"):
        return
    for file in sorted(root.glob("/".join((*parts, "package.json")))):
        within = PASSED_OVER.isdisjoint(file.relative_to(root).parts)
        if within and file.parent != root and file.resolve() == file and is_small(file):
            yield file


def _text(file: Path) -> str:
    """The beginning of a lock file is enough to know whose it is."""
    if not is_small(file, MOST_LOCK_BYTES):
        return ""
    with file.open(encoding="utf-8", errors="replace") as opened:
        return opened.read(4_000) or " "


def _local(root: Path, asked: list[dict[str, Any]]) -> Iterator[Path]:
    """Packages that lie in the repository as archives."""
    for where in (where for kind in asked for where in kind.values()):
        if isinstance(where, str) and where.startswith("file:"):
            try:
                found = resolve_inside(root, where.removeprefix("file:"))
            except LoomError:
                continue
            if found.is_file():
                yield found


def _settings(root: Path) -> Iterator[Path]:
    yield from (root / name for name in SETTINGS if is_small(root / name))
    for folder in FOLDERS:
        if (root / folder).is_dir() and not (root / folder).is_symlink():
            yield from (
                file for file in sorted((root / folder).rglob("*")) if is_small(file, MOST_LOCK_BYTES)
            )
