"""What a project needs to be checked: installed in a step of its own, kept by what its lock files say.

Commands and checks see the result read-only and can install nothing themselves. The step sees the files that
name the dependencies and what these refer to in the repository, nothing else of it; it reaches the network
only where the project's owner allowed that (`allow_install`). Packages that lie in the repository are
installed in any case.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.agents.needs import PIP, Need, needs_of
from apps.agents.results import CommandResult
from apps.agents.sandbox import Sandbox, commands_end
from apps.agents.sandbox.owner import remove_tree
from apps.agents.sandbox.plan import Extra
from apps.agents.told import error_line, missing_tool
from apps.core.masking import Masker
from apps.projects.models import Project

SECONDS = 900.0
AGAIN_S = 300.0  # after which a download that failed is tried again
KEPT = 4  # states of a project's dependencies that are kept, the newest
INSIDE = "/opt/dependencies"
_REASON = re.compile(r"\s*(?:ERROR|npm (?:ERR!|error)|error |error:|go: |\s*ERR_PNPM)")
# Where packages come from instead, as the platform's own environment has it.
MIRRORS = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "npm_config_registry", "YARN_NPM_REGISTRY_SERVER",
    "YARN_REGISTRY", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE",
)  # fmt: skip
# The machine's own certificates: package managers bring lists that know nothing of a company's.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTED = (
    f"test ! -r {BUNDLE} || export PIP_CERT={BUNDLE} NODE_EXTRA_CA_CERTS={BUNDLE} SSL_CERT_FILE={BUNDLE}; "
)
OFFLINE = "export PIP_RETRIES=0 npm_config_offline=true GOPROXY=off CARGO_NET_OFFLINE=true; "


@dataclass(frozen=True)
class Provided:
    """What commands are given of it; `note` says why something is missing."""

    extra: Extra = field(default_factory=Extra)
    note: str = ""


def dependencies_provide(
    project: Project, root: Path, *, session: int = 0, mask: Masker | None = None
) -> Provided:
    """Install what the files below `root` ask for, unless that was done before; what commands get of it."""
    extra, notes = Extra(), []
    for need in needs_of(root.resolve()):
        place = _folder(project.pk) / need.key(root.resolve())
        with _one_at_a_time(place):
            told = _known(place, project.allow_install)
            if told is None:
                told = _install(
                    need, place, root.resolve(), project.allow_install, Sandbox(session, mask=mask)
                )
        if told["ok"]:
            extra = extra.joined(_shown(need, place))
        else:
            notes.append(str(told["note"]))
    return Provided(extra, "\n".join(notes))


# -- installing ------------------------------------------------------------------------------------------


def _install(need: Need, place: Path, root: Path, network: bool, sandbox: Sandbox) -> dict[str, Any]:
    """Install into `place`, all or nothing; what is to be remembered of it."""
    stage = place.with_name(f"{place.name}.new")
    commands_end(stage)  # of a worker that was killed
    remove_tree(stage)
    stage.mkdir(parents=True)
    for file in need.files:
        copy = stage / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    for name, text in need.written:
        (stage / name).write_text(text)
    for file in need.stubs:
        stub = stage / file.relative_to(root)
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.touch()
    before = TRUSTED + ("" if network else OFFLINE)
    done = sandbox.run(
        before + need.install,
        root=stage,
        timeout=SECONDS,
        network=network,
        extra=_tools(need).joined(_mirrors()),
    )
    told: dict[str, Any] = {"ok": done.ok, "network": network, "at": time.time(), "note": ""}
    if done.ok:
        (stage / "done").mkdir(exist_ok=True)  # everything asked for may be there already
    else:
        told["note"] = _why(need, root, network, done)
        remove_tree(stage / "done")
        (stage / "done").mkdir()
    (stage / "done" / "result.json").write_text(json.dumps(told))
    remove_tree(place)
    (stage / "done").rename(place)
    remove_tree(stage)
    _forget_old(place.parent)
    return told


def _tools(need: Need) -> Extra:
    found = importlib.util.find_spec("pip") if need.language == "python" else None
    if found is None or found.origin is None:
        return Extra()
    return Extra(shown=((Path(found.origin).parent, f"{PIP}/pip"),))


def _mirrors() -> Extra:
    """Addresses with a password stay outside: what is installed may run programs."""
    told = ((name, os.environ.get(name, "")) for name in MIRRORS)
    return Extra(variables=tuple((name, value) for name, value in told if value and "@" not in value))


def _why(need: Need, root: Path, network: bool, done: CommandResult) -> str:
    if missing := missing_tool(done.output):
        return f"The dependencies in {need.names(root)} are not installed: {missing} is not on this machine."
    lines = [line for line in done.output.splitlines() if _REASON.match(line)]
    said = lines[-1].strip() if lines else error_line(done.output)
    if not network:
        return (
            f"The dependencies in {need.names(root)} are not installed: downloading is off for this project."
            f" Its owner can allow it (allow_install). ({said[:200]})"
        )
    return f"The dependencies in {need.names(root)} could not be installed: {said[:400]}"


def _known(place: Path, network: bool) -> dict[str, Any] | None:
    """What came of it before, unless it should be tried again."""
    try:
        told: dict[str, Any] = json.loads((place / "result.json").read_text())
    except (OSError, ValueError):
        return None
    if not told["ok"] and network and (not told["network"] or time.time() - told["at"] > AGAIN_S):
        return None
    return told


def _shown(need: Need, place: Path) -> Extra:
    """What commands see of what was installed, and how the language's tools find it without a network."""
    return _SHOWN[need.language](place)


def _shown_python(place: Path) -> Extra:
    found, inside = place / "python", f"{INSIDE}/python"
    if not found.is_dir():
        return Extra()
    return Extra(((found, inside),), (("PYTHONPATH", inside),), (f"{inside}/bin",))


def _shown_node(place: Path) -> Extra:
    """Packages lie where Node looks from any directory; the manager is there to run scripts."""
    extra, found, manager = Extra(), place / "node_modules", place / "manager"
    if found.is_dir():
        extra = Extra(((found, "/node_modules"),), (), ("/node_modules/.bin",))
    if manager.is_dir():
        inside = f"{INSIDE}/manager"
        quiet = (("COREPACK_ENABLE_STRICT", "0"), ("npm_config_manage_package_manager_versions", "false"))
        extra = extra.joined(Extra(((manager, inside),), quiet, (f"{inside}/node_modules/.bin",)))
    return extra


def _shown_go(place: Path) -> Extra:
    inside = f"{INSIDE}/go"
    offline = (("GOPROXY", "off"), ("GOSUMDB", "off"), ("GOTOOLCHAIN", "local"))
    return Extra(((place / "modules", inside),), (("GOMODCACHE", inside), *offline))


def _shown_rust(place: Path) -> Extra:
    inside = f"{INSIDE}/cargo"
    return Extra(((place / "cargo", inside),), (("CARGO_HOME", inside), ("CARGO_NET_OFFLINE", "true")))


_SHOWN = {"python": _shown_python, "node": _shown_node, "go": _shown_go, "rust": _shown_rust}


def _folder(project_id: int) -> Path:
    return Path(settings.LOOM_DATA_DIR) / "dependencies" / str(project_id)


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_old(folder: Path) -> None:
    """Of the states that no command uses for long, the newest stay."""
    states = [one for one in folder.iterdir() if one.is_dir() and not one.name.endswith(".new")]
    for old in _oldest(states):
        remove_tree(old)


def _oldest(states: Iterable[Path]) -> list[Path]:
    return sorted(states, key=lambda one: one.stat().st_mtime, reverse=True)[KEPT:]
