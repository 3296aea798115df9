"""Requests per second of a list of 100 of 10,000 beads, beside a bare DRF view and raw values() + orjson."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.child import Child, CouldNotMeasure
from tests.bench.figures import Figure

TARGET = 3.0
CLIENTS = 8
SECONDS = 3.0
QUERY = "project_id={project}&status=open,in_progress,blocked&ordering=-created_at&limit=100"
SIDES = {
    "loom": "/api/v1/beads",
    "drf": "/bench/drf",
    "columns": "/bench/columns",
    "raw": "/bench/raw",
}


def measure(env: Mapping[str, str], *, rounds: int) -> dict[str, dict[str, Any]]:
    limits = {
        "LOOM_RATE_PER_USER": "1000000000",
        "LOOM_RATE_PER_ADDRESS": "1000000000",
    }  # counted, not refused
    own = {**env, **limits, "DJANGO_SETTINGS_MODULE": "tests.bench.api_settings"}
    port = free_port()
    with Child(
        "--django", "tests.bench.loom_api", env=own, log=Path(env["LOOM_DATA_DIR"]) / "api.log"
    ) as site:
        told = site.ask("start", seconds=180, port=port)
        try:
            rates = play(port, told, rounds)
        finally:
            site.ask("stop")
    ratios = [ours / bare for ours, bare in zip(rates["loom"], rates["drf"], strict=True)]
    figure = Figure(
        value=round(median(ratios), 2),
        target=TARGET,
        unit="times the requests per second of a bare DRF ModelSerializer view, 100 of 10,000 beads",
        samples=rounds,
        least=True,
        details={
            "per_round": [round(ratio, 2) for ratio in ratios],
            "requests_per_second": {side: round(median(values), 1) for side, values in rates.items()},
            "of_raw": round(median(rates["loom"]) / median(rates["raw"]), 2),
        },
    )
    plain = [ours / bare for ours, bare in zip(rates["loom"], rates["columns"], strict=True)]
    columns = Figure(
        value=round(median(plain), 2),
        target=TARGET,
        unit="times that of a bare DRF ModelSerializer view with the plain columns alone",
        samples=rounds,
        least=True,
        details={"per_round": [round(ratio, 2) for ratio in plain]},
    )
    return {"api_list": figure.dump(), "api_list_columns": columns.dump()}


def play(port: int, told: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Requests per second of each side, in an order that changes from round to round."""
    query = QUERY.format(project=told["project"])
    requests = {side: request(f"{path}?{query}", told["cookie"]) for side, path in SIDES.items()}
    for sent in requests.values():
        asyncio.run(load(port, sent, 1.0))
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds):
        order = list(SIDES) if number % 2 else list(reversed(SIDES))
        for side in order:
            rates[side].append(asyncio.run(load(port, requests[side], SECONDS)))
    return rates


def request(address: str, cookie: str) -> bytes:
    lines = [f"GET {address} HTTP/1.1", "Host: localhost", f"Cookie: {cookie}", "Accept: application/json"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def load(port: int, sent: bytes, seconds: float) -> float:
    """Answers per second that some connections get which each always have one request under way."""
    until = time.monotonic() + seconds
    began = time.monotonic()
    counts = await asyncio.gather(*(client(port, sent, until) for _ in range(CLIENTS)))
    return sum(counts) / (time.monotonic() - began)


async def client(port: int, sent: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    count = 0
    while time.monotonic() < until:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise CouldNotMeasure(f"The server answered {head[:200]!r}.")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        count += 1
    writer.close()
    return count


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
