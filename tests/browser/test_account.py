"""One's own account in browsers: another one is signed out from here."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Enter
from tests.browser.server import Server
from tests.browser.test_pages import SCHEMES, faults
from tests.browser.test_work import SOON


def test_a_browser_is_signed_out_from_another_one(enter: Enter, server: Server) -> None:
    there = enter("", "/login/")
    there.fill("[name=username]", "bob")
    there.fill("[name=password]", "a long password")
    there.keyboard.press("Enter")
    expect(there.locator("h1")).to_have_text("Home")
    here = enter("bob", "/account/")
    rows = here.locator("li[id^=browser-]")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Chrome on Linux")
    expect(here.locator("em.tag", has_text="this browser")).to_have_count(1)
    for scheme in SCHEMES:
        here.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert faults(here) == []
    rows.get_by_role("button").press("Enter")
    expect(rows).to_have_count(0, timeout=SOON)
    there.goto("/account/")
    expect(there.locator("h1")).to_have_text("Sign in")


def test_operators_see_the_installation_and_its_settings(enter: Enter) -> None:
    page = enter("root", "/installation/")
    expect(page.locator("#health")).to_contain_text("Database")
    cell = page.get_by_role("cell", name="LOOM_DATA_DIR", exact=True)
    expect(page.get_by_role("row").filter(has=cell)).to_contain_text("environment")
