"""edit_file's matching: the right place, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.editing.match import EditRefused, edit_text
from apps.agents.editing.text import decode, join_lines, split_lines
from apps.core.errors import BadInput, TooLarge
from tests.growth import assert_linear

FILE = """\
import os


class Shop:
    def open(self):
        for door in self.doors:
            door.unlock()
        return True

    def close(self):
        for door in self.doors:
            door.lock()
        return False
"""


def refusal(text: str, old: str, new: str) -> EditRefused:
    with pytest.raises(EditRefused) as caught:
        edit_text(text, old, new)
    return caught.value


def test_an_exact_piece_of_a_line_is_replaced() -> None:
    edit = edit_text(FILE, "door.unlock()", "door.unlock(self.key)")
    assert edit.text == FILE.replace("door.unlock()", "door.unlock(self.key)")
    assert (edit.first, edit.last, edit.how) == (7, 7, "")


def test_an_exact_match_tells_the_lines_it_now_takes() -> None:
    edit = edit_text(FILE, "        return False\n", "        self.lights = 0\n        return False\n")
    assert (edit.first, edit.last) == (13, 14)


def test_several_places_are_refused_with_their_lines() -> None:
    error = refusal(FILE, "        for door in self.doors:\n", "        pass\n")
    assert "2 places" in error.message
    assert "6, 11" in error.message
    assert "Add lines" in error.hint


def test_overlapping_places_count_as_several() -> None:
    assert "at lines 1, 1" in refusal("aaa", "aa", "b").message


def test_a_piece_inside_a_longer_word_is_no_place() -> None:
    assert "longer word, at line 1" in refusal("max = 10\n", "x = 1", "x = 2").message


def test_trailing_spaces_may_differ_on_either_side() -> None:
    text = "a = 1   \nb = 2\n"
    edit = edit_text(text, "a = 1\nb = 2  \n", "a = 1\nb = 3\n")
    assert edit.text == "a = 1   \nb = 3\n", "the unchanged line keeps its spaces"
    assert "trailing spaces" in edit.how


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_endings_of_the_file_are_kept(newline: str) -> None:
    text = FILE.replace("\n", newline)
    edit = edit_text(
        text, "            door.lock()\n        return False", "            door.bar()\n        return None"
    )
    expected = FILE.replace("door.lock()", "door.bar()").replace("return False", "return None")
    assert edit.text == expected.replace("\n", newline)


def test_crlf_in_the_arguments_meets_lf_in_the_file() -> None:
    edit = edit_text(FILE, "return True\r\n\r\n    def close", "return 1\r\n\r\n    def close")
    assert edit.text == FILE.replace("return True", "return 1")


def test_a_lone_crlf_line_in_an_lf_file_stays_one() -> None:
    edit = edit_text("a\r\nb\nc\n", "b\nc", "x\ny")
    assert edit.text == "a\r\nx\ny\n"


def test_indentation_shifted_as_a_whole_is_matched_and_the_replacement_shifted_alike() -> None:
    edit = edit_text(
        FILE,
        "def close(self):\n    for door in self.doors:\n        door.lock()\n",
        "def close(self):\n    for door in self.doors:\n        if door.open:\n            door.lock()\n",
    )
    assert (
        "        for door in self.doors:\n            if door.open:\n                door.lock()\n"
        in edit.text
    )
    assert "indentation" in edit.how


def test_indentation_that_is_part_of_a_deeper_one_is_no_exact_match() -> None:
    text = "    def one_method():\n        pass\n\n        def one_method():\n            pass\n"
    assert "at lines 1, 4" in refusal(text, "      def one_method():", "      def two():").message


def test_a_word_or_two_with_other_indentation_is_no_match() -> None:
    refusal("if a:\n    b()\nelse:\n    c()\n", "    else:\n", "    elif d:\n")


def test_too_much_indentation_is_taken_away() -> None:
    edit = edit_text(
        "alpha = 1\nbeta = 2\n", "    alpha = 1\n    beta = 2\n", "    alpha = 1\n    beta = 3\n"
    )
    assert edit.text == "alpha = 1\nbeta = 3\n"


def test_spaces_stand_for_the_tabs_of_the_file() -> None:
    text = "func f() {\n\tif x {\n\t\treturn 1\n\t}\n}\n"
    edit = edit_text(
        text, "    if x {\n        return 1\n    }\n", "    if x {\n        y()\n        return 1\n    }\n"
    )
    assert edit.text == "func f() {\n\tif x {\n\t\ty()\n\t\treturn 1\n\t}\n}\n"


def test_indentation_that_is_not_one_shift_is_refused() -> None:
    refusal(
        "if alpha:\n    beta()\n    c()\n", "if alpha:\n        beta()\n    c()\n", "if alpha:\n    d()\n"
    )


def test_a_replacement_that_cannot_be_shifted_is_refused() -> None:
    refusal("alpha = 1\nbeta = 2\n", "    alpha = 1\n    beta = 2\n", "  gamma = 3\n")


def test_tabs_and_spaces_are_never_mixed_by_a_shift() -> None:
    refusal("{\n\tcall_somebody()\n}\n", "call_somebody() \n", "if x:\n    call_somebody()\n")


def test_drift_in_lines_that_stay_is_forgiven_and_the_files_lines_survive() -> None:
    old = FILE.replace("return True", "return 1").replace("door.lock()", "door.lock()")
    new = old.replace("door.lock()", "door.bar()")
    edit = edit_text(FILE, old, new)
    assert edit.text == FILE.replace("door.lock()", "door.bar()")
    assert "return True" in edit.text
    assert "nearby lines differ" in edit.how


def test_an_insertion_between_known_lines_survives_drift_elsewhere() -> None:
    text = "alpha\nbeta\ngamma\ndelta\nepsilon\n"
    edit = edit_text(
        text, "alpha\nbeta\ngamma\nDELTA\nepsilon\n", "alpha\nbeta\nnew\ngamma\nDELTA\nepsilon\n"
    )
    assert edit.text == "alpha\nbeta\nnew\ngamma\ndelta\nepsilon\n"


def test_drift_in_the_lines_to_replace_is_refused() -> None:
    text = "alpha\nbeta\ngamma\ndelta\nepsilon\n"
    refusal(text, "alpha\nbeta\nGAMMA\ndelta\nepsilon\n", "alpha\nbeta\nzeta\ndelta\nepsilon\n")


def test_drift_without_two_unique_lines_is_refused() -> None:
    refusal("x = 1\n" * 6 + "only here\n", "x = 1\nonly here\nx = 2\n", "x = 1\nonly there\nx = 2\n")


def test_drift_does_not_choose_between_equal_lines_to_replace() -> None:
    text = "first line\nreturn None\nmiddle line\nreturn None\nlast line\n"
    old = "first line\nother\nreturn None\nother\nlast line\n"
    refusal(text, old, old.replace("return None", "return 1"))


def test_line_numbers_copied_from_read_file_are_taken_off() -> None:
    edit = edit_text(
        FILE, "   12\t            door.lock()\n   13\t        return False", "   12\t            pass\n"
    )
    assert edit.text.endswith("in self.doors:\n            pass\n\n")


def test_no_match_shows_the_closest_place_as_a_diff() -> None:
    error = refusal(
        FILE, "        for gate in self.gates:\n            gate.lock()\n        return False\n", "pass\n"
    )
    assert "not in the file" in error.message
    assert "lines 11-13" in error.hint
    assert "-            door.lock()" in error.hint
    assert "+            gate.lock()" in error.hint


def test_no_match_finds_a_similar_line_when_none_is_equal() -> None:
    error = refusal(FILE, "    def close(self, hard):\n", "    def shut(self):\n")
    assert "-    def close(self):" in error.hint


def test_text_that_is_like_nothing_in_the_file_says_so() -> None:
    assert "Nothing in the file is like it" in refusal(FILE, "zzzzqqqq(((\n", "y\n").hint


def test_an_edit_that_was_made_before_is_recognized() -> None:
    error = refusal(FILE, "door.open_it_now()", "door.unlock()")
    assert "already is, at line 7" in error.message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", "x", "old_text is empty"),
        ("\n", "x", "old_text is empty"),
        ("import os", "import os", "are the same"),
    ],
)
def test_edits_that_ask_for_nothing_are_refused(old: str, new: str, says: str) -> None:
    assert says in refusal(FILE, old, new).message


def test_an_empty_file_takes_the_new_text() -> None:
    assert edit_text("", "", "hello\n").text == "hello\n"


def test_removing_lines_leaves_the_rest() -> None:
    edit = edit_text(FILE, "import os\n\n\n", "")
    assert edit.text == FILE.removeprefix("import os\n\n\n")


def test_a_file_without_final_newline_stays_one() -> None:
    edit = edit_text("a  \nb", "a\nb\n", "a\nc\n")
    assert edit.text == "a  \nc"


def test_a_large_file_of_equal_lines_is_judged_in_time_that_grows_with_it() -> None:
    def judge(lines: int) -> None:
        text = "x = 1\n" * lines
        refusal(text, "x = 1 \n" * 500, "y\n")
        refusal(text, "  x = 1\n" * 500 + "z\n", "y\n")

    assert_linear(judge, 100_000)


lines = st.lists(st.sampled_from(["a", "b", "  c", "\td", "", "e f", "é", "end"]), max_size=12)


@given(lines, lines, lines, lines)
@settings(max_examples=300, deadline=None)
def test_a_unique_block_is_replaced_and_nothing_else(
    before: list[str], old: list[str], new: list[str], after: list[str]
) -> None:
    block = ["<<unique>>", *old, "<<also>>"]
    text = "\n".join([*before, *block, *after]) + "\n"
    edit = edit_text(text, "\n".join(block), "\n".join(["changed", *new]))
    assert edit.text == "\n".join([*before, "changed", *new, *after]) + "\n"


@given(lines, lines, st.sampled_from(["  ", "    ", "\t"]))
@settings(max_examples=200, deadline=None)
def test_an_edit_either_applies_at_the_marked_place_or_is_refused(
    before: list[str], after: list[str], indent: str
) -> None:
    text = "\n".join([*before, indent + "mark one", indent + "mark two", *after])
    try:
        edit = edit_text(text, "mark one\nmark two", "mark one\nmark 2")
    except EditRefused:
        return
    assert edit.text.split("\n") == [*before, indent + "mark one", indent + "mark 2", *after]


@given(st.text(alphabet="ab\r\n", max_size=40))
def test_splitting_and_joining_lines_loses_nothing(text: str) -> None:
    assert join_lines(split_lines(text)) == text


@pytest.mark.parametrize(
    "data",
    [
        b"plain\n",
        "naïve ☃\n".encode(),
        b"\xef\xbb\xbfwith mark\n",
        "wide\r\n".encode("utf-16"),
        b"caf\xe9\n",
        "x".encode("utf-16-be"),
    ],
)
def test_bytes_come_back_unchanged(data: bytes) -> None:
    try:
        file = decode(data, name="f")
    except BadInput:
        assert b"\0" in data
        return
    assert file.encode() == data


def test_latin_1_files_keep_their_encoding_when_edited() -> None:
    file = decode(b"caf\xe9 = 1\n", name="f")
    changed = file.with_text(edit_text(file.text, "= 1", "= 2").text)
    assert changed.encode() == b"caf\xe9 = 2\n"


def test_characters_the_encoding_lacks_are_refused() -> None:
    file = decode(b"caf\xe9\n", name="f")
    with pytest.raises(BadInput, match="latin-1"):
        file.with_text("☃").encode()


def test_binary_and_huge_files_are_refused() -> None:
    with pytest.raises(BadInput, match="binary"):
        decode(b"\x89PNG\0\0", name="a.png")
    with pytest.raises(TooLarge):
        decode(b"x" * 1_000_001, name="big.txt")


def test_a_line_without_its_indentation_does_not_become_several() -> None:
    error = refusal(FILE, "return True", "if self.lights:\n    return True")
    assert "leaves out the indentation" in error.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("            door.lock()\n        return Fa", "            door.bar()\n        return None"),
        ("            door.lock()\n        return ", "            door.bar()\n        return None"),
        (
            "        for door in self.doors:\n            door.lock(",
            "        for door in self.doors:\n            door.bar()",
        ),
        ("            door.unlock(", "            door.bar()"),
        ("        for door ", "        for window in self.windows"),
    ],
)
def test_old_text_that_breaks_off_within_a_line_is_refused(old: str, new: str) -> None:
    refusal(FILE, old, new)


def test_a_beginning_of_a_line_of_which_nothing_stays_is_refused() -> None:
    text = "assert found(rows) == wanted\n"
    assert "before '== wanted'" in refusal(text, "assert found(rows)", "refuse(404)").message
    assert (
        edit_text(text, "assert found(rows)", "assert known(rows)").text == "assert known(rows) == wanted\n"
    )
    assert edit_text(text, "assert found(rows) ", "").text == "== wanted\n"
    # A name that is exchanged leaves what follows, however different the new one is.
    assert edit_text("log.info(text)\n", "log.info", "print").text == "print(text)\n"


def test_an_edit_tells_whether_it_splits_a_line() -> None:
    text = "from a import b, c\nx = 1\n"
    assert edit_text(text, "from a import b,", "from a import d,").splits_line
    for old, new in (
        ("b, c", "d"),
        ("from a import b, c", "import a"),
        ("import b", "import d"),
        ("x = 1\n", ""),
    ):
        assert not edit_text(text, old, new).splits_line, old


def test_a_function_of_another_name_is_no_drift() -> None:
    old = FILE[FILE.index("    def close") :].replace("def close", "def shut")
    error = refusal(FILE, old, old.replace("door.lock()", "door.bar()"))
    assert "-    def close(self):" in error.hint


def test_a_definition_of_one_line_of_another_name_is_no_drift() -> None:
    rest = "    @property\n    def arguments(self) -> dict: ...\n\n\ndef bind(): ...\n"
    file = f"class Call:\n    def name(self) -> str: ...\n{rest}"
    old = f"    def other_name(self) -> str: ...\n{rest}"
    refusal(file, old, old.replace("    def arguments(self) -> dict: ...", "    pass"))


def test_a_change_that_stands_there_is_not_made_twice_by_tolerance() -> None:
    text = "alpha = 1\nbeta = 2\ngamma = 3\n\ndelta = 4\n"
    refusal(text, "alpha = 1\nbeta = 2  \n\n", "alpha = 1\nbeta = 2\ngamma = 3\n\n")


def test_removing_the_end_of_a_file_without_final_newline_leaves_none() -> None:
    assert edit_text("a\nb\nc", "b\nc\n", "b\n").text == "a\nb"
