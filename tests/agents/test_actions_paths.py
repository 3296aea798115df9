"""Paths that models name stay inside the worktree."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.paths import resolve_inside
from apps.core.errors import BadInput, Forbidden


@pytest.mark.parametrize("path", ["a.txt", "./a.txt", "d/../a.txt", "d//e", "", "."])
def test_paths_inside_are_resolved(tmp_path: Path, path: str) -> None:
    (tmp_path / "d").mkdir()
    resolved = resolve_inside(tmp_path, path)
    assert resolved == tmp_path.resolve() or tmp_path.resolve() in resolved.parents
    assert resolve_inside(tmp_path, str(tmp_path / "a.txt")) == tmp_path.resolve() / "a.txt"


def test_links_inside_lead_where_they_point(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "a.txt").touch()
    (tmp_path / "short").symlink_to("d/e")
    (tmp_path / "d" / "link.txt").symlink_to("e/a.txt")
    whole = tmp_path.resolve() / "d" / "e" / "a.txt"
    for path in ("d/e/a.txt", "short/a.txt", "d/link.txt"):
        assert resolve_inside(tmp_path, path) == whole
    assert resolve_inside(tmp_path, "short/a.txt", follow=False) == whole
    assert resolve_inside(tmp_path, "d/link.txt", follow=False) == whole.parents[1] / "link.txt"


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "/etc/passwd",
        "d/../../x",
        "out/x",
        "loop/x",
        ".git",
        ".git/config",
        "d/.GIT/x",
        "dot",
        "x\0y",
        "x\ud800",
    ],
)
@pytest.mark.parametrize("follow", [True, False])
def test_paths_that_leave_are_refused(tmp_path: Path, path: str, follow: bool) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "dot").symlink_to(".git")
    if path == "dot" and not follow:
        assert resolve_inside(root, path, follow=False).name == "dot", "the link itself may be deleted"
        return
    with pytest.raises((BadInput, Forbidden)):
        resolve_inside(root, path, follow=follow)
