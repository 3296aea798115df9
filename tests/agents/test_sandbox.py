"""The sandbox, tried from inside: what a command sees, what it can reach, and that it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agents.results import CommandResult
from apps.agents.sandbox import Limits, Sandbox, sandbox_modules, sandbox_status, sandbox_tools
from apps.agents.sandbox.plan import MIB
from apps.agents.sandbox.process import Kept
from apps.agents.sandbox.status import probe
from apps.core.errors import BadInput, Unavailable

needs_sandbox = pytest.mark.skipif(
    not sandbox_status().available, reason=f"no sandbox here: {sandbox_status().reason}"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "private" / "tree"
    place.mkdir(parents=True)
    place.parent.chmod(0o700)  # as below somebody's home directory
    return place


def _python(root: Path, program: str, sandbox: Sandbox | None = None, timeout: float = 30) -> CommandResult:
    return (sandbox or Sandbox()).run(["python", "-c", textwrap.dedent(program)], root=root, timeout=timeout)


def _processes(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def _gone(marker: str, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while _processes(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _processes(marker)


# What a command is given.


@needs_sandbox
def test_a_command_runs_in_the_worktree_and_can_change_it(root: Path) -> None:
    (root / "in put.txt").write_text("ü\n")
    result = Sandbox().run('cat "in put.txt" > out; pwd; exit 3', root=root)
    assert (result.exit_code, result.output, result.ok) == (3, "/work\n", False)
    assert (root / "out").read_text() == "ü\n"
    assert (result.command, result.sandbox) == ('cat "in put.txt" > out; pwd; exit 3', sandbox_status().kind)
    assert result.duration_ms > 0


@needs_sandbox
def test_a_list_runs_without_a_shell(root: Path) -> None:
    result = Sandbox().run(["echo", "$HOME;", "a b"], root=root)
    assert (result.output, result.command) == ("$HOME; a b\n", "echo '$HOME;' 'a b'")


@needs_sandbox
def test_errors_and_output_come_in_order(root: Path) -> None:
    assert Sandbox().run("echo 1; echo 2 >&2; echo 3", root=root).output == "1\n2\n3\n"


@needs_sandbox
def test_an_unknown_program_is_a_result(root: Path) -> None:
    result = Sandbox().run("no-such-program", root=root)
    assert result.exit_code == 127
    assert "not found" in result.output


@needs_sandbox
def test_python_is_there_with_its_library_and_the_tools_that_are_told(root: Path) -> None:
    result = Sandbox().run("python -c 'import ssl, sqlite3, ctypes' && python3 --version", root=root)
    assert result.output.strip() == "Python " + sys.version.split()[0]
    for module in sandbox_modules():
        assert Sandbox().run(["python", "-c", f"import {module}"], root=root).ok, module
    assert not Sandbox().run(["python", "-c", "import django"], root=root).ok
    assert sandbox_tools()[0].startswith("Python 3.")
    if "make" in sandbox_tools():
        assert Sandbox().run("make --version", root=root).ok


@needs_sandbox
def test_a_private_home_and_scratch_space_are_writable_and_gone_afterwards(root: Path) -> None:
    write = "echo x > $HOME/x && echo x > /tmp/x && echo x > /dev/shm/x"
    assert Sandbox().run(write, root=root).ok
    assert Sandbox().run("ls -A $HOME /tmp /dev/shm | grep x", root=root).exit_code == 1


@needs_sandbox
def test_files_are_the_users_own_inside(root: Path) -> None:
    result = Sandbox(session=7).run("touch new && ls -l new | cut -d' ' -f3 && id -un", root=root)
    assert result.output == "agent\nagent\n"
    if os.geteuid() == 0:
        assert (root / "new").stat().st_uid == Sandbox(session=7).uid == 61007


@needs_sandbox
def test_a_read_only_worktree_cannot_be_written(root: Path) -> None:
    (root / "a").write_text("1")
    result = Sandbox().run("cat a && touch b", root=root, read_only=True)
    assert result.output.startswith("1")
    assert not result.ok
    assert not (root / "b").exists()


@needs_sandbox
@pytest.mark.parametrize("name", ["with space", 'ü "q" $HOME', "new\nline", "-dash", "a:b,c=d"])
def test_a_worktree_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    assert Sandbox().run("echo 1 > f", root=root).ok
    assert (root / "f").read_text() == "1\n"


def test_a_directory_that_is_missing_or_a_command_with_nul_is_refused(root: Path) -> None:
    if not sandbox_status().available:
        pytest.skip("no sandbox here")
    with pytest.raises(BadInput):
        Sandbox().run("true", root=root / "none")
    with pytest.raises(BadInput):
        Sandbox().run("true \0", root=root)


# What it cannot reach.


@needs_sandbox
def test_the_network_is_off_and_so_is_the_hosts_loopback(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('reached')"
        assert "reached" not in _python(root, connect).output
        allowed = Sandbox().run(["python", "-c", connect], root=root, network=True)
        assert allowed.output == "reached\n"
    interfaces = "import os; print(os.listdir('/sys/class/net') if os.path.exists('/sys') else 'none')"
    assert _python(root, interfaces).output == "none\n"


@needs_sandbox
def test_secrets_of_the_environment_are_absent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-4711")
    result = Sandbox().run("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'", root=root)
    assert "canary-4711" not in result.output
    names = {line.partition("=")[0] for line in Sandbox().run("env", root=root).output.splitlines()}
    known = {
        "CI",
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "NO_COLOR",
        "PATH",
        "PWD",
        "PYTHONDONTWRITEBYTECODE",
    }
    assert names <= known | {"PYTHONNOUSERSITE", "SHELL", "TERM", "USER", "_"}


@needs_sandbox
def test_nothing_of_the_host_can_be_read(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary-4712")
    places = f"{secret} ../../secret ../secret /proc/1/root{secret} /etc/shadow /root/.ssh/*"
    result = Sandbox().run(f"cat {places}", root=root)
    assert "canary-4712" not in result.output
    assert "root:x:0:0:root:/root" not in Sandbox().run("cat /etc/passwd", root=root).output
    visible = Sandbox().run("cat /proc/*/cmdline", root=root).output
    assert str(tmp_path) not in visible


@needs_sandbox
@pytest.mark.parametrize(
    "path", ["/x", "/usr/x", "/etc/x", "/opt/x", "/dev/x", "/home/x", "/proc/sys/kernel/x"]
)
def test_the_system_is_read_only(root: Path, path: str) -> None:
    assert not Sandbox().run(f"echo x > {path}", root=root).ok


@needs_sandbox
def test_rights_cannot_be_gained(root: Path) -> None:
    tries = {
        "a user namespace": "unshare --user --map-root-user true",
        "a mount": "mount -t tmpfs none /tmp",
        "a remount": "mount -o remount,rw /",
        "a chroot": "chroot / true",
        "the init's root": "ls /proc/1/root/root",
        "another uid": "python -c 'import os; os.setuid(0)'",
        "a device": "mknod /work/null c 1 3",
    }
    for what, command in tries.items():
        assert not Sandbox().run(command, root=root).ok, what
    status = Sandbox().run("cat /proc/self/status", root=root).output
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@needs_sandbox
def test_other_processes_are_neither_seen_nor_signalled(root: Path) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        result = Sandbox().run(
            f"ps -e 2>/dev/null | wc -l; kill -9 {victim.pid}; kill -9 -1; echo", root=root
        )
        assert result.exit_code is not None
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@needs_sandbox
def test_no_descriptor_of_the_platform_is_inherited(root: Path, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        listing = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))"
        assert _python(root, listing).output == "[0, 1, 2, 3]\n"
    assert _python(root, "import sys; print(repr(sys.stdin.read()))").output == "''\n"


@needs_sandbox
def test_a_link_out_of_the_worktree_leads_nowhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-4713")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "dir").symlink_to(tmp_path)
    result = Sandbox().run("cat link; cat dir/secret; echo x > dir/new", root=root)
    assert "canary" not in result.output
    assert not (tmp_path / "new").exists()


# Limits.


@needs_sandbox
def test_memory_is_bounded(root: Path) -> None:
    small = Sandbox(limits=Limits(memory=256 * MIB))
    assert "MemoryError" in _python(root, "bytearray(512 << 20)", small).output
    assert _python(root, "bytearray(64 << 20)", small).ok


@needs_sandbox
def test_a_fork_bomb_is_bounded_and_leaves_nothing(root: Path) -> None:
    bomb = """
        import os, time
        made = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(4711)
                made += 1
        except BlockingIOError:
            print(made, flush=True)
    """
    result = _python(root, bomb, Sandbox(session=11, limits=Limits(processes=40)))
    assert 0 < int(result.output) < 40
    assert _gone("time.sleep(4711)")
    assert Sandbox(session=11, limits=Limits(processes=40)).run("true", root=root).ok


@needs_sandbox
def test_files_and_scratch_space_are_bounded(root: Path) -> None:
    small = Sandbox(limits=Limits(file_size=MIB, scratch=MIB))
    assert not small.run("head -c 2M /dev/zero > big", root=root).ok
    assert (root / "big").stat().st_size <= MIB
    for place in ("/tmp/a", "$HOME/a"):
        fill = f"for n in 1 2 3; do head -c 600K /dev/zero > {place}$n || exit 9; done"
        assert small.run(fill, root=root).exit_code == 9, place
    assert (
        not Sandbox()
        .run("for n in $(seq 9); do head -c 10M /dev/zero > /dev/shm/$n || exit 9; done", root=root)
        .ok
    )


@needs_sandbox
def test_the_time_limit_kills_the_whole_tree(root: Path) -> None:
    began = time.monotonic()
    forked = "import os, time; os.fork(); os.setsid(); time.sleep(4712)"
    command = f"(setsid sleep 4712 &); python -c '{forked}' & sleep 4712"
    result = Sandbox().run(command, root=root, timeout=1)
    assert result.timed_out
    assert result.exit_code == 124
    assert time.monotonic() - began < 6
    assert _gone("4712", 0)


@needs_sandbox
def test_what_ignores_signals_and_closes_its_output_is_killed_too(root: Path) -> None:
    stubborn = "trap '' TERM INT HUP; echo on; exec >/dev/null 2>&1; while :; do sleep 4713; done"
    result = Sandbox().run(stubborn, root=root, timeout=1)
    assert result.timed_out
    assert result.output == "on\n"
    assert _gone("4713", 0)


@needs_sandbox
def test_what_a_command_leaves_in_the_background_ends_with_it(root: Path) -> None:
    began = time.monotonic()
    result = Sandbox().run("(setsid sleep 4714 >/dev/null 2>&1 &); sleep 4714 & echo done", root=root)
    assert (result.exit_code, result.output) == (0, "done\n")
    assert time.monotonic() - began < 5
    assert _gone("4714", 0)


@needs_sandbox
def test_output_is_kept_at_both_ends(root: Path) -> None:
    program = "print('first'); print('x' * 5_000_000); print('last')"
    result = _python(root, program, Sandbox(limits=Limits(output=10_000)))
    assert result.truncated
    assert result.output.startswith("first\n")
    assert result.output.endswith("last\n")
    assert "bytes left out" in result.output
    assert len(result.output) < 10_200


@needs_sandbox
def test_a_flood_of_output_is_stopped(root: Path) -> None:
    result = Sandbox(limits=Limits(flood=4 * MIB)).run("yes 4715", root=root, timeout=60)
    assert result.truncated
    assert not result.timed_out
    assert not result.ok
    assert "stopped after writing more" in result.output
    assert _gone("yes 4715", 0)


@needs_sandbox
def test_output_that_is_no_text_becomes_text(root: Path) -> None:
    result = _python(root, r"import sys; sys.stdout.buffer.write(b'a\xff\x00\xe2\x82\xac')")
    assert result.output == "a\ufffd\ufffd€"


def test_what_is_left_out_of_the_middle_is_counted() -> None:
    kept = Kept(10)
    for piece in (b"01234", b"56789", b"abcdefghij" * 5, b"vwxyz"):
        kept.add(piece)
    assert kept.truncated
    assert kept.text() == "01234\n[... 55 bytes left out ...]\nvwxyz"
    short = Kept(10)
    short.add(b"0123456789")
    assert (short.truncated, short.text()) == (False, "0123456789")


# The platform's own life and death.


@needs_sandbox
def test_many_threads_run_commands_at_once(root: Path) -> None:
    outputs: dict[int, str] = {}

    def work(number: int) -> None:
        outputs[number] = (
            Sandbox(session=number).run(f"sleep 0.2; echo {number}", root=_own_root(root, number)).output
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: f"{number}\n" for number in range(8)}


def _own_root(root: Path, number: int) -> Path:
    place = root / str(number)
    place.mkdir()
    return place


NAP = str(100_000 + os.getpid())  # seconds; no other process on this machine sleeps as long


@pytest.fixture
def worker(root: Path) -> Iterator[subprocess.Popen[str]]:
    program = f"""
        from pathlib import Path
        from apps.agents.sandbox import Sandbox
        naps = "(setsid sleep {NAP} &); sleep {NAP} & sleep {NAP}"
        Sandbox().run(naps, root=Path({str(root)!r}), timeout=600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], text=True, cwd=Path.cwd())
    deadline = time.monotonic() + 20
    while len(_processes(f"sleep\x00{NAP}")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


@needs_sandbox
@pytest.mark.crash
def test_a_killed_worker_leaves_no_process(worker: subprocess.Popen[str]) -> None:
    assert len(_processes(f"sleep\x00{NAP}")) >= 3
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert _gone(NAP)


@needs_sandbox
@pytest.mark.crash
def test_a_killed_launcher_leaves_no_process(worker: subprocess.Popen[str]) -> None:
    [launcher] = [pid for pid in _processes("launcher.run()") if _parent(pid) == worker.pid]
    os.kill(launcher, signal.SIGKILL)
    assert worker.wait(20) is not None
    assert _gone(NAP)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# Where there is no sandbox.


def test_without_a_sandbox_nothing_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = root / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    status = probe([broken], Sandbox().uid)
    assert (status.available, status.kind) == (False, "none")
    assert "No permissions to create new namespace" in status.reason
    assert "user namespaces" in status.fix
    assert "LOOM_SANDBOX=off" in status.fix
    nothing = probe([], None)
    assert nothing.reason == "bubblewrap is not installed."

    monkeypatch.setattr("apps.agents.sandbox.box.sandbox_status", lambda: status)
    with pytest.raises(Unavailable, match="Commands cannot run: bubblewrap does not start") as caught:
        Sandbox().run("touch ran", root=root)
    assert caught.value.hint == status.fix
    assert not (root / "ran").exists()


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_SANDBOX", "off")
    monkeypatch.setenv("SOME_API_KEY", "canary-4717")


@pytest.mark.usefixtures("off")
def test_the_operator_can_switch_it_off_and_every_result_says_so(root: Path) -> None:
    assert sandbox_status().kind == "off"
    result = Sandbox().run(["sh", "-c", "env; touch made; exit 4"], root=root)
    assert (result.exit_code, result.sandbox) == (4, "off")
    assert "canary-4717" not in result.output
    assert (root / "made").exists()
    if os.geteuid() == 0:
        assert (root / "made").stat().st_uid == Sandbox().uid


@pytest.mark.usefixtures("off")
def test_switched_off_limits_still_hold_and_orphans_still_end(root: Path) -> None:
    result = Sandbox().run("(setsid sleep 4718 &); (sleep 4718 &); sleep 4718", root=root, timeout=1)
    assert result.timed_out
    assert _gone("4718", 0)
    small = Sandbox(limits=Limits(file_size=MIB))
    assert not small.run("head -c 2M /dev/zero > big", root=root).ok
