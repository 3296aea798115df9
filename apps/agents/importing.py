"""Taking over a repository that exists: its branch becomes the main branch of a project's hub."""

from __future__ import annotations

from pathlib import Path

from apps.agents.git import Git, GitError, revision
from apps.agents.hub import Hub
from apps.core.errors import BadInput, Conflict

FETCHED = "refs/loom/imported"


def repository_check(source: Path) -> Path:
    """The git directory of a repository on this machine; BadInput if it is none."""
    place = source.absolute()
    for candidate in (place / ".git", place):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    if (place / ".git").is_file():
        raise BadInput(
            f"{source} is a worktree of another repository.", hint="Give the path of the repository itself."
        )
    raise BadInput(f"There is no git repository at {source}.", hint="Give a path on this machine.")


def repository_import(hub: Hub, source: Path, *, branch: str, wanted: str = "HEAD") -> str:
    """Copy `wanted` of a repository with its history into the hub's branch; the commit it stands at then.

    Nothing is ever written to the source. Again later, it takes over what is new there, as long as the hub's
    own branch has gone no other way.
    """
    place = repository_check(source)
    try:
        commit = Git(place).line("rev-parse", "--verify", "--quiet", revision(wanted) + "^{commit}")
    except GitError as error:
        raise BadInput(f"{source} has no commit {wanted!r}.", hint="Name a branch of it.") from error
    hub.create(branch)
    hub.git.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(place), f"+{wanted}:{FETCHED}")
    if hub.ref(FETCHED) != commit:
        raise Conflict(f"{wanted} of {source} moved meanwhile.", hint="Try again.")
    head = hub.head(branch)
    if head is not None and hub.is_ancestor(commit, head):
        return head
    if head is not None and not hub.is_ancestor(head, commit):
        raise Conflict(
            f"{branch} holds work that {source} does not have.",
            hint=f"Merge it there first: git fetch {hub.path} {branch}",
        )
    if not hub.advance(branch, commit, head):
        raise Conflict(f"{branch} moved meanwhile.", hint="Try again.")
    return commit
