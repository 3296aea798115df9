"""The hub: commits by plumbing, merges without a checkout, and a main that moves by compare-and-swap."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from apps.agents.git import GitError
from apps.agents.hub import Hub
from apps.core.errors import BadInput, Conflict, NotFound

AUTHOR = "Ada <ada@example.org>"
ODD = 'dir with space/ü "quoted"\nline\\.txt'


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "hubs" / "1.git")
    hub.create()
    return hub


def test_a_new_hub_is_empty_and_making_it_again_changes_nothing(hub: Hub) -> None:
    assert hub.head() is None
    assert hub.log() == []
    first = hub.commit_files("main", {"a": b"1"}, "First", AUTHOR)
    hub.create()
    assert hub.head() == first
    assert not list(hub.path.parent.glob(".new-hub-*"))


def test_a_place_without_a_hub_is_said(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="There is no repository at"):
        Hub(tmp_path / "none.git").head()


def test_files_are_committed_with_author_message_and_odd_names(hub: Hub) -> None:
    message = "Add things\n\nBead: x-1\nAgent: ada"
    commit = hub.commit_files("main", {ODD: b"bytes \x00\xff", "plain.txt": b""}, message, AUTHOR)

    assert hub.head() == commit
    assert hub.files(commit) == sorted([ODD, "plain.txt"])
    assert hub.read(commit, ODD) == b"bytes \x00\xff"
    [entry] = hub.log()
    assert (entry.sha, entry.author, entry.message, entry.subject) == (commit, AUTHOR, message, "Add things")
    assert abs(entry.when.timestamp() - time.time()) < 60


def test_a_commit_keeps_other_files_and_deletes_what_is_none(hub: Hub) -> None:
    hub.commit_files("main", {"keep": b"1", "go": b"2"}, "First")
    second = hub.commit_files("main", {"go": None, "new": b"3"}, "Second")
    assert hub.files(second) == ["keep", "new"]
    assert [entry.message for entry in hub.log()] == ["Second", "First"]


def test_committing_the_same_content_again_makes_no_commit(hub: Hub) -> None:
    first = hub.commit_files("main", {"a": b"1"}, "First")
    assert hub.commit_files("main", {"a": b"1", "never": None}, "Again") == first


def test_an_executable_file_stays_one_when_its_content_changes(hub: Hub, tmp_path: Path) -> None:
    tree = hub.git.line("mktree", stdin=f"100755 blob {_blob(hub, b'#!/bin/sh')}\trun.sh\n".encode())
    assert hub.advance("main", hub.commit_tree(tree, [], "First"), None)
    hub.export(hub.commit_files("main", {"run.sh": b"#!/bin/sh\ntrue"}, "Second"), tmp_path / "x")
    assert os.access(tmp_path / "x" / "run.sh", os.X_OK)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", ".git/config", "a/.GIT/hooks/x", "a//b", "", "a/./b", "x\0"]
)
def test_paths_that_are_none_are_refused(hub: Hub, path: str) -> None:
    with pytest.raises(BadInput):
        hub.commit_files("main", {path: b"x"}, "Bad")


def test_what_does_not_exist_is_not_found(hub: Hub) -> None:
    commit = hub.commit_files("main", {"a": b"1"}, "First")
    with pytest.raises(NotFound, match="no file b in commit"):
        hub.read(commit, "b")


def test_differences_are_listed_and_shown(hub: Hub) -> None:
    one = hub.commit_files("main", {"same": b"s\n", "edit": b"1\n", "gone": b"g\n"}, "One")
    two = hub.commit_files("main", {"edit": b"2\n", "gone": None, "new": b"n\n"}, "Two")
    assert hub.changed(one, two) == [("M", "edit"), ("D", "gone"), ("A", "new")]
    diff = hub.diff(one, two)
    assert "-1\n+2\n" in diff
    assert "same" not in diff
    assert "new" not in hub.diff(one, two, ["edit"])


def test_a_long_diff_is_cut_and_says_so(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b""}, "One")
    two = hub.commit_files("main", {"a": b"line\n" * 1000}, "Two")
    diff = hub.diff(one, two, limit=500)
    assert "longer than 500 bytes" in diff
    assert len(diff) < 600


def test_a_path_in_a_diff_is_never_a_pattern_or_an_option(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    two = hub.commit_files("main", {"a": b"2", "--output=x": b"3"}, "Two")
    assert hub.diff(one, two, ["*"]) == ""
    assert "+3" in hub.diff(one, two, ["--output=x"])


def _fork(hub: Hub, ours: dict[str, bytes], theirs: dict[str, bytes]) -> tuple[str, str]:
    base = hub.commit_files("main", {"shared": b"1\n2\n3\n4\n5\n6\n7\n"}, "Base")
    assert hub.advance("side", base, None)
    return hub.commit_files("main", dict(ours), "Ours"), hub.commit_files("side", dict(theirs), "Theirs")


def test_changes_that_do_not_meet_merge_cleanly(hub: Hub) -> None:
    ours, theirs = _fork(
        hub, {"shared": b"one\n2\n3\n4\n5\n6\n7\n"}, {"shared": b"1\n2\n3\n4\n5\n6\nseven\n", "n": b""}
    )
    merge = hub.merge(ours, theirs)
    assert merge.clean
    commit = hub.commit_tree(merge.tree, [ours], "Merge side\n\nBead: x", AUTHOR)
    assert hub.advance("main", commit, ours)
    assert hub.read(commit, "shared") == b"one\n2\n3\n4\n5\n6\nseven\n"
    assert hub.parents(commit) == [ours]
    assert hub.is_ancestor(ours, commit)
    assert not hub.is_ancestor(theirs, commit)


def test_a_conflict_names_its_files_and_keeps_both_sides(hub: Hub) -> None:
    ours, theirs = _fork(hub, {"shared": b"ours\n"}, {"shared": b"theirs\n"})
    merge = hub.merge("main", "side")
    assert merge.conflicts == ("shared",)
    text = hub.git.run("cat-file", "blob", f"{merge.tree}:shared").text
    assert "<<<<<<< main\nours\n" in text
    assert "theirs\n>>>>>>> side" in text
    assert hub.merge(ours, theirs).conflicts == ("shared",)


def test_a_deleted_and_edited_file_is_a_conflict(hub: Hub) -> None:
    base = hub.commit_files("main", {ODD: b"1\n", "x": b""}, "Base")
    hub.advance("side", base, None)
    ours = hub.commit_files("main", {ODD: None}, "Ours")
    theirs = hub.commit_files("side", {ODD: b"2\n"}, "Theirs")
    assert hub.merge(ours, theirs).conflicts == (ODD,)


def test_main_moves_only_from_where_it_was_thought_to_be(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    tree = hub.tree(one)
    mine, other = (hub.commit_tree(tree, [one], name) for name in ("Mine", "Other"))
    assert hub.advance("main", other, one)
    assert not hub.advance("main", mine, one)
    assert not hub.advance("main", mine, None)
    assert hub.head() == other


def test_of_many_that_advance_at_once_exactly_one_wins(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    rivals = [hub.commit_tree(hub.tree(one), [one], f"Rival {number}") for number in range(8)]
    won: list[str] = []

    def race(commit: str) -> None:
        if hub.advance("main", commit, one):
            won.append(commit)

    threads = [threading.Thread(target=race, args=(commit,)) for commit in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [hub.head()]


def test_files_committed_at_once_are_all_there(hub: Hub) -> None:
    hub.commit_files("main", {"first": b""}, "First")
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            hub.commit_files("main", {f"file-{number}": b"x"}, f"Commit {number}")
        except Conflict as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = hub.head()
    assert head is not None
    assert len(hub.files(head)) + len(failures) == 5
    assert len(hub.log()) == 5 - len(failures)


@pytest.mark.parametrize("left", ["refs/heads/main.lock", "HEAD.lock"])
def test_the_lock_of_a_killed_git_does_not_hold_a_branch_for_ever(hub: Hub, left: str) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    lock = hub.path / left
    lock.touch()
    os.utime(lock, (1, 1))
    assert hub.advance("main", hub.commit_tree(hub.tree(one), [one], "Two"), one)
    lock.touch()
    os.utime(lock, (1, 1))
    assert hub.commit_files("main", {"a": b"3"}, "Three") == hub.head()
    assert not lock.exists()


def test_a_deletion_gets_past_the_lock_of_a_killed_git(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    hub.set_ref("refs/loom/sessions/7", one)
    (hub.path / "packed-refs.lock").touch()
    os.utime(hub.path / "packed-refs.lock", (1, 1))
    hub.delete_ref("refs/loom/sessions/7")
    assert hub.refs("refs/loom") == {}


def test_a_lock_that_is_held_is_waited_for(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    two = hub.commit_tree(hub.tree(one), [one], "Two")
    lock = hub.path / "HEAD.lock"
    lock.touch()
    holder = threading.Timer(0.2, lock.unlink)
    holder.start()
    assert hub.advance("main", two, one)
    holder.join()


def test_only_refs_of_the_platform_can_be_set_directly(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    hub.set_ref("refs/loom/sessions/7", one)
    assert hub.refs("refs/loom") == {"refs/loom/sessions/7": one}
    hub.delete_ref("refs/loom/sessions/7")
    assert hub.ref("refs/loom/sessions/7") is None
    for name in ("refs/heads/main", "refs/loom/../heads/main", "HEAD"):
        with pytest.raises(BadInput):
            hub.set_ref(name, one)
        with pytest.raises(BadInput):
            hub.delete_ref(name)


def test_refs_are_read_when_packed_too(hub: Hub) -> None:
    one = hub.commit_files("main", {"a": b"1"}, "One")
    hub.git.run("pack-refs", "--all")
    assert hub.head() == one


def _blob(hub: Hub, data: bytes) -> str:
    return hub.git.line("hash-object", "-w", "--stdin", stdin=data)


def test_an_export_keeps_links_and_modes_and_has_no_git(hub: Hub, tmp_path: Path) -> None:
    script, link, odd = _blob(hub, b"#!/bin/sh\n"), _blob(hub, b"../outside"), _blob(hub, b"odd")
    rows = (
        f"100755 blob {script}\trun.sh",
        f"120000 blob {link}\tlink",
        f"100644 blob {odd}\tn\u00fc \n",
        "",
    )
    commit = hub.commit_tree(hub.git.line("mktree", "-z", stdin="\0".join(rows).encode()), [], "Odd")
    before = sorted(path.name for path in hub.path.iterdir())

    hub.export(commit, tmp_path / "deep" / "out")

    out = tmp_path / "deep" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["link", "n\u00fc \n", "run.sh"]
    assert os.access(out / "run.sh", os.X_OK)
    assert str((out / "link").readlink()) == "../outside"
    assert sorted(path.name for path in hub.path.iterdir()) == before


def test_an_export_into_a_used_directory_is_refused(hub: Hub, tmp_path: Path) -> None:
    commit = hub.commit_files("main", {"a": b"1"}, "One")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("precious")
    with pytest.raises(Conflict, match="is not empty"):
        hub.export(commit, tmp_path / "mine")
    assert (tmp_path / "mine" / "a").read_text() == "precious"


def test_filters_and_hooks_named_by_the_repository_do_not_run(hub: Hub, tmp_path: Path) -> None:
    flag = tmp_path / "PWNED"
    (hub.path / "hooks").mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hub.path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {flag}\n")
        (hub.path / "hooks" / name).chmod(0o755)
    commit = hub.commit_files("main", {".gitattributes": b"* filter=evil diff=evil\n", "a": b"1"}, "One")
    hub.export(commit, tmp_path / "x")
    hub.diff(commit, hub.commit_files("main", {"a": b"2"}, "Two"))
    assert not flag.exists()


def test_ten_thousand_files_are_exported_and_listed(hub: Hub, tmp_path: Path) -> None:
    files: dict[str, bytes | None] = {f"d{n % 100}/f{n}.py": f"x = {n}\n".encode() for n in range(10_000)}
    commit = hub.commit_files("main", files, "Many")
    hub.export(commit, tmp_path / "x")
    assert len(hub.files(commit)) == 10_000
    assert sum(len(names) for _, _, names in os.walk(tmp_path / "x")) == 10_000
