"""Attempts on files, processes and the environment."""

# ruff: noqa: E501 - a command is easier to follow on one line

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.campaigns._escape_room import (
    SECRET,
    VARIABLE,
    Room,
    attempt,
    claimed,
    python,
    read,
    wrote,
)

NAP = str(200_000 + os.getpid())
SAYS = "echo ESCAPED"


# -- files ---------------------------------------------------------------------------------------------

attempt("absolute path", "files", "cat {outside}/secret.txt", read)
attempt(
    "path upwards",
    "files",
    "cat ../../outside/secret.txt; cat ../../../../../../..{outside}/secret.txt",
    read,
)
attempt("symbolic link", "files", "ln -s {outside}/secret.txt l; cat l", read)
attempt(
    "hard link",
    "files",
    "ln {outside}/secret.txt l && cat l; ln -P {outside}/secret.txt m && cat m",
    read,
    "bare:cp {outside}/secret.txt l && cat l",
)
attempt(
    "root of init",
    "files",
    "cat /proc/1/root{outside}/secret.txt",
    read,
    "bare:cat /proc/self/root{outside}/secret.txt",
)
attempt(
    "root of every process",
    "files",
    "cat /proc/[0-9]*/root{outside}/secret.txt",
    read,
    "bare:cat /proc/$$/root{outside}/secret.txt",
)
attempt(
    "directory of every process",
    "files",
    "for d in /proc/[0-9]*/cwd; do cat $d/../../outside/secret.txt; done",
    read,
    "bare:cat /proc/$$/cwd/../../outside/secret.txt",
)
attempt(
    "inherited descriptors",
    "files",
    "for f in /proc/[0-9]*/fd/*; do cat $f/secret.txt; cat $f/../outside/secret.txt; done",
    read,
    "cat {outside}/secret.txt; echo escape-canary-90125",
)
attempt(
    "another session's worktree, read",
    "files",
    "cat {other}/file.txt; find / -name file.txt -exec cat {} +",
    read,
    "bare:cat {other}/file.txt",
)
attempt(
    "another session's worktree, written", "files", "echo x > {other}/file.txt; echo x > {other}/new", wrote
)
attempt(
    "write outside",
    "files",
    "echo x > {outside}/new; cp a.txt {outside}/; mkdir -p {outside}/d && echo x > {outside}/d/f",
    wrote,
)
attempt(
    "move the worktree away",
    "files",
    "cd / && mv /work /tmp/w; mv {root} {outside}/gone; cp -r /work {outside}/copied",
    wrote,
    "bare:cp -r . {outside}/copied",
)
attempt(
    "hub of the project",
    "files",
    "echo x > {base}/hub.git/hooks/post-update && echo ESCAPED; ls {base}/hub.git/refs && echo ESCAPED",
    claimed,
    "bare:ls {other} && echo ESCAPED",
)
attempt(
    "state beside the worktree",
    "files",
    "ls {root}.state && echo ESCAPED; ls ../0.state && echo ESCAPED",
    claimed,
    "ls . && echo ESCAPED",
)
attempt(
    "system directories",
    "files",
    "for d in /usr /etc /bin /lib /opt /opt/python/lib /var /srv /; do echo x > $d/loom-escape && echo ESCAPED; done",
    claimed,
    "echo x > ./loom-escape && echo ESCAPED",
)
attempt(
    "the sandbox's own programs",
    "files",
    python(
        "import os\nfor p in ('/opt/python/bin/python', '/bin/sh', '/usr/bin/env'):\n    try:\n        os.unlink(p); print('ESCAPED')\n    except OSError: pass"
    ),
    claimed,
    python("import os\nos.unlink('a.txt'); print('ESCAPED')"),
)
attempt(
    "the host's accounts",
    "files",
    "grep -c . /etc/shadow && echo ESCAPED; grep '^root:x:0:0:root:/root' /etc/passwd && echo ESCAPED",
    claimed,
)
attempt(
    "homes and keys",
    "files",
    "ls /root/.ssh /root/.config /home/*/.ssh /root/.aws 2>/dev/null && echo ESCAPED; [ -e /root ] && echo ESCAPED",
    claimed,
)
attempt(
    "logs and runtime files",
    "files",
    "ls /var/log /run /var/run/postgresql /var/lib 2>/dev/null | grep . && echo ESCAPED",
    claimed,
)
attempt(
    "sockets of container engines",
    "files",
    "for s in /var/run/docker.sock /run/containerd/containerd.sock; do [ -e $s ] && echo ESCAPED; done; [ -e /run ] && echo ESCAPED",
    claimed,
)


def _link_then_read(room: Room) -> None:
    room.run(f"ln -s {room.outside} l; ln -s {room.outside}/secret.txt m; ln -s / r")
    for path in ("l/secret.txt", "m", f"r{room.outside}/secret.txt", "../../outside/secret.txt"):
        room.do("read_file", path=path)
    room.do("read_file", path=str(room.outside / "secret.txt"))
    room.do("search_text", query="escape-canary", path="l")


def _read_inside(room: Room) -> None:
    (room.root / "inside").write_text(SECRET)
    room.do("read_file", path="inside")


def _link_then_write(room: Room) -> None:
    room.run(f"ln -s {room.outside} l; ln -s {room.outside}/new m")
    room.do("write_file", path="l/new", content="x")
    room.do("write_file", path="m", content="x")
    room.do("edit_file", path="l/secret.txt", old_text=SECRET, new_text="x")
    room.do("move_file", source="a.txt", target="l/moved")
    room.do("delete_file", path="l/secret.txt")
    patch = "*** Begin Patch\n*** Add File: {}\n+x\n*** End Patch"
    for path in ("l/patched", "../../outside/patched", str(room.outside / "patched")):
        room.do("apply_patch", patch=patch.format(path))


def _write_plainly(room: Room) -> None:
    (room.outside / "new").write_text("x")


attempt("file actions through links, read", "files", _link_then_read, read, _read_inside)
attempt("file actions through links, write", "files", _link_then_write, wrote, _write_plainly)


def _race(room: Room) -> None:
    """A process left behind swaps a directory for a link while files are written through it."""
    swap = f"while :; do mkdir d; rm -r d; ln -s {room.outside} d; rm d; done"
    room.run(f"(setsid nohup sh -c '{swap}' >/dev/null 2>&1 &) ; mkdir -p d")
    for _ in range(30):
        room.do("write_file", path="d/new", content="x")


attempt("a directory swapped for a link meanwhile", "files", _race, wrote, _write_plainly)


# -- processes ---------------------------------------------------------------------------------------

attempt(
    "environment of the worker",
    "processes",
    "cat /proc/{worker}/environ /proc/[0-9]*/environ | tr '\\0' '\\n'; env",
    read,
    f"echo {VARIABLE}={SECRET}",
)
attempt(
    "command lines",
    "processes",
    "cat /proc/{worker}/cmdline && echo ESCAPED; [ $(ls -d /proc/[0-9]* | wc -l) -gt 20 ] && echo ESCAPED",
    claimed,
    "bare:grep -qc . /proc/{worker}/cmdline && echo ESCAPED",
)
attempt(
    "signal another process",
    "processes",
    "kill -9 {victim} && echo ESCAPED; kill -9 -1",
    lambda room: claimed(room) or room.victim.poll() is not None,
    SAYS,
)
attempt(
    "see another process",
    "processes",
    "[ -d /proc/{victim} ] && grep -q sleep /proc/{victim}/cmdline && echo ESCAPED",
    claimed,
)
PTRACE = python("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for pid in ({victim}, {worker}):
    if libc.ptrace(16, pid, 0, 0) == 0: print('ESCAPED')
    try: open(f'/proc/{pid}/mem', 'rb'); print('ESCAPED')
    except OSError: pass
""")  # fmt: skip
attempt("ptrace", "processes", PTRACE, claimed, SAYS)


def _survivors(room: Room) -> bool:
    deadline = time.monotonic() + 1.0
    while found := _naps():
        if time.monotonic() > deadline:
            for pid in found:
                os.kill(pid, 9)
            return True
        time.sleep(0.05)
    return False


def _naps() -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"sleep\0{NAP}".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _stay(room: Room) -> None:
    """By way of a process that ends, as what escapes has no parent here."""
    subprocess.run(["sh", "-c", f"sleep {NAP} &"], start_new_session=True, check=True)
    while not _naps():
        time.sleep(0.01)


attempt(
    "stay in the background",
    "processes",
    f"sleep {NAP} & nohup sleep {NAP} & (setsid sleep {NAP} &) ; disown; exit 0",
    _survivors,
    _stay,
)
attempt(
    "stay behind a closed output",
    "processes",
    python(
        f"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 50); os.execvp('sleep', ['sleep', '{NAP}'])"
    ),
    _survivors,
    _stay,
)
attempt(
    "ignore every signal",
    "processes",
    lambda room: room.run(f"trap '' TERM INT HUP; sleep {NAP}", timeout=1),
    _survivors,
    _stay,
)
