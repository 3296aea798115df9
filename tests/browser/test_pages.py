"""What browsers see: every page without faults of accessibility, by keyboard, magnified and narrow."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from axe_playwright_python.base import AXE_SCRIPT
from django.urls import URLPattern, reverse
from playwright.sync_api import Page

from apps.accounts.urls import urlpatterns as account_patterns
from apps.dashboard.urls import urlpatterns as dashboard_patterns
from tests.browser.conftest import Enter
from tests.browser.server import MISSING, ROOT, Server, route_of

STATIC = ROOT / "static"
LOOKING = (Path(__file__).parent / "looking.js").read_text(encoding="utf-8")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGE_BYTES = 100_000
SCRIPT_BYTES = 60_000
DESKTOP, NARROW = (1360, 900), (390, 900)
ZOOMED = (DESKTOP[0] // 2, DESKTOP[1] // 2)  # what a page has left of its window at 200 %
STOPS = 40  # of Tab on each page
COLORS = ["color-contrast", "link-in-text-block"]  # what another color scheme can break

# No pages: what the palette fetches, a file, and what only leads elsewhere.
PARTS = {"find", "analytics-csv", "notification"}
# Pages that are the same for everybody, so that no list of theirs can be empty.
NEVER_EMPTY = {
    "account", "account-password", "design", "motivation-new", "personas", "project-new", "provider-new",
    "workflow", "workflow-edit", "workflows",
}  # fmt: skip
# Of those who operate the installation.
OPERATORS = ["/installation/"]
# Pages of those who are not signed in, and of nowhere.
OUTSIDE = ["/login/", *MISSING]
# What can be taken away as a file, and pages on which what was planted must be read as the text it is.
FILES = [
    "/cost.csv", "/api/v1/logs/export", "/api/v1/analytics/export", "/api/v1/analytics/export-stats",
    "/api/v1/beads?format=json", "/api/v1/projects?format=json",
]  # fmt: skip
SHOWS_TEXTS = {
    "home",
    "project",
    "board",
    "beads",
    "bead",
    "bead-changes",
    "session",
    "decision",
    "logs",
    "run",
}
VALUES = {"IntConverter": 1, "UUIDConverter": UUID(int=0)}  # others take any text


def faults(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe finds, whatever its impact; of some rules only, where they are named."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"], "iframes": False, "preload": False}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = page.evaluate("options => axe.run(options).then(told => told.violations)", options)
    return [f"{row['id']}: {node['html'][:160]}" for row in found for node in row["nodes"][:3]]


def looked_at(page: Page) -> Iterator[tuple[str, list[str]]]:
    """The faults of a page: by colors and widths, at 200 %, by keyboard."""
    for width, height in (NARROW, DESKTOP):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=SCHEMES[0], reduced_motion="reduce")
        yield f"{SCHEMES[0]} {width}", faults(page)
        page.evaluate(LOOKING)
        yield f"{width}", page.evaluate("looking.faults()")
    page.emulate_media(color_scheme=SCHEMES[1], reduced_motion="reduce")
    yield f"{SCHEMES[1]} {width}", faults(page, COLORS)
    page.set_viewport_size({"width": ZOOMED[0], "height": ZOOMED[1]})
    yield "200 %", page.evaluate("looking.faults()")
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    if page.locator("#app").count():
        yield "keyboard", tabbed(page)


def tabbed(page: Page) -> list[str]:
    """What Tab does not reach, or not so that one sees it."""
    wanted = min(STOPS, int(page.evaluate("looking.watch()")))
    for _ in range(4):  # fields of times have several stops within
        for _ in range(wanted - int(page.evaluate("looking.places()"))):
            page.keyboard.press("Tab")
    told: list[str] = page.evaluate("wanted => looking.missed(wanted)", wanted)
    return told


def glanced_at(page: Page) -> Iterator[tuple[str, list[str]]]:
    """The faults of a page that has the frame of another, but less in it."""
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.evaluate(LOOKING)
    yield f"light {NARROW[0]}", [*faults(page), *page.evaluate("looking.faults()")]


def check(
    page: Page, addresses: list[str], look: Callable[[Page], Iterator[tuple[str, list[str]]]]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for address in addresses:
        answer = page.goto(address)
        page.wait_for_selector("h1")
        assert answer is not None
        if len(answer.body()) > PAGE_BYTES:
            found[address] = ["is large to send"]
        found |= {f"{address} {name}": told for name, told in look(page) if told}
    return found


def test_every_page_of_the_routes_is_looked_at(server: Server) -> None:
    """A route that has no row here takes nothing but what is sent to it."""
    visited = [*server.busy, *OUTSIDE[:-1], *OPERATORS, server.confirmation]
    shown = {route_of(address) for address in visited} | PARTS
    others = [one for one in [*dashboard_patterns, *account_patterns] if one.name not in shown]
    assert len(others) > 30
    told = {one.name: status_of(server, one) for one in others}
    assert {name: status for name, status in told.items() if status != 405} == {}


def status_of(server: Server, route: URLPattern) -> int:
    values = {name: VALUES.get(type(one).__name__, "x") for name, one in route.pattern.converters.items()}
    request = urllib.request.Request(server.address + reverse(str(route.name), kwargs=values))
    request.add_header("Cookie", f"sessionid={server.sessions['ada']}")
    try:
        return int(urllib.request.urlopen(request, timeout=30).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_no_page_has_a_fault_in_any_colors_width_or_by_keyboard(enter: Enter, server: Server) -> None:
    page = enter("ada")
    assert page.locator("#app").count() == 1
    assert check(page, [*server.busy, server.confirmation], looked_at) == {}


def test_operators_pages_have_none(enter: Enter) -> None:
    assert check(enter("root"), OPERATORS, looked_at) == {}


def test_the_longest_words_fit_the_narrowest_page(enter: Enter, server: Server) -> None:
    assert check(enter("eve"), server.evil, glanced_at) == {}


def test_no_empty_page_has_one_either(enter: Enter, server: Server) -> None:
    lists = [
        address
        for address in server.busy
        if not any(character.isdigit() for character in address) and route_of(address) not in NEVER_EMPTY
    ]
    assert check(enter("new"), lists, glanced_at) == {}
    assert check(enter("kit"), server.bare, glanced_at) == {}
    assert check(enter("", "/login/"), [*OUTSIDE, server.invitation], looked_at) == {}


def test_dialogs_have_none(enter: Enter, server: Server) -> None:
    page = enter("ada", server.page("board"))
    for opener in ("[data-opens=palette]", "[data-opens=bead-new]"):
        page.click(opener)
        page.wait_for_selector("dialog[open]")
        page.wait_for_timeout(300)
        assert faults(page) == []
        page.keyboard.press("Escape")


def test_what_is_planted_never_runs(enter: Enter, server: Server) -> None:
    """Every text that a person or a model can give is an attack; a violation of the policy would be told."""
    page = enter("eve")
    for address in server.evil:
        page.goto(address)
        page.wait_for_selector("h1")
        assert page.evaluate("window.hacked") is None, address
        assert page.locator("main img, main script, main iframe, #rail img").count() == 0, address
        assert page.locator("a[href^=javascript], [onerror], [style]").count() == 0, address
        assert page.evaluate("looking => document.body.innerText.includes(looking)", "{{7*7}}") or (
            route_of(address) not in SHOWS_TEXTS
        ), address
    for address in FILES:
        answer = page.request.get(address)
        assert answer.ok, address
        assert answer.headers["x-content-type-options"] == "nosniff", address
        assert "html" not in answer.headers["content-type"], address


def test_scripts_are_small_and_quick_to_send() -> None:
    scripts = [*STATIC.glob("js/*.js"), *STATIC.glob("vendor/*.js")]
    assert sum(len(gzip.compress(script.read_bytes())) for script in scripts) < SCRIPT_BYTES
