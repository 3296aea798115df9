"""A session's worktree: a plain directory with an index of its own, kept as commits in the hub.

Nothing of git lies in the directory, so nothing there can be replaced to redirect the platform's git. What
the platform knows of it (index, base, head) lies beside it, in `<root>.state`, out of the agent's reach.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from apps.agents.git import PLATFORM, Git, GitError, disk
from apps.agents.hub import Hub
from apps.agents.paths import GENERATED, resolve_inside
from apps.agents.sandbox.owner import listing, own, remove_tree
from apps.core.errors import Conflict

STATUS_LIMIT = 20_000  # bytes
DIFF_LIMIT = 200_000
LOG_LIMIT = 20_000
DEEPEST = 60  # directories in each other; deeper ones end in paths that no program can name
LONGEST = 2_000  # bytes of a path
MARKERS_LIMIT = 5_000_000  # bytes of one file searched for conflict markers
KEPT = "refs/loom/kept"
_MARKER = re.compile(rb"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)


@dataclass
class Workspace:
    """Files of one session. Not for two threads at once, nor while a command runs in it."""

    hub: Hub
    root: Path
    base: str  # what the work is compared with
    head: str  # parent of the next snapshot
    owner_uid: int | None = None
    _git: Git = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._git = Git(self.hub.path, self.root, self.state / "index")

    @classmethod
    def open(
        cls, hub: Hub, root: Path | str, commit: str, owner_uid: int | None = None, *, base: str | None = None
    ) -> Workspace:
        """The worktree at `root` as it was left, or a new one with the files of `commit`.

        `owner_uid` is who commands run as when the platform is root.
        Raises Conflict if something else is at `root`.
        """
        workspace = cls(hub, Path(root).absolute(), base or commit, commit, owner_uid)
        hub.keep_attributes()
        with disk(workspace.root):
            if known := workspace._load():
                workspace.head, workspace.base = known["head"], base or known["base"]
            else:
                workspace._make(commit)
        return workspace

    @property
    def state(self) -> Path:
        return self.root.with_name(self.root.name + ".state")

    @property
    def git(self) -> GitView:
        return GitView(self)

    def resolve(self, path: str) -> Path:
        """Absolute path of `path`; refuses what leads outside, also by a link, and anything of git's."""
        return resolve_inside(self.root, path)

    def write(self, path: Path | str, data: bytes) -> None:
        """Replace or create a file, whole or not at all; a file keeps its mode, missing parents are made."""
        target = self.resolve(str(path))
        with disk(target):
            draft = self.state / f"draft-{os.urandom(6).hex()}"
            try:
                draft.write_bytes(data)
                draft.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644)
                self._make_parents(target.parent)
                self._give(draft)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)

    def snapshot(
        self, message: str, ref: str, author: str = PLATFORM, *, before: str | None = None
    ) -> tuple[str, bool]:
        """Keep the files as a commit under `ref` (below refs/loom/); (commit, whether anything changed).

        With `before`, only if the ref still points there.
        """
        self.stage()
        tree = self._git.line("write-tree")
        if changed := tree != self.hub.tree(self.head):
            commit = self.hub.commit_tree(tree, [self.head], message, author)
        else:
            commit = self.head
        if changed or self.hub.ref(ref) != commit:
            self.hub.set_ref(ref, commit, before=before)
        self._remember(head=commit)
        return commit, changed

    def restore(self, commit: str) -> None:
        """Bring the files exactly to `commit`; what it does not have is removed, unless git ignores it."""
        self._check_out(commit)
        self._remember(head=commit)

    def reset_to(self, tree: str, parent: str) -> None:
        """Put the files of a (merged) tree in place; from now on work stands on the commit `parent`."""
        self._keep()
        self._check_out(tree)
        self._remember(head=parent, base=parent)

    def conflict_markers(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that still hold lines of a merge conflict."""
        left = []
        for path in paths:
            file = self.resolve(path)
            if file.is_file():
                with file.open("rb") as stream:
                    sides = {match[0][:1] for match in _MARKER.finditer(stream.read(MARKERS_LIMIT))}
                if sides == {b"<", b">"}:
                    left.append(path)
        return left

    def discard(self) -> str | None:
        """Remove the directory; work that no ref holds is first kept under a new ref, which is returned."""
        kept = self._keep()
        with disk(self.root):
            remove_tree(self.root)
            remove_tree(self.state)
        return kept

    def is_dirty(self) -> bool:
        """Whether the files differ from the newest commit."""
        self.stage()
        return self._git.line("write-tree") != self.hub.tree(self.head)

    def ignored(self) -> list[str]:
        """Files that git ignores, without those that tools make anew."""
        said = self._git.run("ls-files", "--others", "--ignored", "--exclude-standard", "-z").text
        anew = f"--exclude-from={self.hub.path / 'info' / 'exclude'}"
        caches = set(self._git.run("ls-files", "--others", "--ignored", anew, "-z").text.split("\0"))
        paths = [path for path in said.split("\0") if path and path not in caches]
        return [path for path in paths if not GENERATED & set(Path(path).parts[:-1])]

    def keep_ignored(self, paths: Iterable[str]) -> str | None:
        """Keep ignored files, beside all others, as a commit under a ref of its own; the ref."""
        names = "".join(f"{path}\0" for path in paths)
        if not names:
            return None
        self.stage()
        options = ("--force", "--pathspec-from-file=-", "--pathspec-file-nul")
        self._git.run("add", *options, stdin=names.encode("utf-8", "surrogateescape"))
        tree, ref = self._git.line("write-tree"), self._kept_ref()
        message = "Keep what was left in the worktree, ignored files too"
        self.hub.set_ref(ref, self.hub.commit_tree(tree, [self.head], message))
        self._git.run("read-tree", self.head)
        return ref

    def stage(self) -> None:
        """Bring the index up to the files; what is ignored stays out."""
        with disk(self.root):
            self._tidy()
        try:
            self._git.run("add", "--all", "--", ".")
        except GitError as error:
            if "Permission denied" not in error.details.get("output", ""):
                raise
            with disk(self.root):
                _make_readable(self.root)
            self._git.run("add", "--all", "--", ".")

    def _make(self, commit: str) -> None:
        if self.root.exists() and any(self.root.iterdir()):
            if not self.state.is_dir():
                raise Conflict(f"{self.root} is not a worktree of Loom.", hint="Move it away.")
            remove_tree(self.root)  # a worktree that was not finished when its maker died
        self.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        (self.state / "index").unlink(missing_ok=True)
        (self.state / "index.lock").unlink(missing_ok=True)
        self.root.mkdir(exist_ok=True)
        self._git.run("read-tree", "--reset", "-u", commit)
        own(self.root, self.owner_uid)
        self._remember()

    def _load(self) -> dict[str, str] | None:
        try:
            known: dict[str, str] = json.loads((self.state / "state.json").read_text())
        except FileNotFoundError:
            return None
        if not self.root.is_dir():
            return None
        (self.state / "index.lock").unlink(
            missing_ok=True
        )  # of a git that was killed; nobody else works here
        return known

    def _remember(self, *, head: str | None = None, base: str | None = None) -> None:
        self.head, self.base = head or self.head, base or self.base
        with disk(self.state):
            draft = self.state / "state.json.new"
            draft.write_text(json.dumps({"base": self.base, "head": self.head}))
            draft.replace(self.state / "state.json")

    def _check_out(self, tree: str) -> None:
        with disk(self.root):
            self._tidy()
        try:
            self._git.run("read-tree", "--reset", "-u", tree)
        except GitError:  # an ignored directory where the tree has a file, an index that is damaged, ...
            with disk(self.root):
                _empty(self.root)
                (self.state / "index").unlink(missing_ok=True)
            self._git.run("read-tree", "--reset", "-u", tree)
        self._git.run("clean", "-ffdq")
        with disk(self.root):
            own(self.root, self.owner_uid)

    def _keep(self) -> str | None:
        """Put work that no ref holds under a ref of its own, and say which."""
        if not self.root.is_dir() or not (self.state / "index").exists():
            return None
        self.stage()
        saved = self._git.line("write-tree") == self.hub.tree(self.head)
        if saved and self._git.line("for-each-ref", "--count=1", "--contains", self.head):
            return None
        ref = self._kept_ref()
        self.snapshot("Keep what was left in the worktree", ref)
        return ref

    def _kept_ref(self) -> str:
        """A new name that begins with the session's."""
        name = f"{self.root.parent.name}-{self.root.name}"
        return f"{KEPT}/{re.sub(r'[^A-Za-z0-9_-]', '-', name)}-{time.time_ns()}"

    def _tidy(self) -> None:
        """Take out what git would trip over, or trust: repositories within, pipes, sockets, endless paths."""
        pending = [self.root]
        above = len(self.root.parts)
        while pending:
            folder = pending.pop()
            if len(folder.parts) - above > DEEPEST or len(os.fsencode(folder)) > LONGEST:
                self._put_away(folder)
                continue
            for entry in listing(folder):
                if entry.name == ".git":
                    if folder != self.root:
                        self._put_away(Path(entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False) and not entry.is_symlink():
                    Path(entry.path).unlink()

    def _put_away(self, nested: Path) -> None:
        """Out of git's sight, yet kept. A `.git` would hide the files beside it, and could name commands."""
        place = self.state / "nested"
        place.mkdir(exist_ok=True)
        shutil.move(nested, place / str(time.time_ns()))

    def _make_parents(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir()
            self._give(path)

    def _give(self, path: Path) -> None:
        if self.owner_uid is not None and os.geteuid() == 0:
            os.chown(path, self.owner_uid, self.owner_uid)


@dataclass(frozen=True)
class GitView:
    """What an agent may see of the history: its own work against the base, as bounded text."""

    workspace: Workspace

    def status(self) -> str:
        """A line per file that differs from the base: A added, M modified, D deleted, R renamed."""
        self.workspace.stage()
        said = self._read(
            "diff", "--cached", "--name-status", *_PLAIN, self.workspace.base, limit=STATUS_LIMIT
        )
        return said or "Nothing differs from where this work began."

    def diff(self, paths: Iterable[str] = ()) -> str:
        """Unified diff of the work so far."""
        self.workspace.stage()
        root = self.workspace.root.resolve()
        names = [str(self.workspace.resolve(path).relative_to(root)) for path in paths]
        said = self._read("diff", "--cached", *_PLAIN, self.workspace.base, "--", *names, limit=DIFF_LIMIT)
        return said or "Nothing differs from where this work began."

    def log(self, limit: int = 20) -> str:
        """Newest commits first, one line each."""
        form = "--format=%h %cs %s"
        return self._read("log", form, f"--max-count={limit}", self.workspace.head, limit=LOG_LIMIT)

    def _read(self, *args: str, limit: int) -> str:
        said, more = self.workspace._git.read(*args, limit=limit)
        return said + ("\n[... cut here]\n" if more else "")


_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "--find-renames")


def _make_readable(root: Path) -> None:
    """Undo what a `chmod` in the sandbox took from the platform's own user."""
    for folder, _names, files, descriptor in os.fwalk(root):
        for name in files:
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode) and not mode & stat.S_IRUSR:
                (Path(folder) / name).chmod(stat.S_IMODE(mode) | stat.S_IRUSR | stat.S_IWUSR)


def _empty(root: Path) -> None:
    for entry in listing(root):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(Path(entry.path))
        else:
            Path(entry.path).unlink()
