"""An OpenAI-compatible model server over a real socket that plays a script, and misbehaves on demand.

In a test: `with ScriptServer(script) as server: ...`. As a process of its own:
`python -m tests.providers.script_server --script X --port 0`, which prints its URL; `GET /stats` counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from apps.core.errors import LoomError
from apps.providers.scripted import Script, ScriptedReply, script_at
from tests.providers.completions import RAW, completion_of, events_of, pieces_of, usage_of

Say = Callable[[list[dict[str, Any]], bool], ScriptedReply]


@dataclass
class Switches:
    """How the server behaves; may be changed while it runs."""

    tools: bool = True  # off: a 400 like those of real servers without tools
    stream: bool = True  # off: "stream" is ignored and the answer comes whole
    usage: bool = True  # off: no usage is reported
    latency: float = 0.0  # seconds before each answer
    chunk_delay: float = 0.0  # seconds between the pieces of a stream
    chunk_bytes: int = 0  # cut streams into pieces of so many bytes, wherever that falls; 0: an event a piece
    max_bytes: int = 0  # refuse longer requests as too long for the context; 0: no limit
    key: str = ""  # demand this API key; empty: any
    models: tuple[str, ...] = ("script",)
    aliases: tuple[str, ...] = ()  # known when asked for by name, but not listed
    lists: bool = True  # off: there is no page of models
    keep_alive: bool = True
    record: bool = True  # off: requests are counted, not kept


@dataclass(frozen=True)
class Failure:
    """What goes wrong with one request.

    Kinds: a status such as "401" or "500"; "hang" accepts and never answers; "stall" begins an answer and
    stops; "drop" breaks off in the middle; "close" hangs up without a byte; "garbage" answers what is no
    JSON; "html" a page; "empty" nothing; "shape" JSON that is no completion; "redirect" elsewhere.
    """

    kind: str
    retry_after: str = ""
    body: str = ""


@dataclass(frozen=True)
class Recorded:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    size: int
    connection: int  # number of the connection it came on


@dataclass
class Counters:
    calls: int = 0  # chat completions answered well
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    connections: int = 0


@dataclass
class _State:
    say: Say
    switches: Switches
    failures: deque[Failure] = field(default_factory=deque)
    requests: list[Recorded] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)


class ScriptServer:
    """The server; `script` is a path, a Script, or a function from (messages, tools offered) to a reply."""

    def __init__(self, script: Script | Path | str | Say, *, port: int = 0, **switches: Any) -> None:
        self._state = _State(_sayer(script), Switches(**switches))
        state = self._state

        class Handler(_Handler):
            pass

        Handler.state = state
        self._http = _Http(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def switches(self) -> Switches:
        return self._state.switches

    @property
    def counters(self) -> Counters:
        return self._state.counters

    @property
    def requests(self) -> list[Recorded]:
        """Chat completions asked for, in order, failed ones too."""
        with self._state.lock:
            return list(self._state.requests)

    def fail_next(self, kind: str, *, times: int = 1, retry_after: str = "", body: str = "") -> None:
        """Let the next requests go wrong, each in its own way if called several times."""
        with self._state.lock:
            self._state.failures.extend([Failure(kind, retry_after, body)] * times)

    def heal(self) -> None:
        """Forget the failures still to come."""
        with self._state.lock:
            self._state.failures.clear()

    def start(self) -> ScriptServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._state.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.hang_up()

    def serve_forever(self) -> None:
        self._http.serve_forever()

    def __enter__(self) -> ScriptServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is nothing to print about."""


class _Handler(BaseHTTPRequestHandler):
    state: _State
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        with self.state.lock:
            self.state.counters.connections += 1
            self.number = self.state.counters.connections

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it that
        """Silence."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v1/models" and not self._has_key():
            self._refuse_key()
        elif path == "/v1/models" and self.state.switches.lists:
            listed = [
                {"id": name, "object": "model", "owned_by": "script"} for name in self.state.switches.models
            ]
            self._json(200, {"object": "list", "data": listed})
        elif path.removeprefix("/v1/models/") in self.state.switches.aliases:
            self._json(200, {"id": path.rpartition("/")[2], "object": "model"})
        elif path == "/stats":
            self._json(200, dict(vars(self.state.counters)))
        else:
            self._json(404, {"error": {"message": f"no page {path}"}})

    def _has_key(self) -> bool:
        wanted = self.state.switches.key
        return not wanted or self.headers.get("Authorization") == f"Bearer {wanted}"

    def _refuse_key(self) -> None:
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self._error(401, f"Incorrect API key provided: {given}.", "invalid_api_key")

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size))
        with self.state.lock:
            failure = self.state.failures.popleft() if self.state.failures else None
            if self.state.switches.record:
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.state.requests.append(Recorded(self.path, headers, body, size, self.number))
        if self.state.switches.latency:
            time.sleep(self.state.switches.latency)
        if failure is not None:
            with self.state.lock:
                self.state.counters.failures += 1
            self._fail(failure, body)
        elif self.path.partition("?")[0] != "/v1/chat/completions":
            self._json(404, {"error": {"message": f"no page {self.path}"}})
        else:
            self._complete(body, size)

    def _complete(self, body: dict[str, Any], size: int) -> None:
        switches = self.state.switches
        if not self._has_key():
            return self._refuse_key()
        if switches.max_bytes and size > switches.max_bytes:
            said = f"This model's maximum context length is {switches.max_bytes // 4} tokens."
            return self._error(400, said, "context_length_exceeded")
        if body.get("tools") and not switches.tools:
            return self._error(400, f"{body['model']} does not support tools", "invalid_request_error")
        if body.get("model") not in switches.models:
            return self._error(404, f"The model {body.get('model')!r} does not exist.", "model_not_found")
        try:
            reply = self.state.say(body["messages"], bool(body.get("tools")))
        except LoomError as error:
            return self._error(400, error.message, "no_scene")
        time.sleep(reply.delay)
        return self._answer(body, reply, size)

    def _answer(self, body: dict[str, Any], reply: ScriptedReply, size: int) -> None:
        usage = usage_of(size, reply)
        with self.state.lock:
            self.state.counters.calls += 1
            self.state.counters.prompt_tokens += usage["prompt_tokens"]
            self.state.counters.completion_tokens += usage["completion_tokens"]
        if body.get("stream") and self.state.switches.stream:
            wanted = self.state.switches.usage and body.get("stream_options", {}).get("include_usage")
            self._stream(events_of(body["model"], reply, usage if wanted else None))
        else:
            whole = completion_of(body["model"], reply, usage if self.state.switches.usage else None)
            self._json(200, whole)

    def _stream(self, events: Sequence[bytes], *, stop_after: int | None = None) -> None:
        self._head("text/event-stream", chunked=True)
        pieces = pieces_of(events, self.state.switches.chunk_bytes)
        for piece in itertools.islice(pieces, stop_after):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            time.sleep(self.state.switches.chunk_delay)
        if stop_after is None:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _fail(self, failure: Failure, body: dict[str, Any]) -> None:
        if failure.kind.isdecimal():
            self._error(int(failure.kind), failure.body or f"failure {failure.kind}", "", failure.retry_after)
        elif failure.kind in RAW:
            content_type, content = RAW[failure.kind]
            self._head(content_type, length=len(content))
            self.wfile.write(content)
        elif failure.kind == "redirect":
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.1:9/v1/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._break(failure.kind, body)

    def _break(self, kind: str, body: dict[str, Any]) -> None:
        """Failures that leave the connection unusable."""
        self.close_connection = True
        reply = ScriptedReply("The first half of what will never be finished. " * 4)
        if kind in {"drop", "stall"} and body.get("stream"):
            self._stream(events_of(body["model"], reply, None), stop_after=3)
        elif kind in {"drop", "stall"}:
            whole = json.dumps(completion_of(body["model"], reply, None)).encode()
            self._head("application/json", length=len(whole))
            self.wfile.write(whole[: len(whole) // 2])
            self.wfile.flush()
        if kind in {"hang", "stall"}:
            self.state.released.wait(60)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _error(self, status: int, message: str, code: str, retry_after: str = "") -> None:
        error = {"message": message, "type": "invalid_request_error", "code": code}
        self._json(status, {"error": error}, {"Retry-After": retry_after} if retry_after else {})

    def _json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self._maybe_close()
        self.end_headers()
        self.wfile.write(content)

    def _head(self, content_type: str, *, length: int = 0, chunked: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self._maybe_close()
        self.end_headers()

    def _maybe_close(self) -> None:
        if not self.state.switches.keep_alive:
            self.close_connection = True
            self.send_header("Connection", "close")


def _sayer(script: Script | Path | str | Say) -> Say:
    if isinstance(script, Path | str):
        script = script_at(script)
    if isinstance(script, Script):
        known = script
        return lambda messages, tools: known.reply(messages, tools_offered=tools)
    return script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--script", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--no-tools", action="store_true")
    parser.add_argument("--no-stream", action="store_true")
    parser.add_argument("--key", default="")
    given = parser.parse_args()
    server = ScriptServer(
        given.script,
        port=given.port,
        latency=given.latency,
        tools=not given.no_tools,
        stream=not given.no_stream,
        key=given.key,
        record=False,
    )
    print(server.url, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
