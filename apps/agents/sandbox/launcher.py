"""Starts one command and sees to its end: a process of its own that imports nothing of Loom.

The plan comes on standard input: a length, then fields separated by NUL (see `Plan.encode`). After it, the
end of standard input means that the owner is gone, and everything started here is killed. Imports are few
because this process stands before every command. It ends as the command did, or by SIGUSR1 if the command
could not be started; no command can imitate that, since its own signals arrive as 128 and more.
"""

from __future__ import annotations

import os
import resource
import select

TYPE_CHECKING = False  # mypy knows the name; the real one costs 10 ms to import
if TYPE_CHECKING:
    import ctypes

SIGKILL, SIGUSR1 = 9, 10
STAGE = "/tmp"  # noqa: S108 - covered by a private tmpfs in a mount namespace of our own
CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_CHILD_SUBREAPER = 36


def run() -> None:
    """Never returns."""
    try:
        os._exit(run_plan())
    except Exception as error:  # noqa: BLE001 - said to the owner, which sees the signal
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os.kill(os.getpid(), SIGUSR1)


def run_plan() -> int:
    plan = read_plan()
    for name, value in plan.get("limit", []):
        set_limit(int(name), int(value))
    if sources := plan.get("stage"):
        stage(sources)
    [(seconds, directory)] = plan["within"]
    os.chdir(directory)  # before the rights are gone: it may lie below somebody's private directory
    [(kind, program)] = plan["run"]
    libc = load_libc()  # now, since the interpreter's library may lie out of reach later
    checked(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "adopting orphans")
    for uid, gid in plan.get("user", []):
        os.setgroups([])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
    words = [word for word, _ in plan["word"]]
    environment = dict(plan.get("variable", []))
    if kind == "bwrap":
        options = [option for option, _ in plan["option"]]
        calls = bytes.fromhex(plan.get("calls", [("", "")])[0][0])
        return run_boxed(program, options, calls, words, environment, float(seconds))
    return run_bare(program, words, environment, float(seconds))


def read_plan() -> dict[str, list[tuple[str, str]]]:
    """Groups of (name, value) pairs by kind, in the order they were written."""
    size = int.from_bytes(read_exactly(4), "big")
    fields = os.fsdecode(read_exactly(size)).split("\0")
    plan: dict[str, list[tuple[str, str]]] = {}
    for kind, first, second in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        plan.setdefault(kind, []).append((first, second))
    return plan


def read_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)  # the owner died before it said what to do
        data += piece
    return data


def set_limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def stage(sources: list[tuple[str, str]]) -> None:
    """Bind every source to STAGE/<name>, seen by this process and its children only.

    After the rights are dropped a path below somebody's private directory could not be reached any more.
    """
    libc = load_libc()
    checked(libc.unshare(CLONE_NEWNS), "a mount namespace of its own")
    checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "a private mount")
    held = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source, _ in sources]
    checked(libc.mount(b"none", STAGE.encode(), b"tmpfs", 0, b"mode=755,size=1m"), "mounting a tmpfs")
    for (source, name), descriptor in zip(sources, held, strict=True):
        place = f"{STAGE}/{name}"
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 - pathlib costs 10 ms to import
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        link = f"/proc/self/fd/{descriptor}".encode()
        checked(libc.mount(link, place.encode(), None, MS_BIND | MS_REC, None), f"binding {source}")


def run_boxed(
    program: str,
    options: list[str],
    calls: bytes,
    words: list[str],
    environment: dict[str, str],
    seconds: float,
) -> int:
    """Run a command in bubblewrap; return its exit code once its whole namespace is gone."""
    told, tell = os.pipe()
    os.set_inheritable(tell, True)
    # Not on the command line, which the command itself can read.
    listed = held("options", b"".join(os.fsencode(option) + b"\0" for option in options))
    arguments = ["bwrap", "--json-status-fd", str(tell), "--args", str(listed)]
    allowed = held("calls", calls) if calls else None
    if allowed is not None:
        arguments += ["--seccomp", str(allowed)]
    child = start(program, [*arguments, "--", *words], environment)
    for descriptor in (tell, listed, allowed):
        if descriptor is not None:
            os.close(descriptor)
    wait_for(child, seconds)
    # The first process of a namespace is reported dead only after all others are. Where bubblewrap is killed
    # while it sets the namespace up, that one does not know yet that it has to end with it.
    ended, status = end_all(child), b""
    while piece := os.read(told, 4096):
        status += piece
    if b'"exit-code":' not in status and not os.WIFSIGNALED(ended):
        os.kill(os.getpid(), SIGUSR1)
    return exit_code(ended)


def held(name: str, data: bytes) -> int:
    """A file in memory that a child inherits."""
    descriptor = os.memfd_create(name, 0)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def run_bare(program: str, words: list[str], environment: dict[str, str], seconds: float) -> int:
    """Run a command without a sandbox, and kill whatever it leaves behind."""
    child = start(program, words, environment)
    wait_for(child, seconds)
    return exit_code(end_all(child))


def end_all(first: int) -> int:
    """Kill a child and whatever it leaves behind, until nothing is left; the status of that child."""
    ended = 0
    while True:
        for pid in children():
            os.kill(pid, SIGKILL)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return ended
        if pid == first:
            ended = status


def start(program: str, arguments: list[str], environment: dict[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        first_to_go()
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.execve(program, arguments, environment)  # noqa: S606
    except OSError as error:
        os.write(2, f"{program}: {error.strerror}\n".encode())
    os._exit(127)


def first_to_go() -> None:
    """When memory runs out the kernel ends commands before the platform."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("1000")
    except OSError:
        pass  # not everywhere may it be set


def wait_for(child: int, seconds: float) -> None:
    """Return when the child has ended, the owner is gone or the time is up."""
    wait_readable([os.pidfd_open(child), 0], seconds)


def wait_readable(descriptors: list[int], seconds: float) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    poll.poll(seconds * 1000)


def children() -> list[int]:
    with open("/proc/thread-self/children") as listing:  # noqa: PTH123
        return [int(pid) for pid in listing.read().split()]


def exit_code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def load_libc() -> ctypes.CDLL:
    import ctypes  # noqa: PLC0415 - 10 ms that only some modes need

    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result:
        raise OSError(f"{what} is not permitted")
