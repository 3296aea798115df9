"""The first hour with Loom, in a browser: the sample woven until something is merged, a model, a repository.

That the sample is woven to its end is tested by the command (tests/e2e/test_weave.py).
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.providers.scripted import ScriptedReply
from tests.browser.server import ROOT
from tests.browser.test_work import SOON
from tests.e2e.weaves import environment, kill_everything
from tests.providers.script_server import ScriptServer
from tests.templates import sqlite_copy

pytestmark = pytest.mark.slow

WOVEN_MS = 240_000
MERGED = re.compile(r"[1-9]\d* of \d+ merged")
KEY = "sk-the-right-one"


@pytest.fixture
def newcomer(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """`make up` on a machine that never saw Loom, and a browser in which its administrator signed in."""
    data = tmp_path / "loom"
    sqlite_copy(data / "loom.sqlite3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = environment(data) | {"LOOM_HOST": "127.0.0.1", "LOOM_PORT": str(port), "LOOM_LOCAL_REMOTES": "on"}
    for name in ("DATABASE_URL", "REDIS_URL"):
        env.pop(name, None)
    house = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        password = told_by(house, r"user admin, password (\S+)")
        told_by(house, r"Loom is ready at")
        page = browser.new_context(base_url=f"http://127.0.0.1:{port}").new_page()
        page.context.set_default_timeout(2 * SOON)
        page.goto("/")
        page.fill("[name=username]", "admin")
        page.fill("[name=password]", password)
        page.keyboard.press("Enter")
        yield page
        page.context.close()
        house.send_signal(signal.SIGINT)
        house.wait(30)
    finally:
        kill_everything(house)


def told_by(house: subprocess.Popen[str], pattern: str) -> str:
    """What the command says next that fits."""
    assert house.stdout is not None
    said = ""
    for line in house.stdout:
        said += line
        if match := re.search(pattern, line):
            return match[match.re.groups]
    raise AssertionError(said)


def connect(page: Page, **given: str) -> None:
    for name, value in given.items():
        page.fill(f"[name={name}]", value)
    page.get_by_role("button", name="Connect and test").click()


def test_a_newcomer_connects_a_model_adds_a_repository_and_weaves_the_sample(
    newcomer: Page, tmp_path: Path
) -> None:
    page = newcomer
    greeting = page.locator("#no-projects")
    for way in ("Weave the sample now", "Connect a model", "Add a repository", "Start from your PRD"):
        expect(greeting.get_by_role("heading", name=way)).to_be_visible()
    sample_is_woven(page)  # before a model is there: the sample is played by the scripted one
    models_are_told_apart(page)
    repository_is_added(page, tmp_path / "product")


def models_are_told_apart(page: Page) -> None:
    """Nobody there, a wrong key, no tools, all well: each is said, and mended on the spot."""
    page.goto("/models/new/")
    said = page.locator("#toasts")
    connect(page, name="dead", endpoint="http://127.0.0.1:9/v1", model="script")
    expect(said).to_contain_text("Nothing listens at dead")
    with ScriptServer(lambda messages, tools: ScriptedReply("OK"), key=KEY) as server:
        page.goto("/models/new/")
        connect(page, name="locked", endpoint=server.url, model="script", key="sk-a-wrong-one")
        expect(said).to_contain_text("locked refused the API key (401)")
        assert "sk-a-wrong-one" not in page.content()
        page.goto("/models/new/")
        server.switches.tools = False
        connect(page, name="plain", endpoint=server.url, model="script", key=KEY)
        expect(said).to_contain_text("plain answered with script")
        expect(said).to_contain_text("It has no tools: agents write their actions as JSON.")
        server.switches.tools = True
        page.goto("/models/new/")
        connect(page, name="right", endpoint=server.url, model="script", key=KEY)
        expect(said).to_contain_text("right answered with script")
        assert "no tools" not in said.inner_text()
        expect(page.locator("main")).to_contain_text("right")
        assert KEY not in page.content()


def repository_is_added(page: Page, folder: Path) -> None:
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-C", str(folder)]
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    (folder / "README.md").write_text("# Product\n", encoding="utf-8")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "Begin"], check=True)
    page.goto("/projects/new/")
    form = page.locator("#repository")
    form.locator("[name=address]").fill(str(folder))
    form.get_by_role("button", name="Add repository").click()
    expect(page.locator("h1")).to_have_text("product")
    expect(page.locator("main")).to_contain_text("repository read: its branch is at", timeout=4 * SOON)


def sample_is_woven(page: Page) -> None:
    """From the greeting's button to the first merge and what proves it, without a reload by hand."""
    page.get_by_role("button", name="Weave the sample").click()
    expect(page.locator("#weave-panel")).to_be_visible()
    page.evaluate("window.isTheSame = true")
    expect(page.locator("#weave a.working").first).to_be_attached(timeout=WOVEN_MS)
    expect(page.locator("#weave-panel header")).to_contain_text(MERGED, timeout=WOVEN_MS)
    assert page.evaluate("window.isTheSame"), "the page was loaded anew"
    page.locator("#proofs article:has(h3 .done) a").first.click()
    page.get_by_role("link", name="What proves it").click()
    expect(page.locator("#answer")).to_contain_text("passed on what became main")
    expect(page.locator("main")).to_contain_text("unittest")
