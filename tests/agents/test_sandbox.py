"""The sandbox, tried from inside: what a command sees and what it can reach."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from apps.agents.sandbox import Sandbox, sandbox_modules, sandbox_status, sandbox_tools
from apps.core.errors import BadInput
from tests.agents.sandbox_room import needs_sandbox, python, root

__all__ = ["root"]


@needs_sandbox
def test_a_command_runs_in_the_worktree_and_can_change_it(root: Path) -> None:
    (root / "in put.txt").write_text("ü\n")
    result = Sandbox().run('cat "in put.txt" > out; pwd; exit 3', root=root)
    assert (result.exit_code, result.output, result.ok) == (3, "/work\n", False)
    assert (root / "out").read_text() == "ü\n"
    assert (result.command, result.sandbox) == ('cat "in put.txt" > out; pwd; exit 3', sandbox_status().kind)
    assert result.duration_ms > 0


@needs_sandbox
def test_a_worktree_that_a_command_closed_is_open_for_the_next(root: Path) -> None:
    assert Sandbox().run("chmod 000 .", root=root).ok
    assert Sandbox().run("echo x > new && cat new", root=root).output == "x\n"


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
        assert "reached" not in python(root, connect).output
        allowed = Sandbox().run(["python", "-c", connect], root=root, network=True)
        assert allowed.output == "reached\n"
    interfaces = "import os; print(os.listdir('/sys/class/net') if os.path.exists('/sys') else 'none')"
    assert python(root, interfaces).output == "none\n"


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
        "NODE_OPTIONS",
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
        assert python(root, listing).output == "[0, 1, 2, 3]\n"
    assert python(root, "import sys; print(repr(sys.stdin.read()))").output == "''\n"


@needs_sandbox
def test_a_link_out_of_the_worktree_leads_nowhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-4713")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "dir").symlink_to(tmp_path)
    result = Sandbox().run("cat link; cat dir/secret; echo x > dir/new", root=root)
    assert "canary" not in result.output
    assert not (tmp_path / "new").exists()
