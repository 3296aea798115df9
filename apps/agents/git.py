"""Git by subprocess: no shell, no configuration but ours, and one clear sentence when it fails."""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from apps.core.errors import BadInput, Unavailable
from apps.engine.pacing import outside

PLATFORM = "Loom <loom@localhost>"
INSTALL = "Install git 2.38 or newer."
OLDEST = (2, 38)  # the first with `merge-tree --write-tree`
SECONDS = 300.0
# What git must never take from a repository, a user or a machine: commands to run, and surprises.
SETTINGS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null", "core.autocrlf=false", "core.symlinks=true", "core.fileMode=true",
    "core.quotePath=false", "core.untrackedCache=false", "protocol.ext.allow=never",
    "submodule.recurse=false", "gc.auto=0", "maintenance.auto=false", "commit.gpgSign=false",
)  # fmt: skip
_ALLOWED_REV = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?|[A-Za-z0-9][A-Za-z0-9._/-]*")
_AUTHOR = re.compile(r"([^<>\n\0]+?) <([^<>\n\0]*)>")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class GitError(Unavailable):
    """Git could not do what the platform asked of it."""


class Output(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Git:
    """One repository as git shall see it. Nothing is discovered, so nothing in a worktree can redirect it."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()  # more of it, for commands that talk to a remote

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        author: str = PLATFORM,
        ok: Sequence[int] = (0,),
        timeout: float = SECONDS,
    ) -> Output:
        """Run one git command and return what it said; raises GitError for any exit code not in `ok`."""
        process = self._start(args, author, piped=stdin is not None)
        try:
            with outside():
                out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            raise GitError(f"git {args[0]} did not finish within {timeout:g} seconds.") from error
        finally:
            _end(process)
        done = Output(process.returncode, out, err.decode("utf-8", "replace"))
        if done.code not in ok:
            raise failure(args[0], done)
        return done

    def line(self, *args: str, stdin: bytes | None = None, author: str = PLATFORM) -> str:
        """The one line a plumbing command prints, mostly a hash."""
        return self.run(*args, stdin=stdin, author=author).text.strip()

    def read(
        self, *args: str, limit: int, timeout: float = SECONDS, ok: Sequence[int] = (0,)
    ) -> tuple[str, bool]:
        """At most `limit` bytes of what a command prints, and whether there was more."""
        process = self._start(args, PLATFORM, errors=subprocess.DEVNULL)
        alarm = threading.Timer(timeout, _kill, [process])
        alarm.start()
        try:
            assert process.stdout is not None  # noqa: S101 - piped just above
            with process.stdout as stream:
                raw = stream.read(limit + 1)
            if more := len(raw) > limit:
                _kill(process)
            code = process.wait()
        finally:
            alarm.cancel()
            _end(process)
        if code not in ok and not more:
            raise GitError(f"git {args[0]} failed with exit code {code}.")
        return raw[:limit].decode("utf-8", "replace"), more

    def _start(
        self, args: Sequence[str], author: str, *, piped: bool = False, errors: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        check_git()
        place = [f"--git-dir={self.git_dir}"]
        if self.work_tree is not None:
            place.append(f"--work-tree={self.work_tree}")
        try:
            return subprocess.Popen(
                ["git", *place, *_options(), *args],
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment(author),
                cwd=self.work_tree or "/",
                start_new_session=True,  # Ctrl-C at the terminal must not tear a commit
            )
        except OSError as error:
            raise disk_error(error, self.work_tree or self.git_dir) from error

    def _environment(self, author: str) -> dict[str, str]:
        environment = {**_clean_environment(), **dict(self.environment)}
        if self.index is not None:
            environment["GIT_INDEX_FILE"] = str(self.index)
        for role, who in (("AUTHOR", author), ("COMMITTER", PLATFORM)):
            match = _AUTHOR.fullmatch(who)
            if match is None:
                raise BadInput(f"{who!r} is not an author.", hint='Write it as "Name <address>".')
            environment[f"GIT_{role}_NAME"], environment[f"GIT_{role}_EMAIL"] = match.groups()
        return environment


def git_alone(*args: str, timeout: float = SECONDS) -> Output:
    """Run git on no repository yet (init, clone), just as cut off from the machine's configuration."""
    check_git()
    try:
        done = subprocess.run(
            ["git", *_options(), *args],
            stdin=subprocess.DEVNULL, capture_output=True, env=_clean_environment(), cwd="/",
            timeout=timeout, start_new_session=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {args[0]} did not finish within {timeout:g} seconds.") from error
    output = Output(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))
    if output.code:
        raise failure(args[0], output)
    return output


def repository_holds(place: Path, commit: str) -> bool:
    """Whether an ordinary repository stands at `place` that has the commit."""
    if not (place / ".git").is_dir():
        return False
    asked = Git(place / ".git").run("cat-file", "-e", f"{revision(commit)}^{{commit}}", ok=(0, 1, 128))
    return asked.code == 0


def revision(name: str) -> str:
    """`name` if it can only be a commit's hash, a branch or a ref; never an option or an expression."""
    if not _ALLOWED_REV.fullmatch(name) or ".." in name:
        raise BadInput(f"{name!r} does not name a commit or a branch.")
    return name


@functools.cache
def check_git() -> None:
    """Raise GitError unless a git that is new enough is on PATH; asked once per process."""
    try:
        said = subprocess.run(
            ["git", "version"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise GitError("Git is not installed or does not start.", hint=INSTALL) from error
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise GitError(f"This is too old: {said.strip()}.", hint=INSTALL)


def failure(command: str, done: Output) -> GitError:
    """The error of a git command that failed, in words a person can act on."""
    if "No space left on device" in done.err or "Disk quota exceeded" in done.err:
        return GitError("The disk is full.", hint="Free some space; nothing that was saved is lost.")
    if "Read-only file system" in done.err:
        return GitError("The disk is read-only.", hint="Mount it writable; nothing that was saved is lost.")
    lines = [line for line in done.err.splitlines() if line.strip() and not line.startswith("hint:")]
    reason = lines[-1].removeprefix("fatal: ").removeprefix("error: ") if lines else f"exit code {done.code}"
    return GitError(f"git {command} failed: {reason[:400]}", details={"output": done.err[-2000:]})


def disk_error(error: OSError, path: Path) -> Unavailable:
    """The platform's error for an operating system's error about a file."""
    if error.errno in _FULL:
        return Unavailable("The disk is full.", hint=f"Free some space for {path}; nothing saved is lost.")
    if error.errno == errno.EROFS:
        return Unavailable("The disk is read-only.", hint=f"Make {path} writable; nothing saved is lost.")
    return Unavailable(f"{path} cannot be used: {error.strerror or error}.")


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into one clear sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def _options() -> list[str]:
    return [part for setting in SETTINGS for part in ("-c", setting)]


def _clean_environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command and its children, and close its pipes."""
    _kill(process)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
