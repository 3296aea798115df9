"""Screenshots of every page into shots/: light, dark, narrow, empty, error, printed. `make shots`.

`make shots ARGS="board bead"` takes those whose name has one of the words. A page of which no picture
can be taken is told at the end, after all the others."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Page

from tests.browser.admin_pages import ADMIN
from tests.browser.server import MISSING, ROOT, Server, browsing, serving

FOLDER = ROOT / "shots"
LOOKS = {"light": ("light", 1360), "dark": ("dark", 1360), "narrow": ("light", 390)}
PAPER = 794  # pixels: A4 upright
ALL = {look: look for look in LOOKS}
DIALOGS = {
    "palette": "[data-opens=palette]",
    "bead-new": "[data-opens=bead-new]",
    "menu": ".tile .menu summary",
}
# What is refused: the page, what is typed there, and the button.
REFUSED = {
    "/projects/new/": ({"[name=budget]": "-1"}, "Begin"),
    "/models/new/": (
        {"[name=name]": "nobody", "[name=endpoint]": "http://127.0.0.1:9/v1", "[name=model]": "m"},
        "Connect and test",
    ),
    "/account/password/": (
        {"[name=current]": "wrong", "[name=new]": "short"},
        "Change it",
    ),
    "/workflows/story/edit/": ({"[name=yaml]": "name: story\nnodes: []\n"}, "Save"),
    "/motivations/new/?condition=scheduled_interval": ({"[name=name]": "Nightly"}, "Make it"),
}


class Camera:
    def __init__(self, browser: Browser, server: Server, wanted: list[str]) -> None:
        self.browser, self.server, self.wanted = browser, server, wanted
        self.count = 0
        self.failed: list[str] = []

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """One picture that cannot be taken does not cost the others."""
        try:
            yield
        except Error as error:
            self.failed.append(f"{name}: {str(error).splitlines()[0]}")

    @contextmanager
    def page(self, who: str, look: str, width: int = 0) -> Iterator[Page]:
        scheme, usual = LOOKS[look]
        context = self.browser.new_context(
            base_url=self.server.address,
            viewport={"width": width or usual, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        if who:
            self.server.enter(context, who)
        try:
            yield context.new_page()
        finally:
            context.close()

    def wants(self, name: str) -> bool:
        return not self.wanted or any(word in name for word in self.wanted)

    def keep(self, page: Page, folder: str, name: str) -> None:
        page.screenshot(path=FOLDER / folder / f"{name}.png", full_page=True)
        self.count += 1

    def walk(self, who: str, addresses: list[str], looks: dict[str, str]) -> None:
        for look, folder in looks.items():
            with self.page(who, look) as page:
                for address in filter(lambda one: self.wants(named(one)), addresses):
                    with self.trying(f"{folder} {address}"):
                        page.goto(address)
                        self.keep(page, folder, named(address))

    def dialogs(self, board: str) -> None:
        for look in LOOKS:
            for name, opener in DIALOGS.items():
                if not self.wants(f"dialog-{name}"):
                    continue
                with self.trying(f"{look} {name}"), self.page("ada", look) as page:
                    page.goto(board)
                    page.click(opener)
                    page.wait_for_selector("#found [role=option]" if name == "palette" else opener)
                    page.screenshot(path=FOLDER / look / f"dialog-{name}.png")
                    self.count += 1

    def refusals(self) -> None:
        for address, (given, button) in REFUSED.items():
            if not self.wants(named(address)):
                continue
            with self.trying(f"refused {address}"), self.page("ada", "light") as page:
                page.goto(address)
                page.locator("form").evaluate_all("forms => forms.forEach(form => (form.noValidate = true))")
                for field, value in given.items():
                    page.locator(field).first.fill(value)
                page.get_by_role("button", name=button, exact=True).first.click()
                page.wait_for_selector(".note.error, .note.warning, .errorlist, #toasts > *")
                self.keep(page, "error", f"refused-{named(address)}")

    def gates(self) -> None:
        """Pages of those who are not signed in, and of what went wrong."""
        for look in LOOKS:
            with self.trying(f"{look} gates"), self.page("", look) as page:
                page.goto("/login/")
                self.keep(page, look, "login")
                page.fill("[name=username]", "ada")
                page.fill("[name=password]", "wrong")
                page.keyboard.press("Enter")
                page.wait_for_selector(".note.error")
                self.keep(page, look, "login-refused")
                page.context.clear_cookies()
                page.fill("[name=password]", "wrong")
                page.keyboard.press("Enter")
                page.wait_for_selector("text=open too long")
                self.keep(page, look, "403-sent-late")
                page.goto(self.server.invitation)
                self.keep(page, look, "invitation")
                page.goto(MISSING[0])
                self.keep(page, look, "invitation-gone")
                page.goto("/login/")
                page.set_content((ROOT / "templates" / "500.html").read_text(encoding="utf-8"))
                self.keep(page, look, "500")
            with self.trying(f"{look} refusals"), self.page("ada", look) as page:
                gone = ((MISSING[1], "404"), ("/queues/", "403"), (self.server.confirmation, "email-confirm"))
                for address, name in gone:
                    page.goto(address)
                    self.keep(page, look, name)

    def print(self) -> None:
        address = next(address for address in self.server.busy if address.endswith("/evidence/"))
        with self.trying("print evidence"), self.page("ada", "light", PAPER) as page:
            page.emulate_media(media="print")
            page.goto(address)
            self.keep(page, "print", "evidence")


def named(address: str) -> str:
    return address.strip("/").replace("/", "-").replace("?", "-") or "home"


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as data, browsing() as browser, serving(Path(data)) as server:
        camera = Camera(browser, server, wanted)
        camera.walk("ada", [*server.busy, *server.changed], ALL)
        lists = [address for address in server.busy if not any(letter.isdigit() for letter in address)]
        camera.walk("new", lists, {"light": "empty"})
        camera.walk("kit", server.bare, {"light": "begun"})
        camera.walk("pat", server.planned, ALL)
        camera.walk("eve", server.evil, {"narrow": "long"})
        camera.walk("root", ADMIN, ALL)
        camera.dialogs(next(address for address in server.busy if address.endswith("/board/")))
        camera.refusals()
        if camera.wants("gate"):
            camera.gates()
        if camera.wants("print"):
            camera.print()
    print(f"{camera.count} screenshots are in {FOLDER}")
    if camera.failed:
        sys.exit("\n".join(["Not taken:", *camera.failed]))


if __name__ == "__main__":
    main(sys.argv[1:])
