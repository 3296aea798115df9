"""A real server with a world of its own, and a browser, for tests and for screenshots."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.urls import resolve
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from apps.core.broker import BrokerKeeper
from tests.templates import sqlite_copy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
ROOT = Path(__file__).resolve().parents[2]
SEED = "import django; django.setup(); from tests.browser.seed import main; main()"
SERVICES = {"DATABASE_URL", "REDIS_URL"}
START_SECONDS = 60.0
# Pages that are not there, as tests and screenshots want them to be.
MISSING = ["/invitations/unknown/", "/nowhere/"]


@dataclass
class Server:
    address: str
    sessions: dict[str, str]
    busy: list[str]
    evil: list[str]
    changed: list[str]
    bare: list[str]
    planned: list[str]
    invitation: str
    confirmation: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "uvicorn", "loom_site.asgi:application", "--port", port]
        command += ["--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        self.process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.address}/login/", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("The server did not start.")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def page(self, name: str) -> str:
        """The address of a page of the busy project, by the name of its route."""
        return next(address for address in self.busy if route_of(address) == name)

    def enter(self, context: BrowserContext, who: str) -> None:
        """Sign somebody in, without the login page."""
        context.add_cookies([{"name": "sessionid", "value": self.sessions[who], "url": self.address}])


def route_of(address: str) -> str:
    return resolve(urlsplit(address).path).url_name or ""


@contextmanager
def serving(data: Path, *, mail: str = "") -> Iterator[Server]:
    """`mail` is the mail server that e-mail goes to."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in SERVICES},
        "LOOM_DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "loom_site.settings",
        "LOOM_EMAIL_URL": mail,
    }
    keeper = BrokerKeeper(data)
    keeper.ensure()
    sqlite_copy(data / "loom.sqlite3")
    seeded = json.loads(run([sys.executable, "-c", SEED], environment).splitlines()[-1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(address=f"http://127.0.0.1:{port}", environment=environment, **seeded)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        keeper.stop()


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return done.stdout


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
