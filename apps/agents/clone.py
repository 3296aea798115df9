"""What people get of a hub: an ordinary repository, in a directory of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from apps.agents.git import Git, disk, git_alone
from apps.agents.hub import Hub
from apps.core.errors import Conflict

DRAFT = ".loom-clone-"


def clone_to(hub: Hub, out: Path, branch: str = "main") -> None:
    """Give the user a repository at `out` (absent or empty) that knows nothing of the hub."""
    with disk(out):
        place = Path(os.path.realpath(out))  # a link stays, and leads to it
        place.parent.mkdir(parents=True, exist_ok=True)
        is_there = place.is_dir()
        for left in place.glob(f"{DRAFT}*") if is_there else ():  # by one who was killed
            shutil.rmtree(left)
        if place.exists() and (not is_there or any(place.iterdir())):
            raise Conflict(f"{out} is not empty.", hint="Move what is in it elsewhere, then go on.")
        # One that is there is filled: it may be mounted, or in a directory where we may not write.
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=place if is_there else place.parent))
        try:
            _clone(hub, draft / "clone", branch)
            if is_there:
                _move_up(draft / "clone", place)
            else:
                draft.joinpath("clone").rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _clone(hub: Hub, place: Path, branch: str) -> None:
    # --no-local: only what the branch reaches is copied, not the sessions' snapshots.
    options = (
        "--quiet",
        "--no-local",
        "--template=",
        "--no-tags",
        "--single-branch",
        f"--branch={branch}",
    )
    git_alone("-c", "core.logAllRefUpdates=false", "clone", *options, "--", str(hub.path), str(place))
    Git(place / ".git").run("remote", "remove", "origin")
    shutil.rmtree(place / ".git" / "refs" / "remotes", ignore_errors=True)


def _move_up(clone: Path, place: Path) -> None:
    """`.git` last: with it the repository counts as delivered."""
    for entry in sorted(clone.iterdir(), key=lambda entry: entry.name == ".git"):
        entry.rename(place / entry.name)
