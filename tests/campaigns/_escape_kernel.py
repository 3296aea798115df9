"""Attempts on the network, on rights and on the kernel."""

# ruff: noqa: E501 - a command is easier to follow on one line

from __future__ import annotations

import os

from tests.campaigns._escape_room import Room, attempt, claimed, connected, python

SAYS = "echo ESCAPED"


# -- network -----------------------------------------------------------------------------------------

CONNECT = "import socket; s = socket.create_connection(('{host}', {number}), 2); print(s.recv(99).decode())"
attempt(
    "loopback of the host",
    "network",
    python(CONNECT.replace("{host}", "127.0.0.1").replace("{number}", "{port}")),
    connected,
)
attempt(
    "loopback by other names",
    "network",
    python(
        "import socket\nfor host in ('localhost', '0.0.0.0', '::1', '127.1', '::ffff:127.0.0.1'):\n    try: print(socket.create_connection((host, {port}), 1).recv(99))\n    except OSError: pass"
    ),
    connected,
)
attempt(
    "datagrams",
    "network",
    python(
        "import socket, time\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port})); time.sleep(0.1)"
    ),
    connected,
)
attempt(
    "the cloud's metadata",
    "network",
    python(
        "import socket\nfor host in ('169.254.169.254', '100.100.100.200', 'metadata.google.internal'):\n    try: socket.create_connection((host, 80), 2); print('ESCAPED')\n    except OSError: pass"
    ),
    claimed,
    python(
        "import socket\ns = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname(), 2); print('ESCAPED')"
    ),
)
attempt(
    "names of hosts",
    "network",
    python(
        "import socket\nfor host in ('example.org', 'pypi.org', 'localhost.localdomain', 'host.docker.internal'):\n    try: socket.getaddrinfo(host, 80); print('ESCAPED')\n    except OSError: pass"
    ),
    claimed,
    python("import socket\nsocket.getaddrinfo('127.0.0.1', 80); print('ESCAPED')"),
)
attempt(
    "socket file of the broker",
    "network",
    python(
        "import socket\ns = socket.socket(socket.AF_UNIX); s.connect('{base}/broker.sock'); print(s.recv(99).decode())"
    ),
    connected,
)
attempt(
    "socket files found by searching",
    "network",
    "find / -type s 2>/dev/null | grep . && echo ESCAPED",
    claimed,
    "bare:find {base} -type s 2>/dev/null | grep . && echo ESCAPED",
)
attempt(
    "abstract socket",
    "network",
    python(
        "import socket, os\ns = socket.socket(socket.AF_UNIX); s.connect('\\0loom-' + os.path.basename('{base}')); print(s.recv(99).decode())"
    ),
    connected,
)
attempt(
    "PostgreSQL and Redis",
    "network",
    python(
        "import socket\nfor where in (5432, 6379):\n    try: socket.create_connection(('127.0.0.1', where), 1); print('ESCAPED')\n    except OSError: pass\nfor path in ('/var/run/postgresql/.s.PGSQL.5432', '/tmp/.s.PGSQL.5432', '/run/redis/redis.sock'):\n    s = socket.socket(socket.AF_UNIX)\n    try: s.connect(path); print('ESCAPED')\n    except OSError: pass"
    ),
    claimed,
    SAYS,
)
attempt(
    "raw packets and interfaces",
    "network",
    python(
        "import socket\nfor family, kind, number in ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_PACKET, socket.SOCK_RAW, 3)):\n    try: socket.socket(family, kind, number); print('ESCAPED')\n    except OSError: pass\nif [n for _, n in socket.if_nameindex() if n != 'lo']: print('ESCAPED')"
    ),
    claimed,
    SAYS,
)
attempt(
    "bring an interface up",
    "network",
    "ip link add dummy0 type dummy && echo ESCAPED; ip addr add 10.0.0.1/8 dev lo && echo ESCAPED",
    claimed,
    SAYS,
)


# -- the kernel and rights -----------------------------------------------------------------------------

attempt(
    "another user",
    "rights",
    python(
        "import os\nfor call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):\n    try: call(); print('ESCAPED')\n    except OSError: pass"
    ),
    claimed,
    SAYS,
)


def _suid(room: Room) -> None:
    """A program that gives its user the rights of its owner lies in the worktree."""
    room.run("cp /usr/bin/id .; chmod 4755 id")
    if os.geteuid() == 0:
        os.chown(room.root / "id", 0, 0)
        (room.root / "id").chmod(0o4755)
    room.run("[ \"$(./id -u)\" = 0 ] && echo ESCAPED; su -c 'echo ESCAPED' </dev/null; sudo -n echo ESCAPED")


attempt(
    "programs with rights of their owner", "rights", _suid, claimed, "bare:" if os.geteuid() == 0 else SAYS
)
attempt("a user namespace", "rights", "unshare --user --map-root-user true && echo ESCAPED", claimed, SAYS)
attempt(
    "a user namespace by the call itself",
    "rights",
    python(
        "import ctypes\nlibc = ctypes.CDLL(None)\nfor flag in (0x10000000, 0x20000, 0x40000000, 0x10020000):\n    if libc.unshare(flag) == 0: print('ESCAPED')"
    ),
    claimed,
    SAYS,
)
attempt(
    "mounts",
    "rights",
    "mount -t tmpfs none /tmp && echo ESCAPED; mount -o remount,rw / && echo ESCAPED; mount --bind / /work && echo ESCAPED; umount -l /proc && echo ESCAPED",
    claimed,
    SAYS,
)
attempt(
    "another root",
    "rights",
    "mkdir -p r; chroot r true && echo ESCAPED; pivot_root . r && echo ESCAPED; "
    + python("import os\ntry: os.chroot('/work'); print('ESCAPED')\nexcept OSError: pass"),
    claimed,
    SAYS,
)
attempt(
    "devices",
    "rights",
    "mknod d b 8 0 && echo ESCAPED; mknod c c 1 1 && echo ESCAPED; for d in /dev/mem /dev/kmem /dev/sda /dev/vda /dev/kmsg /dev/fuse /dev/kvm /dev/net/tun; do [ -e $d ] && echo ESCAPED; done",
    claimed,
    "for d in /dev/null; do [ -e $d ] && echo ESCAPED; done",
)
attempt(
    "settings of the kernel",
    "rights",
    "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/sys/kernel/hostname; do [ -w $f ] && echo ESCAPED; done; ls /sys/kernel && echo ESCAPED; dmesg && echo ESCAPED",
    claimed,
    "[ -w a.txt ] && echo ESCAPED",
)
attempt(
    "control groups",
    "rights",
    "mkdir /sys/fs/cgroup/x && echo ESCAPED; ls /sys/fs/cgroup/* && echo ESCAPED",
    claimed,
    "mkdir x && echo ESCAPED",
)
attempt(
    "capabilities",
    "rights",
    "grep -E 'Cap(Eff|Prm|Bnd|Amb):' /proc/self/status | grep -v 0000000000000000 && echo ESCAPED; grep 'NoNewPrivs:.*0' /proc/self/status && echo ESCAPED",
    claimed,
)
attempt(
    "keys that the kernel keeps",
    "rights",
    python(
        "import ctypes\nlibc = ctypes.CDLL(None)\nif any(libc.syscall(250, 0, ring, 0) > 0 and libc.syscall(250, 11, ring, ctypes.create_string_buffer(9), 8) > 4 for ring in (-3, -4, -5)): print('ESCAPED')\nif 'loom-escape' in open('/proc/keys').read(): print('ESCAPED')"
    ),
    claimed,
    SAYS,
)
attempt(
    "type into the terminal",
    "rights",
    python(
        "import fcntl\nfor path in ('/dev/tty', '/dev/console', '/proc/1/fd/0', '/proc/1/fd/1'):\n    try:\n        fcntl.ioctl(open(path, 'rb+', buffering=0), 0x5412, b'x'); print('ESCAPED')\n    except OSError: pass"
    ),
    claimed,
    SAYS,
)
attempt(
    "kernel modules and reboot",
    "rights",
    python(
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nif libc.syscall(313, 0, b'', 0) == 0 or libc.syscall(169, 0, 0, 0, 0) == 0 or libc.sethostname(b'x', 1) == 0: print('ESCAPED')"
    ),
    claimed,
    SAYS,
)
attempt(
    "input rings and other new doors",
    "rights",
    python(
        "import ctypes\nlibc = ctypes.CDLL(None)\np = ctypes.create_string_buffer(120)\nfd = libc.syscall(425, 2, p)\nif libc.syscall(321, 5, p, 120) >= 0: print('ESCAPED')\nif libc.syscall(298, p, 0, -1, -1, 0) >= 0 and libc.syscall(298, p, {worker}, -1, -1, 0) >= 0: print('ESCAPED')"
    ),
    claimed,
    SAYS,
)
