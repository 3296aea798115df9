"""Actions that read files, in a real worktree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.agents.actions import read
from apps.agents.actions.base import LIMIT
from tests.agents.actions_room import Room, make_room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


def fill(room: Room, path: str, lines: int) -> None:
    (room.root / path).write_text("".join(f"line {number}\n" for number in range(1, lines + 1)))


def test_a_file_is_shown_with_line_numbers_and_its_length(room: Room) -> None:
    result = room.do("read_file", path="shop/till.py", offset=5, limit=2)
    assert result.text.split("\n") == [
        "shop/till.py (lines 5-6 of 10)",
        "    5\tdef change(paid, price):",
        "    6\t    return paid - price",
        "[4 more lines; go on with offset=7]",
    ]
    assert result.data == {"path": "shop/till.py", "from": 5, "to": 6, "lines": 10}


def test_long_files_are_shown_in_bounded_parts_that_reach_the_end(room: Room) -> None:
    fill(room, "long.txt", 1000)
    shown, offset = 0, 1
    while offset <= 1000:
        result = room.do("read_file", path="long.txt", offset=offset, limit=5000)
        assert len(result.text) < LIMIT + 500
        shown += result.text.count("\tline ")
        offset = result.data["to"] + 1
    assert shown == 1000


def test_very_long_lines_are_cut_and_say_so(room: Room) -> None:
    (room.root / "min.js").write_text("x" * 50_000)
    assert "[... 48000 more characters in this line]" in room.do("read_file", path="min.js").text


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("till.py", "Did you mean shop/till.py?"),
        ("shop/tills.py", "Did you mean shop/till.py"),
        ("shop", "is a directory"),
        ("logo.png", "binary file"),
        ("../../etc/passwd", "outside the repository"),
        ("/etc/passwd", "outside the repository"),
        (".git/config", "git itself"),
        ("a\0b", "is not a path"),
    ],
)
def test_what_cannot_be_read_says_why(room: Room, path: str, says: str) -> None:
    result = room.do("read_file", path=path)
    assert not result.ok
    assert says in result.text


def test_a_pipe_is_not_read_forever(room: Room) -> None:
    os.mkfifo(room.root / "pipe")
    assert "not a regular file" in room.do("read_file", path="pipe").text


def test_an_offset_past_the_end_is_told(room: Room) -> None:
    assert "only 3 lines" in room.do("read_file", path="README.md", offset=9).text


def test_an_empty_file_is_told(room: Room) -> None:
    assert room.do("read_file", path="shop/__init__.py").text == "shop/__init__.py is empty."


def test_the_tree_is_listed_to_a_depth(room: Room) -> None:
    (room.root / "node_modules" / "x").mkdir(parents=True)
    text = room.do("read_tree").text
    assert "./" in text.split("\n")[0]
    assert "  shop/\n    __init__.py\n    data.json\n    till.py" in text
    assert "node_modules/ (generated, not listed)" in text
    assert "shop/ (3 entries)" in room.do("read_tree", depth=1).text


def test_a_tree_of_many_files_is_cut(room: Room) -> None:
    for number in range(500):
        (room.root / f"f{number}").touch()
    assert "more than 400 entries" in room.do("read_tree").text


def test_a_link_out_is_shown_but_not_followed(room: Room) -> None:
    (room.root / "out").symlink_to("/etc")
    assert "out -> /etc" in room.do("read_tree").text
    assert "outside" in room.do("read_tree", path="out").text
    assert "Nothing found" in room.do("search_text", query="root:").text


def test_text_is_found_with_file_and_line(room: Room) -> None:
    result = room.do("search_text", query="price * 0")
    assert result.text == "shop/till.py:10: return price * 0.19"


@pytest.mark.parametrize("path", ["shop", "shop/till.py", "*.py", "**/*.py", "shop/*.py", "till.py"])
def test_a_search_may_be_narrowed(room: Room, path: str) -> None:
    result = room.do("search_text", query="def ", path=path)
    assert result.ok == (path != "till.py")
    assert result.text.count("def ") == (3 if result.ok else 0)


def test_a_query_that_only_works_as_a_pattern_is_taken_as_one(room: Room) -> None:
    result = room.do("search_text", query=r"def \w+\(price\)")
    assert "till.py:9" in result.text
    assert "regular expression" in result.text


def test_nothing_found_is_said(room: Room) -> None:
    assert room.do("search_text", query="unicorn").text == "Nothing found for 'unicorn'."


def test_a_bad_pattern_is_an_error(room: Room) -> None:
    assert "not valid" in room.do("search_text", query="(", regex=True).text


def test_a_search_with_a_hostile_pattern_ends(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read.SEARCH_SECONDS == 5
    monkeypatch.setattr(read, "SEARCH_SECONDS", 1.0)
    (room.root / "a.txt").write_text("a" * 5000 + "!\n")
    result = room.do("search_text", query="^(a|aa)+$", regex=True)
    assert "stopped after 1 s" in result.text


def test_many_hits_are_cut_at_the_limit(room: Room) -> None:
    fill(room, "long.txt", 300)
    result = room.do("search_text", query="line", limit=10)
    assert result.text.count("long.txt:") == 10
    assert "more than 10 lines" in result.text
