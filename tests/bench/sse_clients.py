"""Many clients of one stream in one process: they note when what came, and read it when all is over."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.child import Command

PADDING = "x" * 60  # makes the floor's event about as long as Loom's
FRAME_END = b"\n\n"
NUMBER = re.compile(rb'"number":\s*(\d+)')
AT_ONCE = 20


class Client(asyncio.Protocol):
    """Keeps every piece with its moment; only counts while it listens."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.pieces: list[tuple[float, bytes]] = []
        self.frames = 0
        self.is_open = asyncio.Event()
        self._last = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.time(), data))
        self.frames += (self._last + data).count(FRAME_END)
        self._last = data[-1:]
        if self.frames and not self.is_open.is_set():
            self.is_open.set()

    def begin(self) -> None:
        self.pieces.clear()
        self.frames = 0

    def receipts(self) -> list[tuple[int, float]]:
        """Number and moment of every event."""
        found, rest = list[tuple[int, float]](), b""
        for moment, data in self.pieces:
            whole, end, rest = (rest + data).rpartition(FRAME_END)
            found += [(int(number), moment) for number in NUMBER.findall(whole + end)]
        return found


class Crowd:
    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def connect(self, port: int, path: str, cookie: str, count: int) -> dict[str, Any]:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nCookie: {cookie}\r\n\r\n"
        ).encode()
        began = time.monotonic()
        self._run(self._connect(port, request, count))
        return {"seconds": time.monotonic() - began}

    async def _connect(self, port: int, request: bytes, count: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> Client:
            async with gate:
                _, client = await self.loop.create_connection(lambda: Client(request), "127.0.0.1", port)
                await asyncio.wait_for(client.is_open.wait(), 60)
                return client

        self.clients = await asyncio.gather(*(one() for _ in range(count)))

    def begin(self) -> dict[str, Any]:
        for client in self.clients:
            client.begin()
        return {}

    def wait(self, frames: int, patience: float) -> dict[str, Any]:
        """Until every client has had that many frames, or nothing more comes; how many are missing."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            missing = sum(max(0, frames - client.frames) for client in self.clients)
            if not missing:
                break
            time.sleep(0.02)
        return {}

    def report(self, sent: list[float], first: int) -> dict[str, Any]:
        """Deliveries, what is lost, and how long each took from being sent."""
        took, last, lost = list[float](), 0.0, 0
        for client in self.clients:
            receipts = client.receipts()
            mine = {number: moment for number, moment in receipts if first <= number < first + len(sent)}
            lost += len(sent) - len(mine)
            took += [moment - sent[number - first] for number, moment in mine.items()]
            last = max(last, *mine.values()) if mine else last
        return {"took": percentiles(took), "last": last, "lost": lost, "deliveries": len(took)}

    def close(self) -> dict[str, Any]:
        for client in self.clients:
            self.loop.call_soon_threadsafe(client.transport.close)
        self.clients = []
        return {}


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    return {name: ordered[int(share * (len(ordered) - 1))] for name, share in (("p50", 0.5), ("p99", 0.99))}


def commands() -> dict[str, Command]:
    crowd = Crowd()
    return {
        "connect": crowd.connect,
        "begin": crowd.begin,
        "wait": crowd.wait,
        "report": crowd.report,
        "close": crowd.close,
    }
