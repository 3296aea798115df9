"""What the eye meets: nothing to press is out of sight on a laptop, and only what goes on now moves."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Enter
from tests.browser.server import Server

LAPTOP = 1280
WIDER = """
    [...document.querySelectorAll(".scroll:has(table)")]
        .filter(box => box.scrollWidth > box.clientWidth)
        .map(box => `${box.ariaLabel}: ${box.scrollWidth} of ${box.clientWidth}`)
"""
TURNING = """
    document.getAnimations()
        .filter(one => one.animationName === "turn")
        .map(one => [one.effect.target.matches("svg.shape"), one.effect.target.closest("#events") !== null])
"""


@pytest.mark.parametrize(
    ("who", "address"),
    [
        ("ada", "/agents/"),
        ("ada", "/models/"),
        ("ada", "/motivations/"),
        ("ada", "/runs/"),
        ("root", "/installation/"),
    ],
)
def test_a_table_fits_on_a_laptop(enter: Enter, who: str, address: str) -> None:
    page = enter(who, address, width=LAPTOP)
    expect(page.locator("table").first).to_be_visible()
    assert page.evaluate(WIDER) == []


def test_an_agent_is_paused_with_a_thumb(enter: Enter) -> None:
    """With the longest names too; on a telephone its buttons were a screen to the right."""
    for who in ("ada", "eve"):
        page = enter(who, "/agents/", width=390)
        assert page.evaluate(WIDER) == []
        expect(page.get_by_role("button", name="Pause").first).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("who", ["ada", "eve"])
def test_rows_are_read_and_pressed_on_a_telephone_without_moving_sideways(
    enter: Enter, server: Server, who: str
) -> None:
    beads = next(one for one in (server.busy if who == "ada" else server.evil) if one.endswith("/beads/"))
    page = enter(who, "/models/", width=390)
    expect(page.get_by_role("button", name="Turn off").first).to_be_in_viewport(ratio=1)
    for address in ("/models/", "/runs/", "/decisions/", "/conversations/", "/people/", "/personas/", beads):
        page.goto(address)
        assert page.evaluate(WIDER) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") == 390, address


def test_only_what_goes_on_now_turns_and_as_a_whole(enter: Enter, server: Server) -> None:
    """A part of an svg is painted anew for each frame: a page left open kept a quarter of a core at work."""
    page = enter("ada", server.page("project"))
    expect(page.locator("#events .shape.run").first).to_be_visible()
    turning = page.evaluate(TURNING)
    assert turning, "agents are at work"
    assert {tuple(one) for one in turning} == {(True, False)}


def test_nothing_stands_where_nothing_is_being_written(enter: Enter) -> None:
    page = enter("ada", "/beads/al-5/")
    expect(page.locator(".glimpse").first).to_be_attached()
    expect(page.locator(".glimpse").first).to_be_hidden()
