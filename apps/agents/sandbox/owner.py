"""The files a sandbox works on: whose they are if the platform is root, and how to be rid of them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path


def own(root: Path, uid: int | None) -> None:
    """Give everything below `root` to `uid`, links themselves included; only a platform run as root can."""
    if uid is None or os.geteuid() != 0:
        return
    os.chown(root, uid, uid, follow_symlinks=False)
    for _folder, names, files, descriptor in os.fwalk(root):
        for name in names + files:
            # What already has its owner is left alone: a new ctime would make git read the file again.
            if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid != uid:
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)


def open_up(folder: Path) -> None:
    """Give the owner his rights back, whatever he did to his directory."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(mode | stat.S_IRWXU)


def remove_tree(path: Path) -> None:
    """Delete a directory if it is there, also one whose owner took his own rights to it away."""
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except RecursionError:  # thousands of directories in each other
        subprocess.run(["rm", "-rf", "--", str(path)], check=False, capture_output=True)
    except PermissionError:
        pending = [path]
        while pending:
            folder = pending.pop()
            folder.chmod(0o700)
            pending += [Path(entry.path) for entry in listing(folder) if entry.is_dir(follow_symlinks=False)]
        shutil.rmtree(path)


def listing(folder: Path) -> list[os.DirEntry[str]]:
    """What a directory holds, also one whose owner took his own rights to it away."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            return list(entries)
