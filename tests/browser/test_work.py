"""What people do in browsers, on the real server, with others at work beside them."""

from __future__ import annotations

import sys

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Enter
from tests.browser.server import Server, run

SOON = 15_000  # ms; the machine may be busy


def board_of(server: Server) -> str:
    return server.page("board")


def tile(page: Page, key: str, column: str) -> Locator:
    return page.locator(f'[data-column="{column}"] [data-bead="{key}"]')


def test_signing_in_leads_home_and_colors_are_kept(enter: Enter) -> None:
    page = enter("", "/")
    page.fill("[name=username]", "bob")
    page.fill("[name=password]", "a long password")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Home")
    page.click(".themes button[value=dark]")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_decision_is_answered_by_keyboard(enter: Enter) -> None:
    page = enter("ada", "/decisions/")
    question = page.locator("article.need", has_text="QA asks before storing")
    expect(question).to_be_visible()
    for key in ("j", "1"):
        page.keyboard.press(key)
    expect(question.locator("[value=hash]")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Answered: hash")
    expect(page.locator("#decided")).to_contain_text("Keep visitor addresses?")


def test_what_one_moves_the_other_sees_and_undo_takes_it_back(enter: Enter, server: Server) -> None:
    ours, theirs = enter("ada", board_of(server)), enter("bob", board_of(server))
    for page in (ours, theirs):
        expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    card = ours.locator('[data-column="waiting"] [data-bead]').last
    key = card.get_attribute("data-bead") or ""
    ours.drag_and_drop(f'[data-bead="{key}"]', '[data-column="done"]', source_position={"x": 40, "y": 8})
    for page in (ours, theirs):
        expect(tile(page, key, "done")).to_be_visible(timeout=SOON)
    ours.locator("#toasts").get_by_text("Undo").click()
    for page in (ours, theirs):
        expect(tile(page, key, "done")).to_have_count(0, timeout=SOON)


def test_a_card_is_moved_and_put_back_by_keyboard(enter: Enter, server: Server) -> None:
    page = enter("ada", board_of(server))
    key = page.locator('[data-column="waiting"] [data-bead]').first.get_attribute("data-bead") or ""
    page.locator(f'[data-bead="{key}"] h3 a').focus()
    page.keyboard.press("m")
    expect(page.locator(":focus")).to_have_text("Move to Ready")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Move to Needs you")
    page.keyboard.press("Enter")
    expect(tile(page, key, "person")).to_be_visible(timeout=SOON)
    page.locator("#toasts").get_by_text("Undo").press("Enter")
    expect(tile(page, key, "waiting")).to_be_visible(timeout=SOON)


def test_what_one_types_outlives_what_arrives(enter: Enter, server: Server) -> None:
    writer, other = enter("bob", server.page("bead")), enter("ada", board_of(server))
    expect(writer.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    field = writer.locator("#actions textarea")
    field.fill("Half a sent; done")
    field.evaluate("field => field.setSelectionRange(11, 11)")
    before = writer.locator("#app").get_attribute("data-seen") or ""
    other.click("[data-opens=bead-new]")
    other.fill("#bead-new [name=title]", "One more thing")
    other.keyboard.press("Enter")
    expect(writer.locator("#app")).not_to_have_attribute("data-seen", before, timeout=SOON)
    writer.keyboard.type("ence")  # where the caret was
    assert field.input_value() == "Half a sentence; done"


def test_the_palette_finds_and_goes(enter: Enter) -> None:
    page = enter("ada", "/")
    page.keyboard.press("Control+k")
    page.keyboard.type("Expire")
    expect(page.locator("#found [aria-selected=true]")).to_contain_text("Expire links", timeout=SOON)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Expire links", timeout=SOON)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()


def test_requirements_appear_while_one_types(enter: Enter) -> None:
    page = enter("ada", "/projects/new/")
    page.locator("[name=prd]").press_sequentially(
        "# Shorten\n\n## Requirements\n\n- It stores links.\n- It lists them.\n"
    )
    expect(page.locator("#preview")).to_contain_text("Shorten: 2 requirements", timeout=SOON)


def test_a_viewer_is_shown_nothing_that_writes(enter: Enter, server: Server) -> None:
    page = enter("vic", board_of(server))
    expect(page.locator(".tile").first).to_be_visible()
    assert page.locator(".tile .menu, .pick, [draggable], [data-opens=bead-new]").count() == 0
    page.goto(server.page("bead"))
    assert page.locator("main form").count() == 0


# What happens while nobody serves pages: agents and their workers go on.
MEANWHILE = """
import django; django.setup()
from apps.beads.models import Bead
from apps.beads.services import bead_create
bead_create(project=Bead.objects.get(key="{key}").project, title="Made meanwhile", actor="worker")
"""


def test_a_page_survives_a_restart_of_the_server(enter: Enter, server: Server) -> None:
    page = enter("ada", board_of(server))
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    key = page.locator("[data-bead]").first.get_attribute("data-bead") or ""
    server.stop()
    expect(page.locator("#live")).to_have_text("Not connected; trying again", timeout=SOON)
    page.click("[data-opens=bead-new]")
    page.fill("#bead-new [name=title]", "Written while away")
    page.keyboard.press("Enter")
    expect(page.locator("#bead-new .note.error")).to_contain_text("cannot be reached", timeout=SOON)
    run([sys.executable, "-c", MEANWHILE.format(key=key)], server.environment)
    server.start()
    expect(page.locator("#live")).to_have_text("Live", timeout=30_000)
    expect(page.locator("[data-bead]", has_text="Made meanwhile")).to_be_visible(timeout=SOON)
    expect(page.locator("#bead-new [name=title]")).to_have_value("Written while away")
    page.locator("#bead-new [name=title]").press("Enter")
    expect(page.locator("[data-bead]", has_text="Written while away")).to_be_visible(timeout=SOON)


def test_a_notification_is_archived_taken_back_and_read_by_opening_it(enter: Enter) -> None:
    page = enter("ada", "/notifications/")
    unread, badge = page.locator("li.unread"), page.locator(".rail [data-go=notifications] b")
    count = unread.count()
    unread.first.get_by_role("button", name="Archive").click()
    expect(badge).to_have_text(str(count - 1), timeout=SOON)
    page.locator("#toasts").get_by_text("Undo").click()
    expect(badge).to_have_text(str(count), timeout=SOON)
    unread.get_by_role("link").first.click()
    expect(badge).to_have_text(str(count - 1), timeout=SOON)
    assert "/notifications/" not in page.url
