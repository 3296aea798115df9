"""Programs that follow events for hours: each comes back with the last id it had, until it is refused."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

import httpx
from httpx_sse import connect_sse
from playwright.sync_api import Page
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

SECONDS = 30.0
REST_SECONDS = 0.2  # between two tries
KIND = "bead.created"
CURL_REFUSED = 22  # --fail: the answer's status was 400 or more


class Program(threading.Thread):
    """A subclass listens once: True when it was cut off, False when it was refused."""

    def __init__(self, address: str, token: str) -> None:
        super().__init__(daemon=True)
        self.address, self.bearer = address, f"Bearer {token}"
        self.events: list[tuple[str, str]] = []
        self.last, self.is_refused, self.stopped = "", False, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.stopped.is_set() and self.listen():
            self.stopped.wait(REST_SECONDS)
        self.is_refused = not self.stopped.is_set()

    def stop(self) -> None:
        self.stopped.set()

    def listen(self) -> bool:
        raise NotImplementedError

    def told(self, place: str, event: Any) -> None:
        self.last = place
        if event.get("type") == KIND:
            self.events.append((place, event["data"]["title"]))

    def heard(self) -> list[tuple[str, str]]:
        return list(self.events)

    def is_over(self) -> bool:
        return self.is_refused

    @property
    def stream(self) -> str:
        return f"{self.address}/api/v1/events/stream?type={KIND}"


class Curl(Program):
    def listen(self) -> bool:
        command = ["curl", "-sN", "--fail", "--noproxy", "*", "-H", f"Authorization: {self.bearer}"]
        command += ["-H", f"Last-Event-ID: {self.last}"] if self.last else []
        with subprocess.Popen([*command, self.stream], stdout=subprocess.PIPE, text=True) as curl:
            assert curl.stdout is not None
            self.process, place = curl, ""
            for line in curl.stdout:
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "id":
                    place = value
                elif name == "data":
                    self.told(place, json.loads(value))
        return curl.returncode != CURL_REFUSED

    def stop(self) -> None:
        super().stop()
        self.process.kill()


class HttpxSse(Program):
    def listen(self) -> bool:
        headers = {"Authorization": self.bearer, **({"Last-Event-ID": self.last} if self.last else {})}
        try:
            with (
                httpx.Client(timeout=SECONDS, trust_env=False, headers=headers) as client,
                connect_sse(client, "GET", self.stream) as source,
            ):
                if source.response.status_code == 401:
                    return False
                for event in source.iter_sse():
                    self.told(event.id, event.json())
        except httpx.TransportError:
            return True
        return True


class Socket(Program):
    def listen(self) -> bool:
        address = self.address.replace("http", "ws", 1) + "/ws/events/"
        try:
            with connect(address, additional_headers={"Authorization": self.bearer}, proxy=None) as socket:
                since = {"last_event_id": self.last} if self.last else {}
                socket.send(json.dumps({"action": "subscribe", "type": [KIND], **since}))
                while True:
                    said = json.loads(socket.recv())
                    if "id" in said:
                        self.told(said["id"], said.get("event", {}))
        except InvalidStatus as refused:
            return refused.response.status_code != 403
        except (ConnectionClosed, WebSocketException, OSError):
            return True


# A page's own EventSource. One that has a cookie comes back by itself; one with a stream token asks for
# another when it was refused, as docs/events.md says.
FOLLOW = """([kind, bearer]) => {
  window.heard = []; window.over = false; window.open_ = false;
  let last = "";
  const follow = async () => {
    let address = `/api/v1/events/stream?type=${kind}`;
    if (bearer) {
      const given = await fetch("/api/v1/auth/stream-token", {
        method: "POST", headers: {Authorization: bearer}, credentials: "omit",
      }).catch(() => null);
      if (given && given.status === 401) { window.over = true; return; }
      if (!given || !given.ok) { setTimeout(follow, 200); return; }
      address += `&token=${(await given.json()).token}&last_event_id=${encodeURIComponent(last)}`;
    }
    const source = new EventSource(address);
    source.addEventListener("connected", (event) => { last = event.lastEventId; window.open_ = true; });
    source.addEventListener(kind, (event) => {
      last = event.lastEventId;
      window.heard.push([last, JSON.parse(event.data).data.title]);
    });
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return;
      if (bearer) setTimeout(follow, 200); else window.over = true;
    });
  };
  follow();
}"""


class Browser:
    def __init__(self, page: Page, token: str = "") -> None:
        self.page = page
        page.evaluate(FOLLOW, [KIND, f"Bearer {token}" if token else ""])

    @property
    def last(self) -> str:
        return "open" if self.page.evaluate("window.open_") else ""

    def heard(self) -> list[tuple[str, str]]:
        return [(place, title) for place, title in self.page.evaluate("window.heard")]

    def is_over(self) -> bool:
        return bool(self.page.evaluate("window.over"))
