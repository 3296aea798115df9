"""The hub: one bare repository per project, written by plumbing, never checked out in place."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from apps.agents.git import PLATFORM, Git, GitError, Output, disk, failure, git_alone, revision
from apps.agents.locks import PATIENCE_S, lock_is_gone
from apps.agents.objects import Entry, Unreadable, blob_read, commit_entries, commit_tree
from apps.agents.sandbox.owner import own
from apps.core.errors import BadInput, Conflict, NotFound

# GitPython looks for git when it is imported and would refuse to load; we say it better ourselves.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
from git import Repo
from git.exc import InvalidGitRepositoryError, NoSuchPathError
from git.refs import SymbolicReference

DIFF_LIMIT = 400_000  # bytes
# No ref outlives a power cut that its objects did not; on a full disk a batch leaves no half-written objects;
# reflogs keep what refs leave behind.
CONFIG = "[core]\n\tfsync = committed,reference\n\tfsyncMethod = batch\n\tlogAllRefUpdates = always\n"
# What tools leave behind and nobody means to commit; a .gitignore of the project may say otherwise.
# Over all attributes in the files: an agent writes those, and they decide how git reads a file (an encoding
# that does not fit would make it refuse every snapshot). What is committed is what lies there.
ATTRIBUTES = "* -text !eol -ident -filter !working-tree-encoding\n"
IGNORED = (
    "__pycache__/", "*.py[co]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/",
    ".nox/", ".venv/", "node_modules/", ".npm/", ".gradle/", ".DS_Store", ".coverage", "*.swp",
)  # fmt: skip


@dataclass(frozen=True)
class Merge:
    """What merging gave: a tree, with conflict markers in the paths of `conflicts`."""

    tree: str
    conflicts: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.conflicts


@dataclass(frozen=True)
class Commit:
    sha: str
    author: str
    when: datetime
    message: str

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


class Hub:
    """Reads and writes of a project's bare repository; every method is at most one or two git processes."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.git = Git(self.path)

    def __repr__(self) -> str:
        return f"Hub({str(self.path)!r})"

    def create(self, branch: str = "main") -> None:
        """Make the repository; an existing one is left as it is."""
        if (self.path / "HEAD").exists():
            return
        with disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Built beside its place and moved there, so that a killed process leaves no half of a hub.
            draft = Path(tempfile.mkdtemp(prefix=".new-hub-", dir=self.path.parent))
            try:
                git_alone(
                    "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", str(draft)
                )
                (draft / "info").mkdir(exist_ok=True)
                (draft / "info" / "exclude").write_text("\n".join(IGNORED) + "\n")
                (draft / "info" / "attributes").write_text(ATTRIBUTES)
                with (draft / "config").open("a") as config:
                    config.write(CONFIG)
                draft.rename(self.path)
            except OSError:
                if not (self.path / "HEAD").exists():
                    raise
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def keep_attributes(self) -> None:
        """Write them into a repository that is older than they are."""
        place = self.path / "info" / "attributes"
        if place.exists():
            return
        with disk(self.path):
            place.parent.mkdir(exist_ok=True)
            draft = place.with_name(f".attributes-{os.urandom(6).hex()}")
            draft.write_text(ATTRIBUTES)
            draft.replace(place)

    def head(self, branch: str = "main") -> str | None:
        """The commit a branch points at; None as long as it has none."""
        return self.ref(f"refs/heads/{branch}")

    def ref(self, name: str) -> str | None:
        """The commit a full ref name points at, or None."""
        with suppress(OSError, UnicodeDecodeError):
            # So git writes a ref that changed lately; GitPython reads other forms too, and takes its time.
            if _is_hash(loose := (self.path / revision(name)).read_text(encoding="ascii").strip()):
                return loose
        try:
            with Repo(self.path) as repo:
                return str(SymbolicReference.dereference_recursive(repo, revision(name)))
        except ValueError:
            return None
        except (InvalidGitRepositoryError, NoSuchPathError) as error:
            raise GitError(f"There is no repository at {self.path}.") from error

    def refs(self, prefix: str) -> dict[str, str]:
        """Every ref below `prefix` with the commit it points at."""
        said = self.git.run("for-each-ref", "--format=%(refname) %(objectname)", revision(prefix)).text
        return dict(_pair(line) for line in said.splitlines())

    def set_ref(self, name: str, commit: str, *, before: str | None = None) -> None:
        """Point a ref below refs/loom/ at a commit (GitError if it is not where it was said to be before).

        What it pointed at stays in its reflog.
        """
        if not revision(name).startswith("refs/loom/"):
            raise BadInput(f"{name} is not a ref the platform may set.")
        self._update_ref(name, revision(commit), *([revision(before)] if before else []))

    def delete_ref(self, name: str) -> None:
        if not revision(name).startswith("refs/loom/"):
            raise BadInput(f"{name} is not a ref the platform may delete.")
        self._update_ref("-d", name)

    def advance(self, branch: str, new: str, old: str | None) -> bool:
        """Move a branch from `old` (None: it must not exist) to `new`; False if it is no longer at `old`."""
        ref = f"refs/heads/{revision(branch)}"
        done = self._update_ref(ref, revision(new), revision(old) if old else "0" * len(new), check=False)
        if done.code == 0:
            return True
        if self.ref(ref) != old:
            return False
        raise failure("update-ref", done)

    def tree(self, commit: str) -> str:
        """The hash of a commit's tree."""
        return _tree(self.path, revision(commit)) if _is_hash(commit) else self._resolve(commit + "^{tree}")

    def parents(self, commit: str) -> list[str]:
        return self.git.line("rev-list", "--parents", "-n", "1", revision(commit)).split()[1:]

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        done = self.git.run("merge-base", "--is-ancestor", revision(ancestor), revision(commit), ok=(0, 1))
        return done.code == 0

    def entries(self, commit: str) -> tuple[Entry, ...]:
        """Every file of a commit in path order; links count as files, submodules are left out."""
        sha = commit if _is_hash(commit) else self._resolve(revision(commit))
        return _entries(self.path, sha)

    def files(self, commit: str) -> list[str]:
        return [entry.path for entry in self.entries(commit)]

    def read(self, commit: str, path: str) -> bytes:
        """A file's content as committed; of a link, its target. Raises NotFound."""
        for entry in self.entries(commit):
            if entry.path == path:
                return _blob(self.path, entry.blob)
        raise NotFound(f"There is no file {path} in commit {commit[:10]}.")

    def diff(self, a: str, b: str, paths: Iterable[str] = (), limit: int = DIFF_LIMIT) -> str:
        """A unified diff from `a` to `b`, cut at `limit` bytes with a last line that says so."""
        options = (
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=all",
            "--find-renames",
        )
        said, more = self.git.read("diff", *options, revision(a), revision(b), "--", *paths, limit=limit)
        return said + (f"\n[... the diff is longer than {limit} bytes and was cut here]\n" if more else "")

    def changed(self, a: str, b: str) -> list[tuple[str, str]]:
        """(status, path) of every file that differs: A added, M modified, D deleted, T changed its type."""
        options = ("-r", "-z", "--no-renames", "--name-status", "--ignore-submodules=all")
        fields = self.git.run("diff-tree", *options, revision(a), revision(b)).text.split("\0")[:-1]
        return list(zip(fields[::2], fields[1::2], strict=True))

    def log(
        self, limit: int = 50, branch: str = "main", *, since: str = "", paths: Iterable[str] = ()
    ) -> list[Commit]:
        """The newest commits of a branch, a ref or a commit, newest first; none if it does not exist yet.

        Of a history with `since` and `paths`: those that it does not reach, and that changed one of these.
        """
        form = "--format=%H%x1f%an <%ae>%x1f%ct%x1f%B%x1e"
        if (
            not _is_hash(branch)
            and self.ref(branch if branch.startswith("refs/") else f"refs/heads/{branch}") is None
        ):
            return []
        without = [f"^{revision(since)}"] if since else []
        options = (form, f"--max-count={limit}", revision(branch), *without)
        said = self.git.run("log", *options, "--", *paths).out.decode("utf-8", "replace")
        rows = (row.strip("\n").split("\x1f") for row in said.split("\x1e") if row.strip("\n"))
        return [
            Commit(sha, author, datetime.fromtimestamp(int(when), UTC), message.strip("\n"))
            for sha, author, when, message in rows
        ]

    def commit_files(
        self, branch: str, files: Mapping[str, bytes | None], message: str, author: str = PLATFORM
    ) -> str:
        """Commit whole files on top of a branch (None deletes one); the same content again changes nothing.

        Returns the commit. Raises Conflict if the branch keeps moving under it.
        """
        for path in files:
            _check_path(path)
        for _attempt in range(5):
            old = self.head(branch)
            if old and not self._differs(old, files):
                return old
            if new := self._import(branch, files, message, author, old):
                return new
        raise Conflict(f"The branch {branch} moved five times while files were committed to it.")

    def commit_tree(self, tree: str, parents: Iterable[str], message: str, author: str = PLATFORM) -> str:
        """Record a tree as a commit that no ref points at yet."""
        links = [part for parent in parents for part in ("-p", revision(parent))]
        return self.git.line(
            "commit-tree", revision(tree), *links, "-F", "-", stdin=_utf8(message), author=author
        )

    def merge(self, ours: str, theirs: str) -> Merge:
        """Merge two commits without any checkout; conflicts stay in the tree as markers with these names."""
        done = self.git.run(
            "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages",
            revision(ours), revision(theirs), ok=(0, 1),
        )  # fmt: skip
        tree, *conflicts = done.text.rstrip("\0").split("\0")
        return Merge(tree, tuple(conflicts))

    def export(self, commit: str, dest: Path, owner: int | None = None) -> None:
        """Write a clean checkout to `dest` (absent or empty), without any .git, owned by uid `owner`."""
        with disk(dest):
            dest.mkdir(parents=True, exist_ok=True)
            if any(dest.iterdir()):
                raise Conflict(f"{dest} is not empty.", hint="Export to a new or empty directory.")
            with tempfile.TemporaryDirectory(prefix="loom-index-") as scratch:
                git = Git(self.path, dest, Path(scratch) / "index")
                git.run("read-tree", "--reset", "-u", revision(commit))
            own(dest, owner)

    def _resolve(self, expression: str) -> str:
        return self.git.line("rev-parse", "--verify", "--quiet", "--end-of-options", expression)

    def _differs(self, commit: str, files: Mapping[str, bytes | None]) -> bool:
        there = {entry.path: entry.blob for entry in self.entries(commit)}
        return any(there.get(path) != _blob_hash(data) for path, data in files.items())

    def _import(
        self, branch: str, files: Mapping[str, bytes | None], message: str, author: str, old: str | None
    ) -> str | None:
        """All of it in one process; None if the branch is no longer at `old`."""
        modes = {entry.path: entry.mode for entry in self.entries(old)} if old else {}
        ref, text = f"refs/heads/{revision(branch)}", _utf8(message)
        now = f"{int(datetime.now(UTC).timestamp())} +0000"
        stream = [
            f"commit {ref}\nmark :1\nauthor {author} {now}\ncommitter {PLATFORM} {now}\n".encode(),
            b"data %d\n%s\n" % (len(text), text),
            f"from {old}\n".encode() if old else b"",
        ]
        for path, data in files.items():
            if data is None:
                stream.append(b"D %s\n" % _quoted(path))
            else:
                mode = modes.get(path, "100644").encode()
                stream.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, _quoted(path), len(data), data))
        stream.append(b"\nget-mark :1\n")
        # Git.run refuses a malformed author before git reads a byte of this.
        done = self.git.run("fast-import", "--quiet", stdin=b"".join(stream), author=author, ok=range(256))
        if done.code == 0:
            return done.text.strip()
        if self.head(branch) == old and not lock_is_gone(done.err):
            raise failure("fast-import", done)
        return None

    def _update_ref(self, *args: str, check: bool = True) -> Output:
        deadline = time.monotonic() + PATIENCE_S
        done = self.git.run("update-ref", *args, ok=range(256))
        while done.code and time.monotonic() < deadline and lock_is_gone(done.err):
            done = self.git.run("update-ref", *args, ok=range(256))
        if done.code and check:
            raise failure("update-ref", done)
        return done


def _blob(path: Path, blob: str) -> bytes:
    try:
        return blob_read(path, blob)
    except Unreadable:
        return Git(path).run("cat-file", "blob", blob).out


@functools.lru_cache(maxsize=8192)
def _tree(path: Path, commit: str) -> str:
    with suppress(Unreadable):
        return commit_tree(path, commit)
    return Git(path).line("rev-parse", "--verify", "--quiet", "--end-of-options", commit + "^{tree}")


@functools.lru_cache(maxsize=64)
def _entries(path: Path, commit: str) -> tuple[Entry, ...]:
    with suppress(Unreadable):
        return commit_entries(path, commit)
    found = []
    for row in Git(path).run("ls-tree", "-r", "-z", "--full-tree", commit).text.split("\0")[:-1]:
        meta, _, name = row.partition("\t")
        mode, kind, blob = meta.split()
        if kind == "blob":
            found.append(Entry(name, mode, blob))
    return tuple(found)


def _is_hash(name: str) -> bool:
    return len(name) in (40, 64) and not set(name) - set("0123456789abcdef")


def _pair(line: str) -> tuple[str, str]:
    name, _, sha = line.partition(" ")
    return name, sha


def _blob_hash(data: bytes | None) -> str | None:
    """The name git gives a file's content."""
    if data is None:
        return None
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _quoted(path: str) -> bytes:
    """A path as fast-import wants it: in quotes, with C escapes."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return b'"' + escaped.encode("utf-8", "surrogateescape") + b'"'


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\0" in path or path != "/".join(parts):
        raise BadInput(f"{path!r} is not a file's path in a repository.")
    if any(part == ".." or part.casefold() == ".git" for part in parts):
        raise BadInput(f"{path!r} is not a file's path in a repository.")
