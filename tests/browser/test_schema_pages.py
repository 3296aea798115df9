"""What programmers read in a browser: the schema by Swagger and ReDoc, and the browsable API."""

from __future__ import annotations

import json

from tests.browser.conftest import Enter


def test_swagger_shows_operations(enter: Enter) -> None:
    page = enter("", "/api/docs/")
    page.wait_for_selector("#operations-beads-get_beads", timeout=40_000)
    page.click("#operations-beads-get_beads .opblock-summary-control")
    page.wait_for_selector("#operations-beads-get_beads .responses-table")


def test_redoc_shows_operations(enter: Enter) -> None:
    page = enter("", "/api/redoc/")
    page.wait_for_selector("h2:has-text('get_activity_feed')", timeout=40_000)  # it draws all there is


def test_the_browsable_api_reads_and_writes(enter: Enter) -> None:
    page = enter("ada", "/api/v1/beads?format=api&limit=1")
    shown = page.inner_text(".response-info")
    assert "200 OK" in shown
    assert '"project_id"' in shown
    (bead,) = json.loads(shown[shown.index("[") :])
    body = {"title": "Made by hand", "project_id": bead["project_id"]}
    page.fill("#id__content", json.dumps(body))
    page.click("button:has-text('POST') >> visible=true")
    page.wait_for_selector("text=201 Created")
    assert "Made by hand" in page.inner_text(".response-info")
