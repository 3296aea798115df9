"""A plan in a browser: all of it on one page, changed and sent back by keyboard before anything is built."""

from __future__ import annotations

import json
import sys

from playwright.sync_api import expect

from tests.browser.conftest import Enter
from tests.browser.server import Server, run
from tests.browser.test_pages import faults, looked_at
from tests.browser.test_work import SOON

# A project whose planner has planned one story of two, and asks.
PLANNED = """
import django; django.setup()
import json
from apps.accounts.models import Organization
from apps.beads.services import bead_create
from apps.decisions.services import decision_request
from apps.projects.services import project_create
prd = "# Shorten\\n\\n## Requirements\\n\\n- It stores links.\\n- It lists them.\\n"
project = project_create(organization=Organization.objects.get(slug="acme"), name="Shorten", prd=prd)
stored = project.requirements.earliest("pk")
first = bead_create(project=project, title="Store", status="deferred", requirements=[stored])
second = bead_create(project=project, title="Too much", status="deferred", blocked_by=[first])
options = [{"key": "approve", "label": "Approve"}, {"key": "change", "label": "Send back"}]
asked = decision_request(
    project=project, kind="plan", question="Approve the plan?", options=options, needs_person=True
)
print(json.dumps({"address": f"/decisions/{asked.pk}/", "first": first.key, "second": second.key}))
"""

RENAMED = """
import django; django.setup()
from apps.beads.models import Bead
from apps.beads.services import bead_update
bead_update(bead=Bead.objects.select_related("project").get(key="{key}"), title="Far too much")
"""


def test_a_plan_is_judged_changed_and_sent_back_on_one_page(enter: Enter, server: Server) -> None:
    plan = json.loads(run([sys.executable, "-c", PLANNED], server.environment).splitlines()[-1])
    page = enter("ada", plan["address"])
    summary, matrix = page.locator("#plan header .quiet"), page.locator(".matrix")
    expect(summary).to_have_text("2 stories serve 1 of 2 requirements")
    expect(matrix.locator(".gap")).to_contain_text("It lists them.")
    expect(page.locator("#plan-graph a")).to_have_count(2)
    assert {what: told for what, told in looked_at(page) if told} == {}

    page.get_by_role("button", name="New bead").press("Enter")
    page.locator("#bead-new [name=title]").fill("   ")  # none, as the server sees it
    page.locator("#bead-new [name=description]").fill("All of them, newest first.")
    page.locator("#bead-new [name=requirements]").select_option(label="R-002 It lists them.")
    page.get_by_role("button", name="Add", exact=True).press("Enter")
    expect(page.locator("#bead-new .note.error")).to_contain_text("Title: This field", timeout=SOON)
    assert faults(page) == []
    run([sys.executable, "-c", RENAMED.format(key=plan["second"])], server.environment)
    expect(page.locator("#plan")).to_contain_text("Far too much", timeout=SOON)  # while the words stay
    expect(page.locator("#bead-new .note.error")).to_contain_text("Title: This field")
    expect(page.locator("#bead-new [name=description]")).to_have_value("All of them, newest first.")
    page.locator("#bead-new [name=title]").fill("List")
    page.keyboard.press("Enter")
    expect(summary).to_have_text("3 stories serve 2 of 2 requirements", timeout=SOON)
    expect(page.locator("#bead-new")).to_be_hidden()
    expect(page.locator("#toasts")).to_contain_text("is added to the plan")
    expect(matrix.locator(".gap")).to_have_count(0)

    page.get_by_role("button", name=f"Drop {plan['second']}").press("Enter")
    expect(summary).to_have_text("2 stories serve 2 of 2 requirements", timeout=SOON)
    page.get_by_role("link", name=f"Edit {plan['first']}").press("Enter")
    page.locator("#edit [name=title]").fill("Store links in SQLite")
    assert faults(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("#plan")).to_contain_text("Store links in SQLite", timeout=SOON)
    expect(page.locator("#edit")).to_have_count(0)
    page.get_by_role("link", name=f"Edit {plan['first']}").press("Enter")  # once more
    expect(page.locator("#edit [name=title]")).to_have_value("Store links in SQLite")
    page.locator("#edit").get_by_role("link", name="Close").press("Enter")
    expect(page.locator("#edit")).to_have_count(0)

    for key in ("j", "2"):
        page.keyboard.press(key)
    expect(page.locator("article [value=change]")).to_be_checked()
    page.get_by_text("Add a reason").press("Enter")
    page.locator("article [name=rationale]").fill("Listing needs pages.")
    page.get_by_role("button", name="Answer").press("Enter")
    expect(page.locator("main")).to_contain_text("Listing needs pages.", timeout=SOON)
    expect(page.get_by_role("button", name="New bead")).to_have_count(0)
