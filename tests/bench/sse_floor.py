"""The floor of the streams: a bare Starlette broadcaster that keeps everything in memory.

`python -m tests.bench.sse_floor PORT` serves it, in the environment of the rivals.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from tests.bench.sse_clients import PADDING

queues: set[asyncio.Queue[bytes]] = set()


async def stream(request: Request) -> StreamingResponse:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"event: connected\ndata: {}\n\n"
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)

    return StreamingResponse(body(), media_type="text/event-stream")


async def tell(request: Request) -> JSONResponse:
    """Publish `count` events, with a rest of some seconds after each; when that was."""
    asked = await request.json()
    sent = []
    for number in range(asked["first"], asked["first"] + asked["count"]):
        said = json.dumps({"number": number, "text": PADDING})
        frame = f"id: {number}\nevent: bench.told\ndata: {said}\n\n".encode()
        sent.append(time.time())
        for queue in queues:
            queue.put_nowait(frame)
        await asyncio.sleep(asked["rest"])
    return JSONResponse({"sent": sent})


app = Starlette(routes=[Route("/stream", stream), Route("/tell", tell, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
