"""What people do in browsers, on the real server, with others at work beside them."""

from __future__ import annotations

import sys
from contextlib import suppress

from playwright.sync_api import Browser, Error, Locator, Page, Route, expect

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
    expect(page.locator("#toasts")).to_contain_text("Answered: Store a salted hash")
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
    field = writer.locator("#comments textarea")
    field.fill("Half a sent; done")
    field.evaluate("field => field.setSelectionRange(11, 11)")
    before = writer.locator("#app").get_attribute("data-seen") or ""
    other.click("[data-opens=bead-new]")
    other.fill("#bead-new [name=title]", "One more thing")
    other.keyboard.press("Enter")
    expect(writer.locator("#app")).not_to_have_attribute("data-seen", before, timeout=SOON)
    writer.keyboard.type("ence")  # where the caret was
    assert field.input_value() == "Half a sentence; done"


ASKED = """
import django; django.setup()
from apps.projects.models import Project
from apps.decisions.services import decision_request
options = [{"key": "now", "label": "At once"}, {"key": "later"}]
asked = decision_request(
    project=Project.objects.get(name="acme links"), question="When?", options=options, needs_person=True
)
print(asked.pk)
"""


def test_what_one_writes_is_given_back_when_others_end_its_form(enter: Enter, server: Server) -> None:
    asked = run([sys.executable, "-c", ASKED], server.environment).split()[-1]
    slow, fast = enter("bob", "/decisions/"), enter("ada", "/decisions/")
    expect(slow.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    for page in (slow, fast):
        page.locator(f"#question-{asked} summary").click()
    slow.locator(f"#question-{asked} textarea").fill("It can wait: nobody uses it yet.")
    fast.locator(f"#question-{asked} textarea").fill("It hurts.")
    fast.locator(f"#question-{asked} [value=now]").check()
    fast.locator(f"#question-{asked} .btn").click()
    expect(fast.locator("#toasts")).to_contain_text("Answered: At once")
    expect(slow.locator("#toasts")).to_contain_text("It can wait: nobody uses it yet.", timeout=SOON)
    expect(fast.locator("#toasts")).not_to_contain_text("It hurts.")


def written(page: Page, asked: str, reason: str) -> Locator:
    """An answer that waits in the browser to be sent, and its card."""
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    card = page.locator(f"#question-{asked}")
    card.locator("summary").click()
    card.locator("textarea").fill(reason)
    card.locator("[value=now]").check()
    return card


def held(page: Page, card: Locator) -> Route:
    """Send the card's form, and keep it on its way."""
    routes: list[Route] = []

    def hold(route: Route) -> None:
        routes.append(route)

    page.route("**/answer/", hold)
    with page.expect_request("**/answer/"):
        card.locator(".btn").click()
    return routes[0]


def test_what_is_on_its_way_is_not_given_back_as_lost(enter: Enter, server: Server) -> None:
    asked = run([sys.executable, "-c", ASKED], server.environment).split()[-1]
    page = enter("bob", "/decisions/")
    card = written(page, asked, "It hurts.")
    route = held(page, card)
    answer = route.fetch()  # it has effect, and a refresh comes before the answer
    expect(card).to_have_count(0, timeout=SOON)
    route.fulfill(response=answer)
    expect(page.locator("#toasts")).to_contain_text("Answered: At once")
    expect(page.locator("#toasts")).not_to_contain_text("It hurts.")


def test_what_is_refused_after_its_form_has_gone_is_given_back_once(enter: Enter, server: Server) -> None:
    asked = run([sys.executable, "-c", ASKED], server.environment).split()[-1]
    slow, fast = enter("bob", "/decisions/"), enter("ada", "/decisions/")
    card = written(slow, asked, "It can wait.")
    route = held(slow, card)
    written(fast, asked, "It hurts.").locator(".btn").click()
    expect(card).to_have_count(0, timeout=SOON)
    route.continue_()
    expect(slow.locator("#toasts")).to_contain_text("answered already", timeout=SOON)
    expect(slow.locator("#toasts .warning", has_text="It can wait.")).to_have_count(1)


def test_what_one_writes_stays_when_the_page_has_gone(browser: Browser, server: Server) -> None:
    context = browser.new_context(base_url=server.address)  # one that may complain of what is not there
    server.enter(context, "bob")
    page = context.new_page()
    page.goto(server.page("bead"))
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    field = page.locator("#comments textarea")
    field.fill("Half an hour of thought")
    page.route(f"**{server.page('bead')}", lambda route: route.fulfill(status=404, body="Gone"))
    for _ in range(2):
        page.evaluate("htmx.trigger(document.querySelector('#app'), 'loom:changed')")
        expect(page.locator("#live")).to_have_text("Not there", timeout=SOON)
    expect(page.locator("#toasts .error")).to_have_count(1)
    expect(field).to_have_value("Half an hour of thought")
    page.unroute_all()
    page.evaluate("htmx.trigger(document.querySelector('#app'), 'loom:changed')")
    expect(page.locator("#live")).to_have_text("Live", timeout=SOON)
    expect(field).to_have_value("Half an hour of thought")
    context.close()


def test_who_is_signed_out_while_writing_keeps_it_and_sends_it_after_signing_in(
    enter: Enter, server: Server
) -> None:
    page = enter("bob", server.page("bead"))
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=SOON)
    field = page.locator("#comments textarea")
    field.fill("Half an hour of thought")
    page.context.clear_cookies(name="sessionid")
    page.locator("#comments button").click()
    expect(page.locator("#toasts")).to_contain_text("You are signed out.", timeout=SOON)
    expect(field).to_have_value("Half an hour of thought")
    server.enter(page.context, "bob")
    page.evaluate("htmx.trigger(document.querySelector('#app'), 'loom:changed')")
    expect(page.locator("#live")).to_have_text("Live", timeout=SOON)
    page.locator("#comments button").click()
    expect(page.locator("#comments .prose", has_text="Half an hour of thought")).to_be_visible(timeout=SOON)
    expect(field).to_have_value("", timeout=SOON)  # others' news may show it before its sending is over
    page.context.clear_cookies(name="sessionid")
    with suppress(Error):  # the stream may have led to the login already
        page.evaluate("htmx.trigger(document.querySelector('#app'), 'loom:changed')")
    there = f"{server.address}/login/?next={server.page('bead').replace('/', '%2F')}"
    expect(page).to_have_url(there, timeout=SOON)


def test_a_button_keeps_the_focus_of_who_presses_it_by_keyboard(enter: Enter) -> None:
    page = enter("ada", "/models/")
    page.get_by_role("button", name="Turn off").first.focus()
    for now, then in (("Turn off", "Turn on"), ("Turn on", "Turn off")):
        expect(page.locator(":focus")).to_have_text(now)
        page.keyboard.press("Enter")
        expect(page.locator(":focus")).to_have_text(then, timeout=SOON)


def test_a_second_click_does_not_send_a_form_twice(enter: Enter) -> None:
    page = enter("ada", "/models/new/")
    for field, given in (("name", "once"), ("endpoint", "http://127.0.0.1:9/v1"), ("model", "m")):
        page.fill(f"[name={field}]", given)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Connect and test").evaluate(
        "button => { button.click(); button.click() }"
    )
    expect(page.locator("main")).to_contain_text("once", timeout=SOON)
    page.wait_for_url("**/models/", timeout=SOON)
    assert len(sent) == 1, "a second one is refused: there is a model of that name"


def test_a_form_whose_sending_was_stopped_can_be_sent_again(enter: Enter) -> None:
    page = enter("ada", "/models/new/")
    page.clock.install()
    page.reload()
    for field, given in (("name", "again"), ("endpoint", "http://127.0.0.1:9/v1"), ("model", "m")):
        page.fill(f"[name={field}]", given)
    sent: list[str] = []

    def stop(route: Route) -> None:
        sent.append(route.request.method)
        route.fulfill(status=204)  # as after Escape: the page stays

    page.route("**/models/add/", stop)
    button = page.get_by_role("button", name="Connect and test")
    for _ in range(2):
        with page.expect_request("**/models/add/"):
            button.evaluate("button => { button.click(); button.click() }")
        expect(button).to_have_attribute("aria-disabled", "true")
        page.clock.fast_forward(10_000)
        expect(button).not_to_have_attribute("aria-disabled", "true")
    assert sent == ["POST", "POST"]


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
