"""Screenshots of every page into shots/: light, dark, narrow, empty. `make shots`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.admin_pages import ADMIN
from tests.browser.server import ROOT, Server, browsing, serving

FOLDER = ROOT / "shots"
LOOKS = {"light": ("light", 1360), "dark": ("dark", 1360), "narrow": ("light", 390)}


def shoot(browser: Browser, server: Server, who: str, addresses: list[str], looks: dict[str, str]) -> None:
    for look, folder in looks.items():
        scheme, width = LOOKS[look]
        context = browser.new_context(
            base_url=server.address,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        server.enter(context, who)
        page = context.new_page()
        for address in addresses:
            page.goto(address)
            name = address.strip("/").replace("/", "-").replace("?", "-") or "home"
            page.screenshot(path=FOLDER / folder / f"{name}.png", full_page=True)
        context.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as data, browsing() as browser, serving(Path(data)) as server:
        shoot(browser, server, "ada", server.busy, {look: look for look in LOOKS})
        lists = [address for address in server.busy if not any(letter.isdigit() for letter in address)]
        shoot(browser, server, "new", [*lists, "/nowhere/"], {"light": "empty"})
        shoot(browser, server, "ada", server.evil[15:], {"light": "error"})
        shoot(browser, server, "root", ADMIN, {look: look for look in LOOKS})
    print(f"Screenshots are in {FOLDER}")


if __name__ == "__main__":
    main()
