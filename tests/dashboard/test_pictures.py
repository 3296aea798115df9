"""What is drawn: the weave, the work graph, diffs; and Markdown as it is shown. All without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.agents.diffs import MAX_ROWS, files_of
from apps.dashboard.graph import ROOM, Node, draw
from apps.dashboard.markdown import rendered
from apps.dashboard.templatetags.parts import weave_shapes
from apps.dashboard.views_workflows import drawn_of
from apps.dashboard.weave import Crossing, Frame, Moment, Stretch, picture
from apps.workflows.graph_library import built_in

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
FRAME = Frame(NOON, NOON + timedelta(minutes=10))


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_a_thread_runs_from_its_start_to_its_end_in_its_lane() -> None:
    drawn = picture(FRAME, ["Ann", "Bob"], [Stretch("Bob", at(0), at(5), "done", "x", "/s/")], [], [])
    assert drawn.shapes[0].path == "M128.0 52H573.0"
    assert not drawn.shapes[0].dot


def test_work_that_goes_on_ends_in_a_dot_and_a_wait_in_a_diamond() -> None:
    stretches = [
        Stretch("Ann", at(1), None, "working", "x", "/s/"),
        Stretch("Ann", at(1), None, "person", "x", "/d/", is_wait=True),
    ]
    work, wait = picture(FRAME, ["Ann"], stretches, [], []).shapes
    assert list(work.dot or ()) == [1018.0, 22]
    assert wait.is_dotted
    assert wait.knot.startswith("M1018.0 16.5")


def test_a_merge_joins_main_and_a_review_another_thread() -> None:
    crossings = [
        Crossing("Ann", "Bob", at(2), at(4), "done", "x", "/r/"),
        Crossing("Bob", "", at(5), at(6), "done", "x", "/m/"),
    ]
    drawn = picture(FRAME, ["Ann", "Bob"], [], [Moment("Ann", at(3), "failed", "x", "/e/")], crossings)
    review, merge, knot = drawn.shapes
    assert review.path.endswith("484.0 52")
    assert not review.dot
    assert list(merge.dot or ()) == [662.0, drawn.main_y]
    assert knot.state == "failed"


def test_what_is_outside_of_the_time_shown_stays_within_the_picture() -> None:
    shapes = [
        Stretch("Ann", at(-50), at(90), "done", "x", "/s/"),
        Stretch("Eve", at(1), at(2), "done", "x", "/s/"),
    ]
    drawn = picture(FRAME, ["Ann"], shapes, [], [])
    assert [shape.path for shape in drawn.shapes] == ["M128 22H1018.0".replace("128", "128.0")]


@pytest.mark.parametrize(("length", "count"), [(timedelta(seconds=3), 3), (timedelta(weeks=50), 24)])
def test_times_are_told_at_a_few_places(length: timedelta, count: int) -> None:
    assert 1 <= len(picture(Frame(NOON, NOON + length), [], [], [], []).ticks) <= count


def node(number: int, *, is_done: bool = False) -> Node:
    return Node(number, f"k-{number}", f"Bead {number}", "open", is_done)


def test_every_edge_of_the_graph_goes_right() -> None:
    drawn = draw([node(n) for n in range(5)], {1: [0], 2: [0], 3: [1, 2], 4: [3, 99]})
    place = {box.node.id: box.x for box in drawn.boxes}
    assert place[0] < place[1] == place[2] < place[3] < place[4]
    assert len(drawn.edges) == 5


def test_the_critical_path_is_the_longest_chain_of_what_is_open() -> None:
    nodes = [node(0, is_done=True), *(node(n) for n in range(1, 6))]
    drawn = draw(nodes, {1: [0], 2: [1], 3: [2], 4: [0], 5: [4]})
    assert [one.id for one in drawn.critical] == [1, 2, 3]
    assert sum(edge.is_critical for edge in drawn.edges) == 2


def test_a_graph_of_nothing_or_of_what_is_done_has_no_critical_path() -> None:
    assert draw([], {}).boxes == ()
    assert draw([node(0, is_done=True)], {}).critical == []


@pytest.mark.parametrize("name", sorted(built_in()))
def test_a_built_in_workflow_fits_a_window_without_scrolling(name: str) -> None:
    drawn = drawn_of(built_in()[name])
    assert drawn.width <= ROOM
    assert all(len(box.words) == len(box.node.title) for box in drawn.boxes)


def test_what_is_drawn_of_the_weave_cannot_act() -> None:
    named = Stretch("Ann", at(0), at(5), "done", '<script>"x"</script>', '/s/"><b>')
    drawn = picture(FRAME, ["Ann"], [named], [], [])
    html = weave_shapes(drawn.shapes)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html


DIFF = """diff --git a/src/store.py b/src/store.py
index 1..2 100644
--- a/src/store.py
+++ b/src/store.py
@@ -4,3 +4,4 @@ def find(code):
 same
-was
-gone
+is
+more
+new
\\ No newline at end of file
diff --git a/logo.png b/logo.png
Binary files a/logo.png and b/logo.png differ
"""


def test_a_diff_is_read_with_the_numbers_of_both_sides() -> None:
    store, logo = files_of(DIFF)
    assert (store.path, store.added, store.removed) == ("src/store.py", 3, 2)
    assert [(row.kind, row.old, row.new) for row in store.rows[:4]] == [
        ("hunk", None, None),
        ("same", 4, 4),
        ("removed", 5, None),
        ("removed", 6, None),
    ]
    assert logo.rows[0].text == "Binary files a/logo.png and b/logo.png differ"


def test_side_by_side_what_was_stands_beside_what_is() -> None:
    pairs = [(old.text if old else None, new.text if new else None) for old, new in files_of(DIFF)[0].pairs()]
    assert pairs[2:5] == [("was", "is"), ("gone", "more"), (None, "new")]


def test_a_diff_that_is_too_long_says_how_much_is_left_out() -> None:
    text = "diff --git a/x b/x\n@@ -0,0 +1,2000 @@\n" + "+line\n" * 2000
    (file,) = files_of(text)
    assert len(file.rows) == MAX_ROWS
    assert file.hidden == 2001 - MAX_ROWS


@pytest.mark.parametrize("text", ["", "nonsense", "@@ -1 +1 @@\n+x", "diff --git\n@@ x"])
def test_what_is_no_diff_does_no_harm(text: str) -> None:
    assert sum(file.added for file in files_of(text)) == 0


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "<img src=x onerror=alert(1)>",
        "[x](data:text/html,<script>alert(1)</script>)",
        "![x](http://elsewhere/pixel.png)",
        "<a href=x style=color:red>",
    ],
)
def test_markdown_cannot_act(text: str) -> None:
    html = rendered(text)
    assert not any(
        bad in html for bad in ("<script", "<img", 'javascript:alert(1)"', 'href="data:', "<a href=x")
    )


def test_markdown_is_formatted_and_its_headings_stay_below_those_of_the_page() -> None:
    html = rendered("# Title\n\n**bold** `code`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert html.startswith("<h3>Title</h3>")
    assert "<strong>bold</strong> <code>code</code>" in html
    assert "<td>1</td>" in html
