"""One real server with one world, and one browser, for all tests of this folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request

from tests.activity.test_sending import MailServer
from tests.browser.server import CHROMIUM, MISSING, Server, browsing, serving

# What Chromium says of itself when the server is away, as one test wants it to be.
AWAY = (
    "Failed to fetch",
    "ERR_CONNECTION_REFUSED",
    "ERR_INCOMPLETE",
    "ERR_NETWORK",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY",
    "network error",
)

Enter = Callable[..., Page]


@pytest.fixture(scope="package")  # no longer: its loop of events stands in the way of other tests
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("There is no Chromium: apt-get install chromium")
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="package")
def mail_server() -> Iterator[MailServer]:
    with MailServer() as mail_server:
        threading.Thread(target=mail_server.serve_forever, args=(0.02,), daemon=True).start()
        yield mail_server
        mail_server.shutdown()


@pytest.fixture(scope="package")
def server(
    browser: Browser, mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("loom"), mail=mail_server.url) as server:
        yield server


@pytest.fixture
def enter(browser: Browser, server: Server) -> Iterator[Enter]:
    """Opens a page for somebody who is signed in; no page may complain, or load from elsewhere."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        is_meant = message.location["url"].removeprefix(server.address) in MISSING or any(
            word in message.text for word in AWAY
        )
        if message.type == "error" and not is_meant:
            said.append(f"{message.text} {message.location['url']}")

    def fail(error: Error) -> None:
        if "Transition was aborted" not in str(error):  # by the next page, which came before it could begin
            said.append(str(error))

    def watch(request: Request) -> None:
        if not request.url.startswith((server.address, "data:", "blob:")):
            said.append(f"elsewhere: {request.url}")

    def open_page(who: str = "ada", address: str = "/", *, width: int = 1360) -> Page:
        context = browser.new_context(base_url=server.address, viewport={"width": width, "height": 900})
        context.set_default_timeout(15_000)
        contexts.append(context)
        if who:
            server.enter(context, who)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", fail)
        page.on("request", watch)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
