"""A session's worktree: every turn kept, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.agents.hub import ATTRIBUTES, Hub
from apps.agents.workspace import Workspace
from apps.core.errors import Conflict, Forbidden, Unavailable
from tests.agents.workspace_room import AUTHOR, FILES, REF, head_of, hub, work

__all__ = ["hub", "work"]


def _names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


def test_a_new_worktree_has_the_files_and_nothing_of_git(work: Workspace) -> None:
    assert _names(work.root) == sorted(FILES)
    assert not (work.root / ".git").exists()


def test_a_snapshot_keeps_what_was_added_changed_and_deleted(work: Workspace, hub: Hub) -> None:
    base = work.head
    work.write("src/new/deep.py", b"x = 1\n")
    work.write("README.md", b"# Changed\n")
    (work.root / "src/app.py").unlink()

    commit, changed = work.snapshot("Turn 1", REF, AUTHOR)

    assert changed
    assert hub.ref(REF) == commit
    assert hub.parents(commit) == [base]
    assert hub.changed(base, commit) == [("M", "README.md"), ("D", "src/app.py"), ("A", "src/new/deep.py")]
    [entry] = hub.log(1, commit)
    assert (entry.author, entry.message) == (AUTHOR, "Turn 1")


def test_a_snapshot_without_changes_makes_no_commit_but_a_ref(work: Workspace, hub: Hub) -> None:
    base = work.head
    assert work.snapshot("Turn 1", REF, AUTHOR) == (base, False)
    assert hub.ref(REF) == base


def test_what_tools_leave_behind_is_not_kept_unless_the_project_says_so(work: Workspace, hub: Hub) -> None:
    for path in (
        "build/x.o",
        "a.log",
        "src/__pycache__/app.pyc",
        "node_modules/m/index.js",
        ".pytest_cache/x",
    ):
        work.write(path, b"made")
    assert work.snapshot("Turn", REF)[1] is False
    work.write("src/.gitignore", b"!__pycache__/\n!*.pyc\n")
    commit, _ = work.snapshot("Turn", REF)
    assert "src/__pycache__/app.pyc" in hub.files(commit)


def test_odd_names_modes_and_links_survive_a_snapshot(work: Workspace, hub: Hub, tmp_path: Path) -> None:
    odd = 'with space/ü "q"\nline'
    work.write(odd, b"1")
    work.write("run.sh", b"#!/bin/sh\n")
    (work.root / "run.sh").chmod(0o755)
    (work.root / "link").symlink_to("/etc/passwd")
    commit, _ = work.snapshot("Odd", REF)
    assert odd in hub.files(commit)
    hub.export(commit, tmp_path / "x")
    assert os.access(tmp_path / "x" / "run.sh", os.X_OK)
    assert (tmp_path / "x" / "link").is_symlink()
    assert hub.read(commit, "link") == b"/etc/passwd"


def test_another_worker_goes_on_from_the_snapshot(work: Workspace, hub: Hub, tmp_path: Path) -> None:
    base = work.base
    work.write("new.txt", b"kept")
    commit, _ = work.snapshot("Turn 1", REF)
    shutil.rmtree(work.root)
    shutil.rmtree(work.state)

    other = Workspace.open(hub, tmp_path / "other" / "1", commit, base=base)
    assert (other.root / "new.txt").read_bytes() == b"kept"
    assert "A\tnew.txt" in other.git.status()


def test_a_worktree_is_found_again_with_what_was_not_kept_yet(work: Workspace, hub: Hub) -> None:
    work.write("one.txt", b"1")
    first, _ = work.snapshot("Turn 1", REF)
    work.write("two.txt", b"2")
    (work.state / "index.lock").touch()  # of a git that was killed

    again = Workspace.open(hub, work.root, work.base)

    assert again.head == first
    assert (again.root / "two.txt").exists()
    assert hub.parents(again.snapshot("Turn 2", REF)[0]) == [first]


def test_a_worktree_whose_maker_died_is_made_anew(work: Workspace, hub: Hub) -> None:
    (work.state / "state.json").unlink()
    (work.root / "README.md").unlink()
    assert _names(Workspace.open(hub, work.root, work.head).root) == sorted(FILES)


def test_a_directory_that_is_not_ours_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(Conflict, match="is not a worktree of Loom"):
        Workspace.open(hub, tmp_path / "mine", head_of(hub))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_restore_brings_the_files_exactly_to_a_commit(work: Workspace) -> None:
    work.write("keep.txt", b"1")
    commit, _ = work.snapshot("Turn 1", REF)
    work.write("stray/file.txt", b"x")
    work.write("README.md", b"broken")
    (work.root / "src/app.py").unlink()
    (work.root / "src/app.py").mkdir()
    work.write("build/cache.bin", b"ignored, so it stays")

    work.restore(commit)

    assert _names(work.root) == sorted([*FILES, "build/cache.bin", "keep.txt"])
    assert (work.root / "README.md").read_bytes() == FILES["README.md"]
    assert work.git.status() == "A\tkeep.txt\n"


def test_restore_works_when_an_ignored_directory_is_in_the_way(work: Workspace, hub: Hub) -> None:
    commit = hub.commit_files("main", {"build": b"now a file", ".gitignore": b"*.log\n"}, "Odd")
    work.write("build/x/y", b"ignored")
    work.restore(commit)
    assert (work.root / "build").read_bytes() == b"now a file"


def test_restore_works_with_a_damaged_index(work: Workspace) -> None:
    (work.state / "index").write_bytes(b"garbage")
    work.restore(work.head)
    assert work.snapshot("Same", REF)[1] is False


def test_a_conflict_is_resolved_on_top_of_main(work: Workspace, hub: Hub) -> None:
    work.write("README.md", b"mine\n")
    work.write("mine.txt", b"1\n")
    mine, _ = work.snapshot("Turn 1", REF)
    main = hub.commit_files("main", {"README.md": b"theirs\n"}, "Others were faster")
    merge = hub.merge(main, mine)
    assert merge.conflicts == ("README.md",)

    work.reset_to(merge.tree, main)

    paths = ["README.md", "mine.txt", "src/app.py"]
    assert work.conflict_markers(paths) == ["README.md"]
    assert "<<<<<<<" in work.git.diff(["README.md"])
    work.write("README.md", b"both\n")
    assert work.conflict_markers(paths) == []
    resolved, _ = work.snapshot("Resolve", REF, AUTHOR)
    assert hub.parents(resolved) == [main]
    assert hub.merge(main, resolved).clean
    assert work.git.status() == "M\tREADME.md\nA\tmine.txt\n"


def test_work_that_was_not_kept_survives_a_reset(work: Workspace, hub: Hub) -> None:
    work.write("unsaved.txt", b"precious")
    work.reset_to(hub.tree(head_of(hub)), head_of(hub))
    [kept] = hub.refs("refs/loom/kept").values()
    assert hub.read(kept, "unsaved.txt") == b"precious"


def test_underlines_and_arrows_are_no_conflict(work: Workspace) -> None:
    work.write("doc.rst", b"Title\n=======\n\n>>>>>>> quoted\n")
    work.write("crlf.txt", b"<<<<<<< a\r\n1\r\n=======\r\n2\r\n>>>>>>> b\r\n")
    assert work.conflict_markers(["doc.rst", "crlf.txt", "none.txt"]) == ["crlf.txt"]


def test_discard_keeps_what_no_ref_holds(work: Workspace, hub: Hub) -> None:
    work.write("unsaved.txt", b"precious")
    ref = work.discard()
    assert ref is not None
    assert not work.root.exists()
    assert not work.state.exists()
    assert hub.read(hub.ref(ref) or "", "unsaved.txt") == b"precious"


def test_discard_keeps_a_commit_whose_ref_is_gone(work: Workspace, hub: Hub) -> None:
    work.write("a.txt", b"1")
    commit, _ = work.snapshot("Turn 1", REF)
    hub.delete_ref(REF)
    ref = work.discard()
    assert ref is not None
    assert hub.ref(ref) == commit


def test_discard_of_kept_work_leaves_no_extra_ref(work: Workspace, hub: Hub) -> None:
    work.write("a.txt", b"1")
    work.snapshot("Turn 1", REF)
    assert work.discard() is None
    assert list(hub.refs("refs/loom")) == [REF]
    assert work.discard() is None


def test_the_view_of_git_is_read_against_the_base(work: Workspace) -> None:
    assert work.git.status() == work.git.diff() == "Nothing differs from where this work began."
    work.write("a.txt", b"one\n")
    work.snapshot("Turn 1", REF)
    work.write("b.txt", b"two\n")
    (work.root / "README.md").rename(work.root / "READ.md")
    assert work.git.status() == "R100\tREADME.md\tREAD.md\nA\ta.txt\nA\tb.txt\n"
    assert "+one" in work.git.diff()
    assert "+one" not in work.git.diff(["b.txt"])
    assert [line.split(" ", 2)[2] for line in work.git.log().splitlines()] == ["Turn 1", "Start"]
    assert len(work.git.log(1).splitlines()) == 1


def test_a_long_diff_is_cut(work: Workspace) -> None:
    work.write("big.txt", b"line of text\n" * 50_000)
    diff = work.git.diff()
    assert diff.endswith("[... cut here]\n")
    assert len(diff) < 250_000


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/config", "src/.git/x", "a/../../x"])
def test_paths_that_lead_out_are_refused(work: Workspace, path: str) -> None:
    with pytest.raises(Forbidden):
        work.resolve(path)
    with pytest.raises(Forbidden):
        work.write(path, b"x")
    with pytest.raises(Forbidden):
        work.git.diff([path])


def test_links_that_lead_out_are_refused(work: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (work.root / "dir").symlink_to(outside)
    (work.root / "file").symlink_to(outside / "secret")
    for path in ("dir/x", "file"):
        with pytest.raises(Forbidden):
            work.write(path, b"x")
    assert list(outside.iterdir()) == []
    work.snapshot("Links", REF)
    work.restore(work.base)
    assert outside.exists()


def test_writing_keeps_the_mode_and_is_whole_or_not_at_all(work: Workspace) -> None:
    work.write("run.sh", b"1")
    (work.root / "run.sh").chmod(0o755)
    work.write(work.root / "run.sh", b"2")
    assert (work.root / "run.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(Unavailable):
        work.write("src", b"a directory is there")
    assert (work.root / "src" / "app.py").exists()
    assert not list(work.state.glob("draft-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users' files")
def test_run_as_root_everything_belongs_to_the_sandbox_user(hub: Hub, tmp_path: Path) -> None:
    def owners(root: Path) -> set[int]:
        return {path.lstat().st_uid for path in (root, *root.rglob("*"))}

    work = Workspace.open(hub, tmp_path / "t" / "1", head_of(hub), owner_uid=61234)
    assert owners(work.root) == {61234}
    work.write("deep/er/file.txt", b"x")
    (work.root / "link").symlink_to("/etc/passwd")
    first, _ = work.snapshot("Turn", REF)
    other = hub.commit_files("main", {"later/file": b"y"}, "Later")
    work.restore(other)
    work.restore(first)
    assert owners(work.root) == {61234}
    assert Path("/etc/passwd").stat().st_uid == 0


def test_a_hub_that_is_older_than_its_attributes_gets_them(hub: Hub, tmp_path: Path) -> None:
    (hub.path / "info" / "attributes").unlink()
    Workspace.open(hub, tmp_path / "later", hub.head("main") or "")
    assert (hub.path / "info" / "attributes").read_text() == ATTRIBUTES


@pytest.mark.parametrize(
    "attributes",
    ["* text working-tree-encoding=UTF-16LE-BOM", "* working-tree-encoding=none", "* ident eol=crlf"],
)
def test_attributes_written_in_the_worktree_do_not_change_what_is_kept(
    work: Workspace, hub: Hub, attributes: str
) -> None:
    work.write(".gitattributes", f"{attributes}\n".encode())
    work.write("a.txt", b"$Id$\r\nb\n")
    commit, _ = work.snapshot("Turn", REF)
    assert hub.read(commit, "a.txt") == b"$Id$\r\nb\n"
    work.restore(commit)
    assert (work.root / "a.txt").read_bytes() == b"$Id$\r\nb\n"


@pytest.mark.parametrize(("name", "count"), [("d" * 200, 60), ("d", 1500)], ids=["long", "many"])
def test_endless_directories_do_not_stop_a_session(work: Workspace, hub: Hub, name: str, count: int) -> None:
    make = f"import os\nfor _ in range({count}):\n    os.mkdir({name!r}); os.chdir({name!r})\nopen('f', 'w')"
    subprocess.run([sys.executable, "-c", make], cwd=work.root, check=True)
    work.write("kept.txt", b"x\n")
    commit, changed = work.snapshot("Turn", REF)
    assert changed
    assert "kept.txt" in hub.files(commit)
    work.restore(commit)
    work.discard()
    assert not work.root.exists()
    assert not work.state.exists()
