"""What one command may see and use: mounts, environment and limits, written down for the launcher."""

from __future__ import annotations

import os
import re
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path

from apps.agents.sandbox.calls import call_filter
from apps.agents.sandbox.launcher import STAGE
from apps.agents.sandbox.records import MARK, new_mark
from apps.agents.sandbox.toolchains import node_options, toolchains
from apps.agents.sandbox.tools import (
    PYTHON,
    SYSTEM_PATH,
    interpreter,
    is_system_python,
    libraries,
    shared_library,
    site_packages,
)
from apps.core.errors import BadInput

WORK = "/work"
HOME = "/home/agent"
INSIDE_ID = "1000"  # every session is the same unprivileged user inside, whoever it is outside
MIB = 1 << 20
SYSTEM = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin")
ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "nsswitch.conf", "pki", "protocols", "services", "ssl",
)  # fmt: skip
NETWORK_ETC = ("hosts", "resolv.conf", "gai.conf")
ACCOUNTS = Path(__file__).parent / "etc"


def env_mib(name: str, default: int) -> int:
    """Bytes, from a variable in MiB; BadInput if it holds no positive number."""
    text = os.environ.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit() and int(text)):
        raise BadInput(f"{name} must be a number of MiB, not {text!r}.")
    return (int(text) if text else default) * MIB


@dataclass(frozen=True)
class Limits:
    """Bounds of one command; sizes in bytes. `memory` is the address space of one process, the rest of all.

    `resident`, `disk` and `files` (what is added to the worktree) are watched: passed for a moment before the
    command is stopped.
    """

    memory: int = 4096 * MIB
    resident: int = field(default_factory=lambda: env_mib("LOOM_SANDBOX_MEMORY_MIB", 4096))
    disk: int = field(default_factory=lambda: env_mib("LOOM_SANDBOX_DISK_MIB", 2048))
    spare_disk: int = 512 * MIB  # what a command never takes of the disk
    files: int = 200_000
    processes: int = 256
    open_files: int = 4096
    file_size: int = 1024 * MIB
    scratch: int = 512 * MIB  # each of /tmp, /dev/shm and the home directory, which live in memory
    output: int = 256 * 1024  # kept: the first and the last half
    flood: int = 64 * MIB  # a command that writes more is stopped


@dataclass(frozen=True)
class Extra:
    """What a command sees beside the system: directories read-only, variables, places of programs."""

    shown: tuple[tuple[Path, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    programs: tuple[str, ...] = ()

    def joined(self, other: Extra) -> Extra:
        return Extra(
            self.shown + other.shown, self.variables + other.variables, self.programs + other.programs
        )

    def environment(self, base: dict[str, str], *, outside: bool = False) -> dict[str, str]:
        """`base` with what this adds; `outside`: where nothing can be mounted, the real directories."""
        found = {**base, **dict(self.variables), "PATH": ":".join((base["PATH"], *self.programs))}
        if outside:
            for path, inside in self.shown:
                found = {name: value.replace(inside, str(path)) for name, value in found.items()}
        return found


def compilers(*, outside: bool = False) -> Extra:
    """Toolchains that lie outside of the system's directories."""
    found = toolchains()
    return Extra(
        shown=() if outside else tuple((one.path, one.inside) for one in found),
        programs=tuple(str(one.path / "bin") if outside else one.programs for one in found),
    )


@dataclass
class Plan:
    """The launcher's input: fields by threes (kind, name, value)."""

    fields: list[str] = field(default_factory=list)
    watched: Path | None = None  # where it may write
    mark: str = ""  # what its processes carry in their environment

    def add(self, kind: str, name: object, value: object = "") -> None:
        self.fields += [kind, str(name), str(value)]

    def encode(self) -> bytes:
        if any("\0" in text for text in self.fields):
            raise BadInput("A command cannot contain a NUL character.")
        data = "\0".join(self.fields).encode("utf-8", "surrogateescape")
        return len(data).to_bytes(4, "big") + data


class Mounts:
    """Options of bubblewrap; sources go by way of the launcher's stage if it drops its rights."""

    def __init__(self, plan: Plan, *, staged: bool) -> None:
        self._plan = plan
        self._staged = staged
        self._count = 0
        self.options: list[str] = []

    def source(self, path: Path | str, name: str = "") -> str:
        """Where bubblewrap finds `path`."""
        if not self._staged:
            return str(path)
        self._count += 1
        name = name or str(self._count)
        self._plan.add("stage", path, name)
        return f"{STAGE}/{name}"

    def show(self, path: Path | str, inside: str, *, writable: bool = False) -> None:
        self.options += ["--bind" if writable else "--ro-bind", self.source(path), inside]

    def link(self, target: str, inside: str) -> None:
        self.options += ["--symlink", target, inside]

    def scratch(self, inside: str, size: int) -> None:
        """A directory in memory, gone with the command."""
        self.options += ["--perms", "0755", "--size", str(size), "--tmpfs", inside]


def boxed(
    command: list[str],
    *,
    bwrap: Path,
    root: Path,
    uid: int | None,
    limits: Limits,
    seconds: float,
    network: bool,
    read_only: bool,
    extra: Extra = Extra(),
) -> Plan:
    """The plan of a command in bubblewrap."""
    plan = Plan(watched=None if read_only else root, mark=new_mark())
    plan.add("variable", MARK, plan.mark)
    _limit(plan, limits, seconds)
    mounts = Mounts(plan, staged=uid is not None)
    program = _program(mounts, bwrap)
    mounts.options += _isolation(network=network)
    _show_system(mounts, network=network)
    _show_python(mounts)
    mounts.scratch("/tmp", limits.scratch)  # noqa: S108 - the sandbox's own
    mounts.scratch(HOME, limits.scratch)
    extra = compilers().joined(extra)
    for path, inside in extra.shown:
        mounts.show(path, inside)
    mounts.show(root, WORK, writable=not read_only)
    mounts.options += ["--unsetenv", MARK, "--remount-ro", "/", "--chdir", WORK]
    if uid is not None:
        plan.add("user", uid, uid)
    plan.add("calls", call_filter().hex(), "")
    for option in mounts.options:
        plan.add("option", option)
    for word in _counted(command, limits):
        plan.add("word", word)
    for name, value in extra.environment(environment(HOME, PYTHON + "/bin")).items():
        plan.add("variable", name, value)
    plan.add("run", "bwrap", program)
    plan.add("within", seconds, "/")
    return plan


def bare(
    command: list[str],
    *,
    root: Path,
    uid: int | None,
    limits: Limits,
    seconds: float,
    extra: Extra = Extra(),
) -> Plan:
    """The plan of a command without a sandbox: limits, empty environment, killed with all it started."""
    plan = Plan(watched=root, mark=new_mark())
    plan.add("variable", MARK, plan.mark)
    _limit(plan, limits, seconds)
    if uid is not None:
        plan.add("limit", resource.RLIMIT_NPROC, limits.processes)  # the uid is this session's alone
        plan.add("user", uid, uid)
    for word in ("/bin/sh", "-c", 'exec "$@"', "sh", *command):  # which finds programs on PATH
        plan.add("word", word)
    own = environment("/tmp", f"{sys.base_prefix}/bin")  # noqa: S108
    extra = compilers(outside=True).joined(extra)
    for name, value in extra.environment(own, outside=True).items():
        plan.add("variable", name, value)
    plan.add("run", "bare", "/bin/sh")
    plan.add("within", seconds, root)
    return plan


def environment(home: str, python: str) -> dict[str, str]:
    """All that a command's environment holds."""
    special = {"LD_LIBRARY_PATH": f"{PYTHON}/shared"} if home == HOME and shared_library() else {}
    if options := node_options(":".join(SYSTEM_PATH)):
        special["NODE_OPTIONS"] = options
    return {
        "PATH": ":".join((python, *SYSTEM_PATH)),
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "CI": "1",  # test runners neither watch files nor ask questions
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        **special,
    }


def _limit(plan: Plan, limits: Limits, seconds: float) -> None:
    cpu = int(seconds) + 5  # a process alone cannot use more; several can, until the wall clock stops them
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ):
        plan.add("limit", which, value)


def _counted(command: list[str], limits: Limits) -> list[str]:
    """`command` with its number of processes limited from inside, where only its own are counted."""
    if os.geteuid() != 0 and _kernel() < (5, 14):
        return command  # older kernels would count all of the platform user's processes
    most = limits.processes
    script = f'ulimit -u {most} 2>/dev/null || ulimit -p {most} 2>/dev/null; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", *command]


def _kernel() -> tuple[int, int]:
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


def _isolation(*, network: bool) -> list[str]:
    return [
        "--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try", *([] if network else ["--unshare-net"]),
        "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--uid", INSIDE_ID, "--gid", INSIDE_ID, "--hostname", "sandbox",
    ]  # fmt: skip


def _program(mounts: Mounts, bwrap: Path) -> str:
    """Where the launcher finds bubblewrap; its wheel brings a library that has to lie beside its package."""
    package = bwrap.parent.parent
    libs = package.parent / f"{package.name}.libs"
    if not libs.is_dir():
        return mounts.source(bwrap)
    mounts.source(libs, libs.name)
    return f"{mounts.source(package, package.name)}/{bwrap.relative_to(package)}"


def _show_system(mounts: Mounts, *, network: bool) -> None:
    options = mounts.options
    options += ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM:
        if Path(name).is_symlink():
            mounts.link(str(Path(name).readlink()), name)
        else:
            options += ["--ro-bind-try", name, name]
    for name in (*ETC, *(NETWORK_ETC if network else ())):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ("passwd", "group"):
        mounts.show(ACCOUNTS / name, f"/etc/{name}")
    options += ["--proc", "/proc", "--dev", "/dev"]
    mounts.scratch("/dev/shm", 64 * MIB)  # noqa: S108
    options += ["--remount-ro", "/dev"]


def _show_python(mounts: Mounts) -> None:
    """The platform's interpreter at a fixed place, with a few libraries of its own choice and no others."""
    outside, name = Path(sys.base_prefix), interpreter()
    if is_system_python():
        target = str(outside / "bin" / name)
    else:
        target = name
        mounts.show(outside / "lib", f"{PYTHON}/lib")
        mounts.show(outside / "bin" / name, f"{PYTHON}/bin/{name}")
        if library := shared_library():
            mounts.show(library, f"{PYTHON}/shared/{library.name}")
    for alias in ("python", "python3"):
        mounts.link(target, f"{PYTHON}/bin/{alias}")
    if site := site_packages():
        mounts.scratch(site, MIB)
        for path in libraries().values():
            mounts.show(path, f"{site}/{path.name}")
        mounts.options += ["--remount-ro", site]
