"""The map of a repository, and finding definitions and uses in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.agents.actions.syntax import syntax_finding
from apps.agents.codemap import CHARS_PER_TOKEN, code_map, definitions_of
from apps.core.errors import NotFound
from tests.agents.actions_room import Room, make_room

PYTHON = """\
import os

LIMIT = 3


class Shop:
    size: int = 1

    def open(self): ...

    async def _lock(self): ...


if os.name == "posix":
    def main(): ...
"""
SOURCES = {
    "a.py": (
        PYTHON,
        ["LIMIT", "Shop", "Shop.size", "Shop.open", "Shop._lock", "main"],
    ),
    "a.ts": (
        "interface A { x: number }\nexport class B<T> { go(): void { } }\nconst f = () => 1;\nenum E { X }\n",
        ["A", "B", "B.go", "f", "E"],
    ),
    "a.tsx": ("export function App() { return <p>hi</p>; }\n", ["App"]),
    "a.js": ("function a() { function b() {} }\nclass C { m() {} }\n", ["a", "C", "C.m"]),
    "a.go": ("package b\ntype S struct{}\nfunc (s *S) Go() {}\nfunc F() {}\n", ["S", "S.Go", "F"]),
    "a.rs": (
        "struct P<T> { x: T }\nimpl<T> P<T> { pub fn new() {} }\ntrait Tr { fn q(&self); }\n",
        ["P", "P.new", "Tr", "Tr.q"],
    ),
    "A.java": ("class D { D() {} void m() {} enum E { X } }\n", ["D", "D.D", "D.m", "D.E"]),
    "notes.md": ("# def nothing(): pass\n", []),
}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


@pytest.mark.parametrize("path", SOURCES)
def test_definitions_of_a_file(path: str) -> None:
    text, names = SOURCES[path]
    found = definitions_of(path, text)
    assert [f"{one.owner}.{one.name}" if one.owner else one.name for one in found] == names


@pytest.mark.parametrize("path", SOURCES)
def test_whole_sources_have_no_finding(path: str) -> None:
    assert syntax_finding(path, SOURCES[path][0]) == ""


def test_python_that_does_not_parse_still_tells_its_heads() -> None:
    found = definitions_of("a.py", "def one(:\n    pass\n\nclass Two:\n    def three(self): ...\n")
    assert [(one.name, one.line) for one in found] == [("one", 1), ("Two", 4), ("three", 5)]


@pytest.mark.parametrize("path", ["a.py", "a.js", "a.ts", "a.go", "a.rs", "A.java"])
@pytest.mark.parametrize("text", ["", "\0\0", "}" * 5000, "(" * 5000, "é\ud800", "class", "\ufeffx = 1\n"])
def test_no_text_breaks_the_readers(path: str, text: str) -> None:
    definitions_of(path, text)
    syntax_finding(path, text)


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("a.js", "function a() {\n  return 1;\n", "line "),
        ("a.ts", "const a: number = 1;\nconst = 2;\n", "line 2"),
        ("a.go", "package a\nfunc A() {\n\tx := \n}\n", "line "),
        ("a.rs", "fn a() {}\nfn b( {}\n", "line 2"),
        ("A.java", "class A {\n void m() { int x = ; }\n}\n", "line 2"),
        ("a.xml", "<a>\n<b></a>\n", "line 2"),
        ("a.py", "x = 1\nreturn x\n", "line 2"),
    ],
)
def test_a_syntax_error_is_told_with_its_line(path: str, text: str, line: str) -> None:
    assert line in syntax_finding(path, text)


def reader(files: dict[str, str]) -> Callable[[str], bytes]:
    return lambda path: files[path].encode()


def test_the_map_tells_files_and_what_they_define() -> None:
    files = {
        "README.md": "# Shop",
        "shop/a.py": PYTHON,
        "shop/b.go": SOURCES["a.go"][0],
        "node_modules/x.js": "",
    }
    assert code_map(files, reader(files)).split("\n") == [
        "README.md",
        "shop/",
        "  a.py: Shop(open), main",
        "  b.go: S(Go), F",
    ]


def test_a_map_keeps_to_its_budget_and_prefers_what_others_use() -> None:
    files = {
        f"pkg/leaf_{n}.py": f"from pkg.base import Central\n\ndef leaf_{n}_only(): ...\n" for n in range(200)
    }
    files["pkg/base.py"] = "class Central:\n    def run(self): ...\n"
    for tokens in (60, 200, 900, 1100, 5000):
        told = code_map(files, reader(files), tokens=tokens)
        assert len(told) <= tokens * CHARS_PER_TOKEN
        assert "Central" in told
    assert "(201 files)" in code_map(files, reader(files), tokens=60)
    assert code_map(files, reader(files), tokens=5000).count("_only") == 200


def test_files_that_cannot_be_read_are_only_named() -> None:
    def read(path: str) -> bytes:
        raise NotFound(f"no {path}")

    assert code_map(["a.py", "link.py"], read) == "a.py\nlink.py"


def test_a_definition_is_found_by_name_and_by_owner(room: Room) -> None:
    (room.root / "shop/more.py").write_text("class Till:\n    def total(self):\n        return total([1])\n")
    both = room.do("find_definition", symbol="total").text
    assert "shop/till.py:1-2 (function): def total(prices):" in both
    assert "shop/more.py:2-3 (method of Till): def total(self):" in both
    one = room.do("find_definition", symbol="Till.total").text
    assert "till.py:1" not in one
    assert "more.py:2" in one
    assert "No definition" in room.do("find_definition", symbol="sum").text


def test_references_say_where_they_stand_and_leave_out_the_definition(room: Room) -> None:
    (room.root / "shop/use.py").write_text(
        "from shop.till import total\n\n\ndef bill():\n    return total([1]) + subtotal\n"
    )
    found = room.do("find_references", symbol_name="total")
    assert found.text.split("\n") == [
        "shop/use.py:1: from shop.till import total",
        "shop/use.py:5 (in bill): return total([1]) + subtotal",
    ]
    assert found.data["found"] == 2


@pytest.mark.parametrize("symbol", ["", "a b", "x;rm", "a" * 300, "../x"])
def test_what_is_no_name_is_refused(room: Room, symbol: str) -> None:
    with pytest.raises(Exception, match="find_definition"):
        room.do("find_definition", symbol=symbol)


def test_navigation_stays_inside_and_off_links(room: Room) -> None:
    assert not room.do("find_references", symbol="root", path="../..").ok
    (room.root / "out.py").symlink_to("/etc/passwd")
    assert room.do("find_references", symbol="root").text == "Nothing uses root."
