"""The pages of one bead in a browser: comments on its change that reach the agent."""

from __future__ import annotations

import sys

from playwright.sync_api import expect

from tests.browser.conftest import Enter
from tests.browser.server import Server, run
from tests.browser.test_pages import faults
from tests.browser.test_work import SOON

# The next prompt of the agent, as the loop of its session writes it.
PROMPT = """
import django; django.setup()
from django.db import transaction
from apps.agents.letters import letters_take
from apps.agents.models import Session
from apps.agents.services import session_say
session = Session.objects.filter(bead__key="{key}", kind="work", status="open").latest("pk")
letters = []
with transaction.atomic():
    letters_take(session, letters.extend)
    (letter,) = letters
    session_say(session_id=session.pk, text=letter)
print(session.turns.latest("number").results[-1]["say"])
"""


def test_a_comment_on_a_line_of_the_diff_reaches_the_agent(enter: Enter, server: Server) -> None:
    page = enter("ada", server.changed[0])
    page.locator(".file .added .number").filter(has_text="6").click()
    expect(page.locator(".remark [name=line]")).to_have_value("6")
    page.keyboard.type("What if **until** is None?")
    page.locator(".remark button").click()
    said = page.locator(".diff .said")
    expect(said).to_contain_text("goes to the agent in its next prompt", timeout=SOON)
    assert faults(page) == []
    heard = run(
        [sys.executable, "-c", PROMPT.format(key=server.changed[0].split("/")[2])], server.environment
    )
    assert "Message from ada: Comment on" in heard
    assert "About src/store.py, line 6, claim 1:" in heard
    assert "> +    return link.until < now   <- this line" in heard
    assert "What if **until** is None?" in heard
    expect(said).to_contain_text("heard by Engineer", timeout=SOON)
    page.get_by_role("link", name="Side by side").click()
    expect(page.locator(".split-view .said")).to_contain_text("What if until is None?")
    page.get_by_role("link", name="What proves it").click()
    expect(page.locator("#answer")).to_contain_text("Claim 1 passed its checks, but it is not on main.")
    assert faults(page) == []
    page.get_by_role("link", name="Story", exact=True).click()
    expect(page.locator("#comments")).to_contain_text("src/store.py:6")
