"""Pairing, and what models write while they write it: in a browser, with a worker and a scripted model."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.accounts.models import User
from apps.agents.models import Session, Turn
from apps.beads.models import Bead
from apps.core import watching
from apps.core.masking import scope_of, secrets_note
from apps.pairing.models import Exchange
from apps.workflows.dispatch import dispatch
from tests.activity.serving import cookies
from tests.api.clients import person
from tests.browser.test_pages import faults
from tests.browser.test_work import SOON
from tests.pairing.conftest import Messages, Room, until
from tests.pairing.conftest import room as room_fixture
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import APPROVE, CALC, Answer, replies, write

__all__ = ["open_studio", "quiet_doorbell", "room"]

room = room_fixture
SUBTRACT = CALC + "\n\ndef sub(a, b):\n    return a - b\n"
SECRET = "canary-7f3a9c21d5e8b604"
Visit = Callable[[User, str], Page]
SLOW = "It adds **two** numbers, one after the other. " * 30


@pytest.fixture(scope="module", autouse=True)
def beside_a_loop() -> Iterator[None]:
    """Playwright's loop runs in the thread whose tests use the database."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    expect.set_options(timeout=SOON)
    yield
    expect.set_options(timeout=5_000)
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(browser: Browser, room: Room) -> Iterator[Visit]:
    pages: list[Page] = []
    said: list[str] = []

    def open_page(user: User, address: str) -> Page:
        context = browser.new_context(base_url=room.site.url, viewport={"width": 1360, "height": 900})
        context.set_default_timeout(SOON)
        context.add_cookies(
            [{"name": "sessionid", "value": cookies(user)["sessionid"], "url": room.site.url}]
        )
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert said == []


def test_a_person_and_an_agent_beside_the_code(room: Room, visit: Visit) -> None:
    def says(messages: Messages) -> Answer:
        if str(messages[1]["content"]).startswith("# Task: review"):
            return APPROVE
        after = [at for at, one in enumerate(messages) if one["role"] == "user"][-1]
        if "Explain" in str(messages[after]["content"]):
            return SLOW
        has_written = any(one["role"] == "tool" for one in messages[after:])
        return "Done: `sub` is there." if has_written else [write("calc/__init__.py", SUBTRACT)]

    room.says = says
    ann = person("ann", room.studio.organization)
    page = visit(ann, "/pair/")
    page.select_option("[name=with]", str(room.agent.pk))
    page.select_option("[name=bead]", room.bead.key)
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("link", name="__init__.py").first.click()
    expect(page.locator(".lines li").first).to_contain_text("def add")
    # Lines that are chosen go with the message; the answer comes as it is written, and is stopped.
    page.locator(".lines li").nth(0).click(position={"x": 10, "y": 8})
    page.locator(".lines li").nth(1).click(position={"x": 10, "y": 8}, modifiers=["Shift"])
    expect(page.locator("[name=first]")).to_have_value("1")
    expect(page.locator("[name=last]")).to_have_value("2")
    room.studio.server.switches.chunk_delay = 0.2
    page.fill("#composer [name=text]", "Explain this.")
    page.locator("#composer [name=text]").press("Control+Enter")
    expect(page.locator(".coming-text")).to_contain_text("It adds **two**")
    assert "return a + b" in str(room.asked[-1][-1]["content"])
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".exchange").last).to_contain_text("Stopped.")
    room.studio.server.switches.chunk_delay = 0
    # A change is proposed as a diff, rejected, proposed again and applied.
    for _ in range(2):
        page.fill("#composer [name=text]", "Add sub().")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".exchange").last).to_contain_text("Done: sub is there.")
        expect(page.locator("#proposal")).to_contain_text("def sub")
        if not Session.objects.get(kind="pair").turns.filter(results__icontains="rejected").exists():
            page.get_by_role("button", name="Reject the change of calc/__init__.py").click()
            expect(page.locator("#proposal")).to_have_count(0)
    assert "ann rejected what you changed" in str(room.asked[-1])
    assert faults(page) == []
    page.fill("#proposal [name=summary]", "sub()")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#toasts")).to_contain_text("its checks run now")
    until(lambda: Bead.objects.get(pk=room.bead.pk).status == "closed", "the merge")
    assert "def sub" in room.studio.main_file("calc/__init__.py")


def test_a_person_takes_work_over_and_gives_it_back_merged(room: Room, visit: Visit, tmp_path: Path) -> None:
    stopped = threading.Event()

    def says(messages: Messages) -> Answer:
        if str(messages[1]["content"]).startswith("# Task: review"):
            return APPROVE
        if replies(messages):
            stopped.wait(SOON)
        return [write(f"calc/part{replies(messages)}.py", "HALF = 1\n")]

    room.says = says
    Bead.objects.filter(pk=room.bead.pk).update(status="open")
    assert dispatch(room.studio.project.pk) == 1
    page = visit(person("ann", room.studio.organization), f"/beads/{room.bead.key}/")
    until(lambda: len(room.asked) > 1, "the second turn")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Take over").click()
    expect(page.locator("#taken")).to_contain_text("Agents stop at the end of the step")
    stopped.set()
    expect(page.locator("#taken")).to_contain_text("It is yours")
    assert faults(page) == []
    session = Session.objects.get(kind="work")
    assert (session.reason, session.turns.exclude(results=None).count()) == ("taken_over", 1)
    assert dispatch(room.studio.project.pk) == 0  # it is nobody else's
    with page.expect_download() as loaded:
        page.get_by_text(f"Download {room.bead.key}.bundle").click()
    loaded.value.save_as(tmp_path / f"{room.bead.key}.bundle")
    change = "printf 'def sub(a, b):\\n    return a - b\\n' > calc/part0.py; git add -A; {}"
    *commands, diff = page.locator("#taken pre").inner_text().strip().splitlines()
    script = "\n".join(["set -e", *commands, change.format(diff.replace("git diff", "git diff --cached"))])
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    patch = tmp_path / room.bead.key / f"{room.bead.key}.patch"
    page.set_input_files("[name=file]", patch)
    page.fill("#taken [name=summary]", "sub() by hand")
    page.get_by_role("button", name="Have it proven and merged").click()
    expect(page.locator("#toasts")).to_contain_text("its checks run now")
    until(lambda: Bead.objects.get(pk=room.bead.pk).status == "closed", "the merge")
    assert "return a - b" in room.studio.main_file("calc/part0.py")


def test_what_a_model_writes_is_seen_while_it_writes(
    room: Room, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in ("pages_at", "quiet_at", "_away_until"):  # what other tests left
        monkeypatch.setattr(watching._marks, moment, float("-inf"))
    monkeypatch.setattr(watching, "AWAY_SECONDS", 0.0)  # a broker that is slow once is asked again
    secrets_note(SECRET, scope=scope_of(room.studio.project.pk))
    opened, goes_on = threading.Event(), threading.Event()

    def says(messages: Messages) -> Answer:
        if "# Task: ask" in str(messages[1]["content"]):
            return SLOW
        return [write("calc/__init__.py", SUBTRACT)] if replies(messages) else f"The key is {SECRET}. {SLOW}"

    def after(messages: Messages) -> Answer:
        answer = says(messages)
        if answer is not SLOW:  # not before somebody looks, and not before they have seen it
            (goes_on if replies(messages) else opened).wait(SOON / 1000)
        return answer

    room.says = after
    room.studio.server.switches.chunk_delay = 0.1
    ann = person("ann", room.studio.organization)
    page = visit(ann, "/overview/")
    page.fill("#ask [name=text]", "What does it do?")
    page.locator("#ask [name=text]").press("Control+Enter")
    expect(page.locator(".coming-text")).to_contain_text("It adds **two**")
    assert not Exchange.objects.exclude(status="answering").exists()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".asked").first).to_contain_text("Stopped.")
    # An agent at work: its reply is seen on the pages of the bead and the session; nothing of it is kept.
    Bead.objects.filter(pk=room.bead.pk).update(status="open")
    assert dispatch(room.studio.project.pk) == 1
    session = Session.objects.get(kind="work")
    page.goto(f"/beads/{room.bead.key}/")
    expect(page.locator(".glimpse")).to_be_attached()
    opened.set()
    expect(page.locator(".glimpse")).to_contain_text("one after the other")
    other = visit(ann, f"/sessions/{session.pk}/")
    writing = other.locator(".writing .coming-text")
    expect(writing).to_contain_text("The key is [secret]. It adds **two** numbers")
    assert Turn.objects.filter(session=session).count() == 0
    assert SECRET[:9] not in other.content() + page.content()
    room.studio.server.switches.chunk_delay = 0
    expect(other.locator("#turn-1 .prose")).to_contain_text("It adds two numbers")  # the finished turn
    expect(other.locator("#writing-1 [data-parts]")).to_be_empty()
    assert faults(other) == []
    goes_on.set()
    expect(other.locator("#turn-2")).to_contain_text("write_file calc/__init__.py")
