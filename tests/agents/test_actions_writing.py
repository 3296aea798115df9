"""Actions that change files, in a real worktree."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from apps.core.errors import BadInput
from tests.agents.actions_room import Room, make_room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


def fill(room: Room, path: str, lines: int) -> None:
    (room.root / path).write_text("".join(f"line {number}\n" for number in range(1, lines + 1)))


def test_a_new_file_is_created_with_its_directories(room: Room) -> None:
    result = room.do("write_file", path="a/b/c.txt", content="hello\n")
    assert (result.ok, result.changed) == (True, True)
    assert room.text("a/b/c.txt") == "hello\n"


def test_a_file_that_was_not_read_is_not_replaced(room: Room) -> None:
    result = room.do("write_file", path="shop/till.py", content="x = 1\n")
    assert not result.ok
    assert "10 lines that you have not read" in result.text
    assert "edit_file" in result.text
    room.do("read_file", path="./shop/till.py")
    assert room.do("write_file", path="shop/till.py", content="x = 1\n").ok
    assert room.text("shop/till.py") == "x = 1\n"


def test_a_file_of_a_few_lines_may_be_replaced_unread(room: Room) -> None:
    assert room.do("write_file", path="README.md", content="# Till\n").ok


@pytest.mark.parametrize(
    "hint", ["# ... rest of the file unchanged", "// ... existing code ...", "    ... (remaining functions)"]
)
def test_content_that_only_hints_at_the_rest_is_refused(room: Room, hint: str) -> None:
    room.do("read_file", path="shop/till.py")
    result = room.do(
        "write_file", path="shop/till.py", content=f"def total(prices):\n    return 0\n\n{hint}\n"
    )
    assert "only hints at the rest" in result.text
    assert "sum(prices)" in room.text("shop/till.py")


def test_line_endings_and_mode_of_a_replaced_file_stay(room: Room) -> None:
    (room.root / "windows.txt").chmod(0o755)
    assert room.do("write_file", path="windows.txt", content="uno\ndos\n").ok
    assert (room.root / "windows.txt").read_bytes() == b"uno\r\ndos\r\n"
    assert stat.S_IMODE((room.root / "windows.txt").stat().st_mode) == 0o755


def test_a_split_line_that_would_not_parse_is_refused(room: Room) -> None:
    file = room.root / "shop/links.py"
    file.write_text("from dataclasses import dataclass, field\n")
    told = "from dataclasses import dataclass,"
    result = room.do("edit_file", path="shop/links.py", old_text=told, new_text=f"{told} asdict")
    assert not result.ok
    assert (
        "old_text ends within a line, and with its rest shop/links.py would not parse: line 1" in result.text
    )
    assert file.read_text() == f"{told} field\n"
    assert room.do("edit_file", path="shop/links.py", old_text=told, new_text=f"{told} asdict,").ok
    assert file.read_text() == f"{told} asdict, field\n"
    # What was broken before may be mended in steps, and whole lines are taken as they are.
    file.write_text("from dataclasses import dataclass field\nx = (\n")
    assert room.do("edit_file", path="shop/links.py", old_text="from dataclasses", new_text="from datacls").ok
    assert room.do("edit_file", path="README.md", old_text="Sells", new_text="Offers").ok
    assert room.do("edit_file", path="shop/__init__.py", old_text="", new_text="x = 1\ny = 2\n").ok
    assert room.do("edit_file", path="shop/__init__.py", old_text="x = 1\n", new_text="x = (\n").ok


def test_a_latin_1_file_stays_one(room: Room) -> None:
    (room.root / "l.txt").write_bytes(b"caf\xe9 1\n")
    assert room.do("edit_file", path="l.txt", old_text="1", new_text="2").ok
    assert (room.root / "l.txt").read_bytes() == b"caf\xe9 2\n"
    assert "latin-1" in room.do("edit_file", path="l.txt", old_text="2", new_text="☃").text


@pytest.mark.parametrize(
    ("path", "content", "finding"),
    [
        ("a.py", "def f(:\n", "line 1: invalid syntax"),
        ("a.json", '{"a": }\n', "line 1"),
        ("a.toml", "a = \n", "line 1"),
        ("a.yaml", "a: [1\nb: 2\n", "line 2"),
        ("deep.py", "(" * 3000 + ")" * 3000, "parenthes"),
        ("deep.json", "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_does_not_parse_is_saved_and_told(
    room: Room, path: str, content: str, finding: str
) -> None:
    result = room.do("write_file", path=path, content=content)
    assert result.ok
    assert f"{path} does not parse now" in result.text
    assert finding in result.data["finding"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.py", "print('\\d')\n"),
        ("a.yaml", "a: !Ref b\n---\nc: *x\n"),
        ("a.json", "\ufeff{}"),
        ("a.unknown", "((("),
        ("Makefile", "((("),
    ],
)
def test_files_that_parse_or_cannot_be_judged_bring_no_finding(room: Room, path: str, content: str) -> None:
    assert room.do("write_file", path=path, content=content).data == {"path": path}


def test_an_edit_changes_one_place_and_says_where(room: Room) -> None:
    result = room.do("edit_file", path="shop/till.py", old_text="0.19", new_text="VAT")
    assert result.text == "Edited shop/till.py, line 10."
    assert room.text("shop/till.py").endswith("    return price * VAT\n")


def test_an_edit_that_breaks_the_syntax_is_told(room: Room) -> None:
    result = room.do(
        "edit_file", path="shop/till.py", old_text="return sum(prices)", new_text="return sum(prices"
    )
    assert result.ok
    assert "'(' was never closed" in result.text


def test_a_refused_edit_changes_nothing_and_shows_the_closest_place(room: Room) -> None:
    before = room.text("shop/till.py")
    result = room.do("edit_file", path="shop/till.py", old_text="def change(paid, cost):\n", new_text="x\n")
    assert (result.ok, result.changed) == (False, False)
    assert "-def change(paid, price):" in result.text
    assert room.text("shop/till.py") == before


def test_a_patch_over_several_files_is_applied_whole(room: Room) -> None:
    (room.root / "run.sh").write_text("echo 1\n")
    (room.root / "run.sh").chmod(0o755)
    patch = (
        "--- a/shop/till.py\n+++ b/shop/till.py\n@@ -9,2 +9,2 @@\n def vat(price):\n"
        "-    return price * 0.19\n+    return price * 0.2\n"
        "--- /dev/null\n+++ b/shop/new.py\n@@ -0,0 +1 @@\n+x = 1\n"
        "--- a/README.md\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-# Shop\n-\n-Sells things.\n"
        "diff --git a/run.sh b/bin/run.sh\nrename from run.sh\nrename to bin/run.sh\n"
    )
    result = room.do("apply_patch", patch=patch)
    assert result.ok, result.text
    assert room.text("shop/till.py").endswith("* 0.2\n")
    assert room.text("shop/new.py") == "x = 1\n"
    assert not (room.root / "README.md").exists()
    assert stat.S_IMODE((room.root / "bin/run.sh").stat().st_mode) == 0o755
    assert not (room.root / "run.sh").exists()


def test_one_hunk_that_does_not_fit_leaves_every_file_as_it_was(room: Room) -> None:
    patch = (
        "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Shop\n+# Till\n"
        "--- a/shop/till.py\n+++ b/shop/till.py\n@@ -1 +1 @@\n-def nowhere():\n+def here():\n"
    )
    result = room.do("apply_patch", patch=patch)
    assert not result.ok
    assert "Hunk 2 of shop/till.py does not fit" in result.text
    assert room.text("README.md").startswith("# Shop")


def test_a_write_that_fails_half_way_is_taken_back(room: Room) -> None:
    (room.root / "gone").mkdir()
    real = room.context.write

    def failing(path: Path, data: bytes) -> None:
        if path.name == "data.json" and b"0.2" in data:
            raise BadInput("the disk said no")
        real(path, data)

    room.context.write = failing
    patch = (
        "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Shop\n+# Till\n"
        '--- a/shop/data.json\n+++ b/shop/data.json\n@@ -1 +1 @@\n-{"vat": 0.19}\n+{"vat": 0.2}\n'
    )
    assert "the disk said no" in room.do("apply_patch", patch=patch).text
    assert room.text("README.md").startswith("# Shop")


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("--- /dev/null\n+++ b/README.md\n@@ -0,0 +1 @@\n+x\n", "which exists"),
        ("--- a/none.txt\n+++ b/none.txt\n@@ -1 +1 @@\n-x\n+y\n", "no file none.txt"),
        ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-x\n+y\n", "outside"),
        ("--- a/README.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-# Shop\n", "not all of its lines"),
        ("--- a/logo.png\n+++ b/logo.png\n@@ -1 +1 @@\n-x\n+y\n", "binary"),
        ("*** Delete File: README.md\n*** Update File: README.md\n@@\n-# Shop\n+x\n", "after it deleted"),
    ],
)
def test_patches_that_cannot_be_applied_say_why(room: Room, patch: str, says: str) -> None:
    result = room.do("apply_patch", patch=patch)
    assert not result.ok
    assert says in result.text


def test_files_are_moved_and_deleted(room: Room) -> None:
    assert room.do("move_file", source="shop/till.py", target="core/money/till.py").ok
    assert not (room.root / "shop/till.py").exists()
    assert "def total" in room.text("core/money/till.py")
    assert room.do("move_file", source="core", target="base").ok
    assert room.do("delete_file", path="base/money/till.py").ok
    assert not (room.root / "base/money/till.py").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("move_file", {"source": "README.md", "target": "logo.png"}, "logo.png exists"),
        ("move_file", {"source": "none", "target": "x"}, "no file none"),
        ("move_file", {"source": "shop", "target": "shop/inner"}, "into itself"),
        ("move_file", {"source": ".", "target": "x"}, "cannot be moved"),
        ("move_file", {"source": "README.md", "target": "../x"}, "outside"),
        ("delete_file", {"path": "shop"}, "is a directory"),
        ("delete_file", {"path": "none"}, "no file none"),
        ("delete_file", {"path": ".git/HEAD"}, "git itself"),
        ("write_file", {"path": "shop", "content": ""}, "is a directory"),
        ("write_file", {"path": "README.md/x", "content": ""}, "below a file"),
        ("write_file", {"path": "x" * 300, "content": ""}, "is not a path"),
    ],
)
def test_moves_and_deletions_that_make_no_sense_are_refused(
    room: Room, name: str, arguments: dict[str, str], says: str
) -> None:
    before = sorted(str(path) for path in room.root.rglob("*"))
    result = room.do(name, **arguments)
    assert not result.ok
    assert says in result.text
    assert sorted(str(path) for path in room.root.rglob("*")) == before


def test_deleting_a_link_leaves_what_it_points_to(room: Room) -> None:
    (room.root / "link").symlink_to("README.md")
    assert room.do("delete_file", path="link").ok
    assert (room.root / "README.md").exists()


def test_a_file_of_which_only_the_start_was_read_is_not_replaced(room: Room) -> None:
    long = "".join(f"line_{number} = {number}\n" for number in range(600))
    (room.root / "long.py").write_text(long)
    assert room.do("read_file", path="long.py").ok
    refused = room.do("write_file", path="long.py", content="line_0 = 0\n")
    assert "200 lines that you have not read, from line 401 on" in refused.text
    assert room.text("long.py") == long
    room.do("move_file", source="long.py", target="longer.py")
    assert room.do("read_file", path="longer.py", offset=401).ok
    assert room.do("write_file", path="longer.py", content="line_0 = 0\n").ok


def test_unread_lines_may_stay_in_a_file_that_is_replaced(room: Room) -> None:
    long = "".join(f"line_{number} = {number}\n" for number in range(500))
    (room.root / "long.py").write_text(long)
    assert room.do("read_file", path="long.py").ok
    assert room.do("write_file", path="long.py", content=f"import os\n{long}").ok


def test_an_edit_does_not_count_as_having_read_the_file(room: Room) -> None:
    assert room.do("edit_file", path="shop/till.py", old_text="0.19", new_text="0.2").ok
    assert not room.do("write_file", path="shop/till.py", content="x = 1\n").ok
