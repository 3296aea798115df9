"""apply_patch's reading and fitting of patches, with git as the judge."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.editing.hunks import apply_hunks, new_text
from apps.agents.editing.patch import PatchRefused, parse_patch

NUMBERS = "".join(f"line {number}\n" for number in range(1, 31))


def patched(text: str, patch: str) -> str:
    (file,) = parse_patch(patch)
    return apply_hunks(text, file.hunks, name=file.path).text


def refused(text: str, patch: str) -> PatchRefused:
    with pytest.raises(PatchRefused) as caught:
        patched(text, patch)
    return caught.value


def hunk(body: str, header: str = "@@ -1,3 +1,3 @@") -> str:
    return f"--- a/f.txt\n+++ b/f.txt\n{header}\n{body}"


def test_a_plain_hunk_is_applied() -> None:
    assert patched(NUMBERS, hunk(" line 1\n-line 2\n+line two\n line 3\n")) == NUMBERS.replace(
        "line 2\n", "line two\n", 1
    )


def test_a_hunk_with_wrong_numbers_and_counts_is_applied_where_its_lines_are() -> None:
    patch = hunk(" line 14\n-line 15\n+fifteen\n line 16\n", "@@ -3,99 +3,1 @@")
    assert patched(NUMBERS, patch) == NUMBERS.replace("line 15", "fifteen")


def test_where_a_hunk_really_fitted_is_told() -> None:
    (file,) = parse_patch(hunk(" line 14\n-line 15\n+fifteen\n line 16\n", "@@ -3,3 +3,3 @@"))
    assert apply_hunks(NUMBERS, file.hunks, name="f").notes == ("hunk 1 fitted at line 14",)


def test_outer_context_may_be_wrong() -> None:
    patch = hunk(" other\n line 14\n-line 15\n+fifteen\n line 16\n other\n")
    assert patched(NUMBERS, patch) == NUMBERS.replace("line 15", "fifteen")


def test_lines_to_remove_must_be_there() -> None:
    error = refused(NUMBERS, hunk(" line 14\n-line 1500\n+x\n line 16\n"))
    assert "does not fit" in error.message
    assert "-line 15" in error.hint


def test_equal_places_are_told_apart_by_the_line_number() -> None:
    text = "begin\n" + "a\nb\nc\n" * 5
    patch = hunk(" a\n-b\n+B\n c\n", "@@ -8,3 +8,3 @@")
    assert patched(text, patch).split("\n")[8] == "B"


def test_equal_places_without_a_true_number_are_refused() -> None:
    error = refused("a\nb\nc\n" * 5, hunk(" a\n-b\n+B\n c\n", "@@ -3,3 +3,3 @@"))
    assert "fits in 5 places: at lines 1, 4, 7, 10, 13" in error.message


def test_later_hunks_know_that_earlier_ones_moved_lines() -> None:
    text = "same\nend\n" * 6
    patch = hunk(" same\n+one\n+two\n end\n") + "@@ -5,2 +7,2 @@\n same\n-end\n+END\n"
    assert patched(text, patch) == "same\none\ntwo\nend\nsame\nend\nsame\nEND\n" + "same\nend\n" * 3


def test_an_insertion_keeps_its_neighbor_even_with_fuzz() -> None:
    patch = hunk(" wrong\n line 5\n+new\n line 6\n wrong\n")
    assert patched(NUMBERS, patch) == NUMBERS.replace("line 5\n", "line 5\nnew\n")


def test_an_insertion_without_context_is_refused() -> None:
    assert "find its place" in refused(NUMBERS, hunk("+new\n", "@@ -3,0 +4,1 @@")).message


def test_context_keeps_the_files_trailing_spaces_and_line_endings() -> None:
    text = "a  \r\nb\r\nc\r\n"
    assert patched(text, hunk(" a\n-b\n+B\n c\n")) == "a  \r\nB\r\nc\r\n"


def test_empty_context_lines_may_have_lost_their_space() -> None:
    assert patched("a\n\nb\nc\n", hunk(" a\n\n-b\n+B\n c\n\n")) == "a\n\nB\nc\n"


@pytest.mark.parametrize(
    ("text", "body", "after"),
    [
        ("a\nb", " a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n", "a\nc"),
        ("a\nb", " a\n-b\n\\ No newline at end of file\n+c\n", "a\nc\n"),
        ("a\nb\n", " a\n-b\n+c\n\\ No newline at end of file\n", "a\nc"),
        ("a\nb", " a\n-b\n+c\n", "a\nc"),
        ("a\nb", " a\n b\n+c\n", "a\nb\nc"),
    ],
)
def test_the_final_newline_follows_the_patch_and_else_the_file(text: str, body: str, after: str) -> None:
    assert patched(text, hunk(body)) == after


def test_removing_sql_comments_is_not_taken_for_a_file_header() -> None:
    patch = hunk(" select 1;\n--- old\n+++ new\n select 2;\n")
    assert patched("select 1;\n-- old\nselect 2;\n", patch) == "select 1;\n++ new\nselect 2;\n"


def test_an_empty_context_line_holds_an_insertion_in_place() -> None:
    assert patched("\n", hunk("+a\n \n", "@@ -1 +1,2 @@")) == "a\n\n"


def test_a_hunk_without_numbers_is_found_by_its_lines() -> None:
    assert patched(NUMBERS, hunk(" line 9\n-line 10\n+ten\n", "@@")) == NUMBERS.replace("line 10\n", "ten\n")


def test_a_heading_after_the_numbers_is_no_anchor() -> None:
    patch = hunk(" line 9\n-line 10\n+ten\n", "@@ -9,2 +9,2 @@ def nowhere():")
    assert patched(NUMBERS, patch) == NUMBERS.replace("line 10\n", "ten\n")


def test_the_block_form_of_some_models_is_read() -> None:
    patches = parse_patch(
        "*** Begin Patch\n*** Update File: a.py\n@@ def two():\n-    pass\n+    return 2\n"
        "*** Add File: b.py\n+x = 1\n+\n+y = 2\n*** Delete File: c.py\n*** End Patch\n"
    )
    assert [(patch.old, patch.new) for patch in patches] == [("a.py", "a.py"), (None, "b.py"), ("c.py", None)]
    text = "def one():\n    pass\n\ndef two():\n    pass\n"
    assert apply_hunks(text, patches[0].hunks, name="a.py").text.endswith("def two():\n    return 2\n")
    assert new_text(patches[1].hunks) == "x = 1\n\ny = 2\n"


def test_an_anchor_that_is_not_there_is_refused() -> None:
    error = refused(NUMBERS, "*** Update File: f\n@@ class Nowhere:\n-line 1\n+x\n")
    assert "class Nowhere:" in error.message


@pytest.mark.parametrize(
    ("patch", "paths"),
    [
        ("--- a/x.py\n+++ b/x.py\n@@\n a\n", ("x.py", "x.py")),
        ("--- x.py\n+++ x.py\n@@\n a\n", ("x.py", "x.py")),
        ("--- x.py.orig\n+++ x.py\n@@\n a\n", ("x.py", "x.py")),
        ("--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+a\n", (None, "x.py")),
        ("--- a/x.py\t2024-01-01 10:00\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", ("x.py", None)),
        ('--- "a/caf\\303\\251.py"\n+++ "b/caf\\303\\251.py"\n@@\n a\n', ("café.py", "café.py")),
        ("Here you are:\n```diff\n--- a/x y.py\n+++ b/x y.py\n@@\n a\n```\nDone.", ("x y.py", "x y.py")),
        ("diff --git a/x.py b/x.py\nnew file mode 100644\nindex 0..e\n", (None, "x.py")),
        ("diff --git a/x.py b/x.py\ndeleted file mode 100644\nindex e..0\n", ("x.py", None)),
        ("diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n", ("x", "y")),
        ("diff --git a/x b/y\nrename from x\nrename to y\n--- a/x\n+++ b/y\n@@\n-a\n+b\n", ("x", "y")),
    ],
)
def test_file_headers_are_read(patch: str, paths: tuple[str | None, str | None]) -> None:
    (file,) = parse_patch(patch)
    assert (file.old, file.new) == paths


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("", "names no file"),
        ("change x to y please", "names no file"),
        ("@@ -1 +1 @@\n-a\n+b\n", "before any file"),
        ("--- a/x\n+++ b/x\n", "no change for x"),
        ("--- /dev/null\n+++ /dev/null\n@@\n a\n", "names no file"),
        ("diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 1\n", "binary"),
        ("diff --git a/x b/y\ncopy from x\ncopy to y\n", "copies"),
    ],
)
def test_patches_that_say_nothing_clear_are_refused(patch: str, says: str) -> None:
    with pytest.raises(PatchRefused, match=says):
        parse_patch(patch)


texts = st.lists(st.sampled_from(["a", "b", "c", "  d", "", "-- e", "++ f", "@@ g"]), max_size=25).map(
    "\n".join
)


@given(texts, texts)
@settings(max_examples=300, deadline=None)
def test_a_diff_applied_to_its_own_source_gives_its_target(old: str, new: str) -> None:
    old, new = old + "\n", new + "\n"
    diff = "".join(
        difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), "a/f", "b/f", n=3)
    )
    if not diff:
        return
    assert patched(old, diff) == new


@given(texts, texts)
@settings(max_examples=200, deadline=None)
def test_a_diff_without_numbers_gives_its_target_or_is_refused(old: str, new: str) -> None:
    old, new = f"first\n{old}\nlast\n", f"first\n{new}\nlast\n"
    diff = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), "a/f", "b/f", n=99
    )
    patch = "".join("@@\n" if line.startswith("@@ -") else line for line in diff)
    if not patch:
        return
    try:
        assert patched(old, patch) == new
    except PatchRefused:
        pytest.fail("all lines of the file are in the hunk, so its place is certain")


def test_git_and_we_agree_on_a_patch_of_many_kinds(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = [
            "git",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "core.autocrlf=false",
            *arguments,
        ]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    (tmp_path / "keep.txt").write_text(NUMBERS)
    (tmp_path / "gone.txt").write_text("bye\n")
    (tmp_path / "name.txt").write_text(NUMBERS)
    (tmp_path / "bare.txt").write_text("no newline")
    git("add", ".")
    git("commit", "-qm", "before")
    (tmp_path / "keep.txt").write_text(
        NUMBERS.replace("line 4\n", "").replace("line 25\n", "line 25\nmore\n")
    )
    (tmp_path / "gone.txt").unlink()
    (tmp_path / "name.txt").rename(tmp_path / "näme two.txt")
    (tmp_path / "bare.txt").write_text("still\nno newline")
    (tmp_path / "fresh.txt").write_text("hello\n")
    git("add", ".")
    found = {}
    for file in parse_patch(git("diff", "--cached", "-M")):
        before = git("show", f"HEAD:{file.old}") if file.old else ""
        found[file.path] = (
            apply_hunks(before, file.hunks, name=file.path).text if file.old else new_text(file.hunks)
        )
    expected = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    assert found == {**expected, "gone.txt": ""}


def test_a_patch_that_breaks_off_is_refused() -> None:
    text = "".join(f"line {number}\n" for number in range(20))
    whole = "--- a/f.txt\n+++ b/f.txt\n@@ -3,7 +3,7 @@\n line 2\n line 3\n line 4\n-line 5\n+line five"
    with pytest.raises(PatchRefused, match="breaks off"):
        patched(text, whole[:-3])
    rest = "\n line 6\n line 7\n line 8\n"
    assert patched(text, whole + rest) == text.replace("line 5", "line five")


def test_a_starred_patch_without_its_end_is_refused() -> None:
    with pytest.raises(PatchRefused, match="breaks off"):
        parse_patch("*** Begin Patch\n*** Update File: a.py\n@@\n-x\n+y\n")
