"""Real clients of the stream of events on one server: all hear the same, over a crash, until they may not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.streaming import Browser, Curl, HttpxSse, Socket
from tests.core.processes import wait_until

PASSWORD = "guy reads for a while"
SECONDS = 60.0  # the machine may be busy

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")]


def token(server: Server, name: str, password: str) -> str:
    body = {"username": name, "password": password}
    answer = httpx.post(f"{server.address}/api/v1/auth/login", json=body, trust_env=False, timeout=SECONDS)
    return str(answer.json()["token"])


@pytest.fixture
def ada(server: Server) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(server, 'ada', 'a long password')}"}
    address = f"{server.address}/api/v1/"
    # A connection each: one that was kept would be of a server that is killed.
    limits = httpx.Limits(max_keepalive_connections=0)
    options: dict[str, Any] = {"trust_env": False, "timeout": SECONDS, "limits": limits}
    with httpx.Client(base_url=address, headers=headers, **options) as client:
        yield client


@pytest.fixture
def clients(server: Server, browser: Chromium, ada: httpx.Client) -> Iterator[dict[str, Any]]:
    """Everything that follows in guy's name; no page of theirs is of Loom's own scripts."""
    made = ada.post("auth/users", json={"username": "guy", "password": PASSWORD, "role": "viewer"})
    assert made.status_code == 201, made.text
    guy = token(server, "guy", PASSWORD)
    signed_in, outside = (browser.new_context(base_url=server.address) for _ in range(2))
    page, other = signed_in.new_page(), outside.new_page()
    page.goto("/")
    page.fill("[name=username]", "guy")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Home", timeout=SECONDS * 1000)
    page.goto("/api/v1/health")
    other.goto("/api/v1/health")
    curl = Curl(server.address, guy)
    programs = {
        "curl": curl,
        "httpx-sse": HttpxSse(server.address, guy),
        "socket": Socket(server.address, guy),
    }
    yield {**programs, "cookie": Browser(page), "stream token": Browser(other, guy), "id": made.json()["id"]}
    for program in programs.values():
        program.stop()
    signed_in.close()
    outside.close()


def test_all_hear_the_same_over_a_crash_and_until_their_access_ends(
    server: Server, ada: httpx.Client, clients: dict[str, Any]
) -> None:
    guy = clients.pop("id")
    project = ada.get("projects").json()[0]["id"]

    def tell(*titles: str) -> None:
        for title in titles:
            answer = ada.post("beads", json={"title": title, "project_id": project, "status": "deferred"})
            assert answer.status_code == 201, answer.text

    def everybody(condition: Callable[[Any], bool], what: str) -> None:
        for name, client in clients.items():
            wait_until(partial(condition, client), seconds=SECONDS, what=f"{name} {what}")

    titles = [f"Told {number} – größer" for number in range(6)]
    everybody(lambda client: bool(client.last), "is connected")
    tell(*titles[:3])
    everybody(lambda client: len(client.heard()) >= 3, "hears what happens")

    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.start()
    tell(*titles[3:])
    everybody(lambda client: titles[-1] in [title for _, title in client.heard()], "resumes")
    for name, client in clients.items():
        assert list(dict.fromkeys(title for _, title in client.heard())) == titles, name
    places = {name: [place for place, _ in client.heard()] for name, client in clients.items()}
    assert all(place for each in places.values() for place in each)

    assert ada.patch(f"auth/users/{guy}", json={"is_active": False}).status_code == 200
    everybody(lambda client: client.is_over(), "is refused")
    tell("After guy")
    assert all("After guy" not in str(client.heard()) for client in clients.values())
