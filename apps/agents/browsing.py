"""A project's files as people and programs read them: of a branch, a commit or the work on a bead.

Nothing is checked out and no link is followed, so no path can lead anywhere else. What this installation
knows of the project's secrets is masked.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apps.agents.editing.text import is_binary
from apps.agents.git import GitError
from apps.agents.hub import Hub
from apps.agents.objects import Entry
from apps.agents.places import hub_path, session_ref
from apps.agents.secrets import secrets_learn
from apps.beads.models import Bead
from apps.core.errors import BadInput, NotFound, TooLarge
from apps.core.masking import Masker
from apps.projects.models import Project

MOST_BYTES = 1_000_000  # of one file
LINK = "120000"
LINE_CHARS, SEARCH_BYTES, SEARCH_SECONDS = 400, 2_000_000, 10.0
PER_FILE = 50  # matches
_HASH = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Tree:
    """A commit of a project."""

    project: Project
    hub: Hub
    commit: str

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.hub.entries(self.commit)

    def masked(self) -> Masker:
        """Takes the secrets out of what is shown of it."""
        return secrets_learn(self.project.pk, self.commit)


def hub_of(project: Project) -> Hub:
    """The project's repository; NotFound as long as it has none."""
    if not (hub_path(project.pk) / "HEAD").exists():
        raise NotFound(f"{project.name} has no repository yet.", hint="The first work, or a sync, makes it.")
    return Hub(hub_path(project.pk))


def tree_at(project: Project, *, ref: str = "", bead: str = "") -> Tree:
    """The commit of a branch or a hash, or the newest of the work on a bead; the main branch's by default."""
    hub = hub_of(project)
    if bead:
        return Tree(project, hub, _work_on(project, hub, bead))
    name = ref or project.branch
    commit = hub.head(name) if not name.startswith("refs/") else None
    if commit is None and _HASH.fullmatch(name):
        commit = _resolved(hub, name)
    if commit is None:
        raise NotFound(f"{project.name} has no branch or commit {name[:120]!r}.")
    return Tree(project, hub, commit)


def _work_on(project: Project, hub: Hub, key: str) -> str:
    found = Bead.objects.filter(project=project, key__iexact=key).first()
    if found is None:
        raise NotFound(f"There is no bead {key[:60]!r} in {project.name}.")
    for session in found.sessions.exclude(head_commit="").order_by("-id")[:1]:
        return hub.ref(session_ref(session.pk)) or str(session.head_commit)
    raise NotFound(f"No file was changed for {found.key} yet.")


def _resolved(hub: Hub, name: str) -> str | None:
    try:
        return hub.git.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GitError:
        return None


def file_read(tree: Tree, path: str) -> dict[str, Any]:
    """A file whole: text, or base64 where it is none; of a link its target."""
    wanted = _plain(path)
    entry = next((one for one in tree.entries if one.path == wanted), None)
    if entry is None:
        if any(one.path.startswith(f"{wanted}/") for one in tree.entries):
            raise BadInput(f"{wanted} is a directory.", hint="List it with files/tree.")
        raise NotFound(f"There is no file {wanted[:200]!r} in commit {tree.commit[:10]}.")
    size = int(tree.hub.git.line("cat-file", "-s", entry.blob))
    if size > MOST_BYTES:
        raise TooLarge(f"{wanted} has {size:,} bytes; {MOST_BYTES:,} are read at most.")
    data = tree.hub.read(tree.commit, wanted)
    binary = is_binary(data)
    text = base64.b64encode(data).decode() if binary else tree.masked().text(data.decode("utf-8", "replace"))
    return {
        "path": wanted,
        "type": "link" if entry.mode == LINK else "file",
        "content": text,
        "encoding": "base64" if binary else "utf-8",
        "size": size,
        "commit": tree.commit,
    }


def files_tree(tree: Tree, path: str, *, depth: int, limit: int) -> dict[str, Any]:
    """Files and directories below a path, `depth` levels down, at most `limit`."""
    start = _plain(path)
    prefix = f"{start}/" if start else ""
    if start and not any(one.path.startswith(prefix) for one in tree.entries):
        raise NotFound(f"There is no directory {start[:200]!r} in commit {tree.commit[:10]}.")
    found: list[dict[str, Any]] = []
    for entry in _below(tree.entries, prefix, depth):
        if len(found) == limit:
            return {"entries": found, "truncated": True, "commit": tree.commit}
        found.append(entry)
    return {"entries": found, "truncated": False, "commit": tree.commit}


def _below(entries: tuple[Entry, ...], prefix: str, depth: int) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for entry in entries:
        if not entry.path.startswith(prefix):
            continue
        parts = entry.path.removeprefix(prefix).split("/")
        for level in range(1, min(len(parts), depth + 1)):
            folder = prefix + "/".join(parts[:level])
            if folder not in seen:
                seen.add(folder)
                yield {"path": folder, "type": "dir", "depth": level}
        if len(parts) <= depth:
            kind = "link" if entry.mode == LINK else "file"
            yield {"path": entry.path, "type": kind, "depth": len(parts)}


def files_search(tree: Tree, query: str, path: str, *, limit: int) -> dict[str, Any]:
    """Lines of text files that hold the words as they are, case aside."""
    where = _plain(path)
    options = ("--no-color", "-n", "-I", "-z", "-F", "-i", f"--max-count={PER_FILE}", "--no-textconv")
    names = ("--", where) if where else ()
    try:
        said, more = tree.hub.git.read(
            "grep", *options, "-e", query, tree.commit, *names,
            limit=SEARCH_BYTES, timeout=SEARCH_SECONDS, ok=(0, 1),
        )  # fmt: skip
    except GitError as error:
        raise TooLarge("The search took too long.", hint="Search below a path.") from error
    found: list[tuple[str, int, str]] = []
    for row in said.split("\n"):
        fields = row.split("\0")
        if len(fields) == 3:
            name, number, text = fields
            found.append((name.removeprefix(f"{tree.commit}:"), int(number), text.strip()))
    masked = tree.masked()
    matches = [
        {
            "path": name,
            "line": number,
            "text": masked.text(text)[:LINE_CHARS],
        }  # in this order: no half secret
        for name, number, text in found[:limit]
    ]
    return {"matches": matches, "truncated": more or len(found) > limit, "commit": tree.commit}


def _plain(path: str) -> str:
    """A path relative to the root, without what only shells understand."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in path or len(path) > 1024:
        raise BadInput(f"{path[:200]!r} is no path in the repository.", details={"field": "path"})
    return "/".join(parts)
