"""A session's world to break out of: what lies around its worktree, and who would notice."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apps.agents.actions import REGISTRY, ActionContext, Result, bind
from apps.agents.hub import Hub
from apps.agents.replies import Call
from apps.agents.results import CommandResult
from apps.agents.sandbox import Limits, Sandbox
from apps.agents.sandbox.plan import MIB
from apps.agents.sandbox.status import UNSAFE
from apps.agents.workspace import Workspace
from apps.commands.judging import Judgement
from apps.core.masking import Masker

SECRET = "escape-canary-90125"
VARIABLE = "ESCAPE_API_KEY"
BARE = "bare:"
TIGHT = Limits(
    memory=512 * MIB, resident=200 * MIB, disk=16 * MIB, files=2000, processes=64, open_files=256,
    file_size=8 * MIB, scratch=8 * MIB, output=64 * 1024, flood=1 * MIB,
)  # fmt: skip
WIDE = Limits(
    memory=4096 * MIB, resident=4096 * MIB, disk=512 * MIB, files=50_000, processes=400, open_files=4096,
    file_size=256 * MIB, scratch=256 * MIB, output=64 * 1024, flood=64 * MIB,
)  # fmt: skip
FILES = {"a.txt": b"a\n", "src/b.py": b"b = 1\n"}


@dataclass
class Room:
    """`run` and `do` go through the doors of agents; what they said is kept in `said`."""

    base: Path
    hub: Hub
    workspace: Workspace
    commit: str
    port: int
    victim: subprocess.Popen[bytes]
    reached: list[str] = field(default_factory=list)
    limits: Limits = TIGHT
    said: str = ""
    last: CommandResult | None = None

    @property
    def outside(self) -> Path:
        return self.base / "outside"

    @property
    def other(self) -> Path:
        """The worktree of another session."""
        return self.base / "other"

    @property
    def root(self) -> Path:
        return self.workspace.root

    def do(self, action: str, **arguments: Any) -> Result:
        result = bind(Call("1", action, arguments), set(REGISTRY)).run(self.context())
        self.said += result.text + "\n"
        return result

    def run(self, command: str, timeout: float = 20) -> Result:
        return self.do("run_command", command=command, timeout=timeout)

    def context(self) -> ActionContext:
        nothing: Any = None
        return ActionContext(
            root=self.root, base=self.commit, seen=set(), run=self._command, check=nothing,
            git=self.workspace.git, write=self.workspace.write, desk=nothing, judge=_allowed,
        )  # fmt: skip

    def _command(self, command: str, *, timeout: float = 300) -> CommandResult:
        sandbox = Sandbox(session=11, limits=self.limits, mask=Masker([]))
        self.last = sandbox.run(command, root=self.root, timeout=timeout)
        return replace(self.last, output=self.last.output[-100_000:])

    def reset(self) -> None:
        """As it was before an attempt."""
        self.said, self.last, self.limits = "", None, TIGHT
        self.reached.clear()
        for place in (self.outside, self.other):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            place.chmod(0o777)
        (self.outside / "secret.txt").write_text(f"{SECRET}\n")
        (self.other / "file.txt").write_text(f"{SECRET}\n")
        (self.other / "file.txt").chmod(0o666)
        shutil.rmtree(self.root / ".git", ignore_errors=True)
        (self.root / ".git").unlink(missing_ok=True)
        self.workspace.restore(self.commit)


def _allowed(line: str) -> Judgement:
    """The policy is lifted, so that the sandbox stands alone."""
    return Judgement(line)


@contextlib.contextmanager
def open_room() -> Iterator[Room]:
    base = Path(tempfile.mkdtemp(prefix="loom-escape-")).resolve()
    base.chmod(0o755)  # without a sandbox everything around can be reached
    victim = subprocess.Popen(["sleep", "3600"])
    os.environ[VARIABLE] = SECRET
    try:
        hub = Hub(base / "hub.git")
        hub.create()
        commit = hub.commit_files("main", FILES, "Begin", "Ann <ann@example.org>")
        uid = Sandbox(session=11).uid
        workspace = Workspace.open(hub, base / "trees" / "0", commit, owner_uid=uid)
        (base / "trees").chmod(0o755)
        reached: list[str] = []
        with _listening(base, reached) as port:
            room = Room(base, hub, workspace, commit, port, victim, reached)
            yield room
    finally:
        os.environ.pop(VARIABLE, None)
        victim.kill()
        victim.wait()
        shutil.rmtree(base, ignore_errors=True)


@contextlib.contextmanager
def _listening(base: Path, reached: list[str]) -> Iterator[int]:
    """Servers as the platform has them: on the loopback address, on a socket file, on an abstract socket."""
    servers = {"tcp": socket.create_server(("127.0.0.1", 0))}
    for name, address in (("unix", str(base / "broker.sock")), ("abstract", f"\0loom-{base.name}")):
        servers[name] = socket.socket(socket.AF_UNIX)
        servers[name].bind(address)
        servers[name].listen()
    (base / "broker.sock").chmod(0o777)
    servers["udp"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    servers["udp"].bind(servers["tcp"].getsockname())
    for name, server in servers.items():
        threading.Thread(target=_answer, args=(name, server, reached), daemon=True).start()
    try:
        yield servers["tcp"].getsockname()[1]
    finally:
        for server in servers.values():
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()


def _answer(name: str, server: socket.socket, reached: list[str]) -> None:
    while True:
        try:
            if name == "udp":
                server.recvfrom(100)
            else:
                connection, _ = server.accept()
                connection.sendall(SECRET.encode())
                connection.close()
        except OSError:
            return
        reached.append(name)


Act = Callable[[Room], object]


@dataclass(frozen=True)
class Attempt:
    """One way out. `noticed` tells that it succeeded; `control` is a try that must be noticed."""

    name: str
    group: str
    act: Act
    noticed: Callable[[Room], bool]
    control: Act


ATTEMPTS: list[Attempt] = []


def attempt(
    name: str, group: str, act: Act | str, noticed: Callable[[Room], bool], control: Act | str = BARE
) -> None:
    """Register. A text is a shell command, in which {base}, {outside}, {other}, {port}, ... are filled in.

    As a control it runs in the sandbox, or after "bare:" without one; "bare:" alone repeats the attempt.
    Without a sandbox a command reaches the whole machine: it may only look at what the room has.
    """
    first = shell(act) if isinstance(act, str) else act
    again = control if callable(control) else _control(first, control)
    ATTEMPTS.append(Attempt(name, group, first, noticed, again))


def _control(act: Act, command: str) -> Act:
    if not command.startswith(BARE):
        return shell(command)
    rest = command.removeprefix(BARE)
    return unboxed(shell(rest) if rest else act)


def unboxed(act: Act) -> Act:
    """The same without a sandbox."""

    def without(room: Room) -> None:
        before = os.environ.get(UNSAFE)
        os.environ[UNSAFE] = "off"
        try:
            act(room)
        finally:
            if before is None:
                del os.environ[UNSAFE]
            else:
                os.environ[UNSAFE] = before

    return without


def shell(command: str) -> Act:
    def act(room: Room) -> None:
        room.run(filled(command, room))

    return act


def filled(text: str, room: Room) -> str:
    for name, value in (
        ("base", room.base), ("outside", room.outside), ("other", room.other), ("port", room.port),
        ("victim", room.victim.pid), ("root", room.root), ("worker", os.getpid()),
    ):  # fmt: skip
        text = text.replace(f"{{{name}}}", str(value))
    return text


def python(program: str) -> str:
    """A shell command that runs a Python program."""
    return f"python3 - <<'PYTHON'\n{program}\nPYTHON"


def read(room: Room) -> bool:
    return SECRET in room.said


def claimed(room: Room) -> bool:
    """The try itself says that it got through."""
    return "ESCAPED" in room.said


def wrote(room: Room) -> bool:
    """Something that was not there lies outside, or what lay there has changed."""
    found = {path.name: path.read_bytes() for path in room.outside.rglob("*") if path.is_file()}
    others = {path.name: path.read_bytes() for path in room.other.rglob("*") if path.is_file()}
    secret = f"{SECRET}\n".encode()
    return found != {"secret.txt": secret} or others != {"file.txt": secret}


def connected(room: Room) -> bool:
    return bool(room.reached)
