"""More attempts: by newer calls of the kernel, by memory that no process maps, by other programs, by patience."""

# ruff: noqa: E501 - a command is easier to follow on one line

from __future__ import annotations

import time

from tests.campaigns._escape_bombs import _bomb
from tests.campaigns._escape_git import _naive, _platform_looks
from tests.campaigns._escape_room import (
    SECRET,
    Room,
    attempt,
    claimed,
    python,
    read,
    unboxed,
    wrote,
)
from tests.campaigns._escape_system import SAYS

SYSCALL = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nAT = -100\n"


def _calls(name: str, group: str, program: str, control: str = SAYS) -> None:
    attempt(name, group, python(SYSCALL + program), claimed, control)


# -- files -------------------------------------------------------------------------------------------

attempt(
    "its own root and directory by /proc",
    "files",
    "cat /proc/self/cwd/../../outside/secret.txt /proc/self/root{outside}/secret.txt /proc/thread-self/root{outside}/secret.txt",
    read,
    "bare:cat /proc/self/root{outside}/secret.txt",
)
attempt(
    "directories behind descriptors",
    "files",
    python("import os\nfor fd in range(3, 1024):\n    for path in ('..', '../outside/secret.txt', '../../outside/secret.txt'):\n        try: print(os.read(os.open(path, os.O_RDONLY, dir_fd=fd), 99))\n        except OSError: pass"),
    read,
    f"echo {SECRET}",
)  # fmt: skip
_calls(
    "files by their handle",
    "files",
    "import struct\nfor inode in (2, 32, 64, 128, 256):\n    handle = struct.pack('<II', 8, 1) + struct.pack('<Q', inode)\n    for place in ('/', '/work', '/etc'):\n        if libc.syscall(304, os.open(place, os.O_RDONLY), handle, os.O_RDONLY) >= 0: print('ESCAPED')",
)
attempt("files by git", "files", "git -c include.path={outside}/secret.txt config -l; git config --file {outside}/secret.txt -l; git diff --no-index /dev/null {outside}/secret.txt; git grep --no-index canary {outside}; git hash-object {outside}/secret.txt; GIT_TRACE={outside}/trace git status", lambda room: read(room) or wrote(room))  # fmt: skip


def _race_read(room: Room) -> None:
    """A process left behind swaps a file for a link while it is read."""
    swap = f"while :; do echo a > f; ln -sf {room.outside}/secret.txt g; mv -f g f; rm f; done"
    room.run(f"(setsid nohup sh -c '{swap}' >/dev/null 2>&1 &); echo a > f")
    for _ in range(30):
        room.do("read_file", path="f")
        room.do("search_text", query="escape", path="f")
        room.do("edit_file", path="f", old_text=SECRET, new_text="x")


def _read_it(room: Room) -> None:
    room.said = SECRET


attempt("a file swapped for a link while it is read", "files", _race_read, lambda room: read(room) or wrote(room), _read_it)  # fmt: skip

# -- processes -----------------------------------------------------------------------------------------

_calls(
    "a process by its descriptor",
    "processes",
    "for pid in ({victim}, {worker}):\n    fd = libc.syscall(434, pid, 0)\n    if fd >= 0: print('ESCAPED', libc.syscall(424, fd, 0, None, 0), libc.syscall(438, fd, 1, 0))",
    "bare:",
)
_calls(
    "memory of another process",
    "processes",
    "import struct\nbuffer = ctypes.create_string_buffer(16)\nlocal = struct.pack('<QQ', ctypes.addressof(buffer), 16)\nfor pid in ({victim}, {worker}):\n    if libc.syscall(310, pid, local, 1, struct.pack('<QQ', 0x400000, 16), 1, 0) >= 0 or libc.syscall(312, pid, pid, 0, 1, 2) >= 0: print('ESCAPED')",
)
_calls(
    "namespaces of another process",
    "processes",
    "for pid in (1, {victim}, {worker}):\n    for kind in ('mnt', 'net', 'pid', 'user', 'ipc'):\n        try: fd = os.open(f'/proc/{pid}/ns/{kind}', os.O_RDONLY)\n        except OSError: continue\n        if os.readlink(f'/proc/{pid}/ns/{kind}') != os.readlink(f'/proc/self/ns/{kind}') and libc.setns(fd, 0) == 0: print('ESCAPED')",
)
attempt("programs that others run", "processes", "echo 'touch {outside}/at' | at now; (echo '* * * * * touch {outside}/cron') | crontab -; systemd-run --user touch {outside}/unit; dbus-send --system --print-reply --dest=org.freedesktop.systemd1 / org.freedesktop.DBus.Peer.Ping && touch {outside}/bus", wrote, "bare:touch {outside}/at")  # fmt: skip
attempt("a dump of its memory", "processes", "ulimit -c unlimited && [ \"$(ulimit -c)\" != 0 ] && echo ESCAPED", claimed, SAYS)  # fmt: skip

# -- rights and network --------------------------------------------------------------------------------

_calls(
    "mounts by newer calls",
    "rights",
    "if libc.syscall(428, AT, b'/', 1) >= 0 or libc.syscall(430, b'tmpfs', 0) >= 0 or libc.syscall(442, AT, b'/', 0, b'\\0' * 32, 32) == 0: print('ESCAPED')",
)
_calls(
    "a namespace by clone3",
    "rights",
    "import struct\nargs = struct.pack('<11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)\npid = libc.syscall(435, args, len(args))\nif pid == 0:\n    os.write(1, b'ESCAPED'); os._exit(0)",
)
_calls(
    "watching all the kernel does",
    "rights",
    "p = ctypes.create_string_buffer(128)\nif libc.syscall(300, 4, 0) >= 0 or libc.syscall(323, 0) >= 0 or libc.syscall(103, 3, p, 99) > 0: print('ESCAPED')",
)
attempt(
    "sockets of other kinds",
    "network",
    python("import socket\nfor family, address in ((40, (2, 22)), (40, (1, 9999)), (socket.AF_INET6, ('::1', {port})), (socket.AF_INET6, ('::ffff:127.0.0.1', {port}))):\n    try:\n        s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(2); s.connect(address); print('ESCAPED')\n    except (OSError, TypeError): pass"),
    claimed,
    SAYS,
)  # fmt: skip

# -- resources ----------------------------------------------------------------------------------------

attempt(
    "memory in files without a name",
    "resources",
    python(
        "import os, time\nheld, block = [], b'x' * (7 << 20)\nfor n in range(40):\n    fd = os.memfd_create(str(n)); os.write(fd, block); held.append(fd)\ntime.sleep(0.8); print('ESCAPED')"
    ),
    claimed,
)
attempt(
    "memory in shared segments",
    "resources",
    python(
        "import ctypes, time\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\nfor n in range(40):\n    key = libc.shmget(0, 7 << 20, 0o1600)\n    if key < 0: raise SystemExit\n    at = libc.shmat(key, None, 0); ctypes.memset(at, 1, 7 << 20); libc.shmdt(ctypes.c_void_p(at))\ntime.sleep(0.8); print('ESCAPED')"
    ),
    claimed,
    SAYS,
)
_bomb(
    "memory of a child that ends",
    "for i in $(seq 3); do python -c 'b = bytearray(450 << 20)' || exit; done; echo ESCAPED",
)
_bomb(
    "names in the scratch space",
    python(
        "import os\nfor n in range(30_000):\n    os.close(os.open(f'/tmp/f{n}', os.O_CREAT | os.O_WRONLY))\nimport time; time.sleep(0.8); print('ESCAPED')"
    ),
    timeout=20,
)
_bomb("a file with a hole", "truncate -s 100M hole && echo ESCAPED; fallocate -l 100M full && echo ESCAPED")


def _fork_bomb(room: Room) -> None:
    began = time.monotonic()
    room.run("bomb() { bomb | bomb & }; bomb; sleep 30", timeout=2)
    room.said = "ESCAPED" if time.monotonic() - began > 8 else ""


def _too_long(room: Room) -> None:
    room.said = "ESCAPED"


attempt("a fork bomb", "resources", _fork_bomb, claimed, _too_long)


def _slow_words(room: Room) -> None:
    """Texts that take the platform's own readers long: a pattern, nested brackets, one endless line."""
    began = time.monotonic()
    room.do("write_file", path="line.txt", content="a" * 40 + "!")
    room.do("search_text", query="(a+)+$", regex=True)
    room.do("search_text", query="(?:(a|a)*)*b", regex=True)
    for path, content in (
        ("deep.json", "[" * 60_000),
        ("deep.py", "(" * 60_000),
        ("deep.yaml", "- " * 3_000),
        ("deep.xml", "<a>" * 60_000),
    ):
        room.do("write_file", path=path, content=content)
        room.do("read_file", path=path)
        room.do("find_definition", name="total")
    room.said = "ESCAPED" if time.monotonic() - began > 20 else ""


attempt("texts that take long to read", "resources", _slow_words, claimed, _too_long)

# -- git ---------------------------------------------------------------------------------------------------


def _settings_of_a_home(room: Room) -> None:
    room.run(
        f"for s in --global --system; do git config $s core.fsmonitor 'touch {room.outside}/pwned'; git config $s alias.status '!touch {room.outside}/pwned'; done; printf '[core]\\n\\tpager = touch {room.outside}/pwned\\n' > .gitconfig; mkdir -p .config/git; cp .gitconfig .config/git/config"
    )
    _platform_looks(room)


def _trusts_home(room: Room) -> None:
    _naive(room, "-c", f"alias.x=!touch {room.outside}/pwned", "x")


attempt("settings of a home", "git", _settings_of_a_home, wrote, _trusts_home)
attempt("aliases and pagers in a command", "git", "git -c alias.x='!cp {outside}/secret.txt copy; cat copy; touch {outside}/pwned' x; git -c core.pager='touch {outside}/pwned' -p log; PAGER='touch {outside}/pwned' git -p help; GIT_DIR={base}/hub.git git log -p; GIT_ALTERNATE_OBJECT_DIRECTORIES={base}/hub.git/objects git cat-file -p HEAD; GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.fsmonitor GIT_CONFIG_VALUE_0='touch {outside}/pwned' git status", lambda room: read(room) or wrote(room))  # fmt: skip


def _odd_names(room: Room) -> None:
    for path in (
        ".GIT/hooks/post-checkout",
        ".git./config",
        "git~1/config",
        ".g\u200cit/config",
        "src/.git/config",
        ".git/config",
    ):
        room.do("write_file", path=path, content=f"[core]\n\tfsmonitor = touch {room.outside}/pwned\n")
    room.run("chmod -R a+rwx . 2>/dev/null")
    _platform_looks(room)


attempt("names that mean git's directory elsewhere", "git", _odd_names, wrote, unboxed(_trusts_home))
