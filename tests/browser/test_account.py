"""One's own account in browsers: another one is signed out from here."""

from __future__ import annotations

import sys
from email import message_from_string, policy
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.activity.test_sending import WORKER, MailServer
from tests.browser.conftest import Enter
from tests.browser.server import Server, run
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


def test_a_new_address_is_in_force_once_the_link_that_comes_there_is_opened(
    enter: Enter, server: Server, mail_server: MailServer
) -> None:
    page = enter("bob", "/account/")
    page.get_by_label("E-mail").fill("bob@elsewhere.example")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#pending")).to_contain_text("bob@elsewhere.example waits to be confirmed")
    link = link_in(mail_for("bob", server, mail_server))
    assert [enter("vic").request.get(link).status, enter("vic").request.post(link).status] == [404, 403]

    page.goto(link)
    expect(page.locator("h1")).to_have_text("Confirm your e-mail address")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert faults(page) == []
    expect(page.locator("main")).to_contain_text(
        "bob@elsewhere.example will be the address of the account bob"
    )
    page.get_by_role("button", name="Confirm").press("Enter")
    expect(page.get_by_text("bob@elsewhere.example is your e-mail address now.")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_have_value("bob@elsewhere.example")
    expect(page.locator("#pending")).to_have_count(0)
    assert page.request.get(link).status == 404  # once


def mail_for(who: str, server: Server, mail_server: MailServer) -> str:
    """The text of the only e-mail that came for somebody, after a real worker has sent what waits."""
    run([sys.executable, *WORKER], server.environment)
    (mail,) = [text for to, text in mail_server.came if to == who]
    return str(message_from_string(mail, policy=policy.default).get_content())


def link_in(text: str) -> str:
    """The part of the first address in the text that is the same at this server."""
    address = next(word for word in text.split() if word.startswith("http://"))
    return urlsplit(address).path


def test_operators_see_the_installation_and_its_settings(enter: Enter) -> None:
    page = enter("root", "/installation/")
    expect(page.locator("#health")).to_contain_text("Database")
    cell = page.get_by_role("cell", name="LOOM_DATA_DIR", exact=True)
    expect(page.get_by_role("row").filter(has=cell)).to_contain_text("environment")
