"""What Poetry pins in its lock file, or asks for without one, as lines for pip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from apps.agents.languages.base import part
from apps.agents.needs.base import MOST_LOCK_BYTES, toml_of
from apps.agents.needs.uv import holds


def poetry_locked(lock: Path, groups: Iterable[str]) -> Iterator[str]:
    """Every package of the lock file, of these groups where it tells them."""
    wanted = {"main", *groups}
    for row in toml_of(lock, MOST_LOCK_BYTES).get("package", []):
        if not isinstance(row, dict) or row.get("optional"):
            continue
        if not wanted.intersection(row.get("groups", wanted)):
            continue
        markers = row.get("markers", "")
        conditions = markers.values() if isinstance(markers, dict) else [markers]
        if any(holds(str(one)) for one in conditions) and (line := _locked(row)):
            yield line


def _locked(row: dict[str, Any]) -> str:
    source, name = part(row, "source"), row.get("name")
    kind, address = source.get("type"), source.get("url")
    if kind == "git":
        return f"{name} @ git+{address}@{source.get('resolved_reference', 'HEAD')}"
    if kind == "url":
        return f"{name} @ {address}"
    return "" if kind in {"directory", "file"} else f"{name}=={row.get('version')}"


def poetry_requirements(poetry: dict[str, Any], groups: Iterable[str]) -> Iterator[str]:
    tables = [part(poetry, "dependencies"), part(poetry, "dev-dependencies")]
    tables += [part(poetry, "group", name, "dependencies") for name in groups]
    for table in tables:
        for name, asked in table.items():
            if name.lower() != "python" and (line := _requirement(name, asked)):
                yield line


def _requirement(name: str, asked: Any) -> str:
    if isinstance(asked, str):
        return f"{name}{_versions(asked)}"
    if not isinstance(asked, dict) or asked.get("optional") or "path" in asked:
        return ""
    extras = f"[{','.join(map(str, asked['extras']))}]" if asked.get("extras") else ""
    if "git" in asked:
        reference = asked.get("rev") or asked.get("tag") or asked.get("branch")
        return f"{name}{extras} @ git+{asked['git']}" + (f"@{reference}" if reference else "")
    return f"{name}{extras}{_versions(str(asked.get('version', '*')))}"


def _versions(asked: str) -> str:
    """Poetry's constraint as pip has it: `^1.2` is `>=1.2,<2`, `~1.2` is `>=1.2,<1.3`."""
    return ",".join(filter(None, (_version(one.strip()) for one in asked.split(","))))


def _version(asked: str) -> str:
    if asked in {"", "*"}:
        return ""
    if not (told := re.fullmatch(r"([~^])\s*(\d+(?:\.\d+)*)(.*)", asked)):
        return asked if asked[0] in "<>=!~" else f"=={asked}"
    numbers = [int(one) for one in told[2].split(".")]
    if told[1] == "^":
        last = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    else:
        last = min(1, len(numbers) - 1)
    above = [*numbers[:last], numbers[last] + 1]
    return f">={told[2]}{told[3]},<{'.'.join(map(str, above))}"
