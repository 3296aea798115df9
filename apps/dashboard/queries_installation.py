"""The installation as its operators see it: whether its parts answer, and what they are set to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from apps.agents.sandbox import sandbox_status
from apps.core.health import OK, database_state
from apps.core.masking import mask
from apps.core.version import version
from apps.engine.machinery import machinery

PAGE: Final = "docs/configuration.md"
ROW: Final = re.compile(r"^\| `([A-Z0-9_]+)` \|\s*(.*?)\s*\| (.*) \|$")
LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
SECRET: Final = ("_KEY", "_TOKEN", "_PASSWORD", "_SECRET")
HIDDEN: Final = "set, not shown"


@dataclass(frozen=True)
class Setting:
    """One variable; the value is empty where only words tell the default."""

    name: str
    value: str
    default: str
    meaning: str
    is_set: bool


def installation() -> dict[str, Any]:
    machines = machinery()
    answering = [worker for worker in machines["workers"] if worker["answered"]]
    return {
        **machines,
        "version": version(),
        "database": database_read(),
        "sandbox_is": sandbox_status(),
        "answering": answering,
        "job_workers": sum(queue["workers"] for queue in machines["jobs"]),
        "mails": bool(settings.LOOM_EMAIL_URL),
        "groups": settings_read(os.environ),
    }


def database_read() -> dict[str, Any]:
    """The database without what its address may hold of secrets."""
    if database_state() != OK:
        return {"is_there": False}
    told = connection.settings_dict
    place = (
        Path(str(told["NAME"])).name
        if connection.vendor == "sqlite"
        else f"{told['NAME']} at {told['HOST'] or 'this machine'}"
    )
    number = ".".join(map(str, connection.get_database_version()))
    return {"is_there": True, "kind": connection.display_name, "version": number, "place": place}


def settings_read(environment: Mapping[str, str]) -> list[tuple[str, list[Setting]]]:
    """What the page of the documentation lists, by its headings, as this web process was started."""
    return [
        (heading, [_setting(*row, environment=environment) for row in rows]) for heading, rows in _listed()
    ]


def _setting(name: str, default: str, meaning: str, *, environment: Mapping[str, str]) -> Setting:
    is_set = bool(environment.get(name, "").strip())
    read = settings.LOOM_READ.get(name, environment.get(name, ""))
    return Setting(name, _shown(name, read), default, meaning, is_set)


def _shown(name: str, value: Any) -> str:
    """As the operator wrote it, but for what must not be seen."""
    if value in {"", None} if not isinstance(value, list) else not value:
        return ""
    if isinstance(value, str | list) and name.endswith(SECRET):  # LOOM_RATE_PER_KEY is a number
        return HIDDEN
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    # A comma in what was not read as a list may be one of a password.
    return mask(", ".join(_bare(str(part)) for part in (value if isinstance(value, list) else [value])))


def _bare(address: str) -> str:
    """An address without name, password and query; nothing of one in which they cannot be told apart."""
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
        place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return HIDDEN
    if "@" in parts.path or ("@" in address and "@" not in parts.netloc):
        return HIDDEN
    return f"{parts.scheme}://{place}{parts.path}"


@cache
def _listed() -> list[tuple[str, list[tuple[str, str, str]]]]:
    try:
        text = (Path(settings.BASE_DIR) / PAGE).read_text(encoding="utf-8")
    except OSError:  # an installation without its documentation
        return []
    return list(_tables(text))


def _tables(text: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    heading, rows = "", list[tuple[str, str, str]]()
    for line in [*text.splitlines(), "## "]:
        if line.startswith("## "):
            if rows:
                yield heading, rows
            heading, rows = line.removeprefix("## "), []
        elif found := ROW.match(line):
            name, default, meaning = (LINK.sub(r"\1", part).replace("**", "") for part in found.groups())
            rows.append((name, default, meaning))
