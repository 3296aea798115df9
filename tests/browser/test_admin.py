"""The admin as operators see it: Loom's look, without faults of accessibility, under the strict policy."""

from __future__ import annotations

from typing import Literal

from playwright.sync_api import Browser, expect

from tests.browser.admin_pages import ADMIN, MAIN
from tests.browser.conftest import Enter
from tests.browser.server import Server
from tests.browser.test_pages import faults

LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1360), ("dark", 390))


def test_its_pages_have_no_faults_and_fit_narrow_windows(browser: Browser, server: Server) -> None:
    """Without the policy, which refuses the styles that axe itself puts in; the next test has it."""
    found: dict[str, list[str]] = {}
    context = browser.new_context(base_url=server.address, bypass_csp=True, reduced_motion="reduce")
    server.enter(context, "root")
    page = context.new_page()
    for address in MAIN:
        page.goto(address)
        page.wait_for_selector("h1")
        for scheme, width in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            if told := faults(page):
                found[f"{address} {scheme} {width}"] = told
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found[f"{address} {width}"] = ["is wider than the window"]
    context.close()
    assert found == {}


def test_no_page_breaks_the_policy_or_a_script(enter: Enter) -> None:
    page = enter("root", "/admin/")
    for address in ADMIN:
        page.goto(address)
        page.wait_for_load_state("load")


def test_it_has_the_theme_that_was_chosen_on_the_pages(enter: Enter) -> None:
    page = enter("root", "/admin/")
    page.emulate_media(color_scheme="light")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.context.add_cookies([{"name": "theme", "value": "dark", "url": page.url}])
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_an_operator_cancels_a_run_after_being_asked(enter: Enter) -> None:
    page = enter("root", "/admin/engine/run/?status__exact=waiting")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("h1")).to_have_text("Cancel: are you sure?")
    page.get_by_role("link", name="No, go back").click()
    expect(page.locator("h1")).to_have_text("View run")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("h1")).to_have_text("Cancel: are you sure?")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".messagelist")).to_contain_text("1 asked to stop at the next step.")


def test_on_a_telephone_all_of_an_action_for_many_can_be_read_and_reached(enter: Enter) -> None:
    page = enter("root", "/admin/beads/bead/", width=390)
    page.locator("#action-toggle").check()
    controls = page.locator(".actions").first.locator("select, input[type=text], button")
    expect(controls).to_have_count(3)
    for control in controls.all():
        box = control.bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= 390 - 16, control
        assert box["height"] >= 32, control
    words = page.locator(".actions select").first.bounding_box()
    assert words is not None
    assert words["width"] > 200


def test_queues_and_workers_are_read_anew_while_looked_at(enter: Enter) -> None:
    page = enter("root", "/admin/engine/run/machinery/")
    expect(page.locator("#machinery")).to_contain_text("Embedded, version")
    before = page.locator("#machinery time").first.get_attribute("datetime") or ""
    expect(page.locator("#machinery time").first).not_to_have_attribute("datetime", before, timeout=30_000)
