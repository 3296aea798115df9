"""Spans: what is traced, and that one bead's work is one trace wherever it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.weaves import GREETER, installation
from tests.providers.script_server import ScriptServer


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP receiver and the spans it got."""
    spans: list[Span] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            return

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    server.server_close()


def test_a_bead_is_one_trace_with_its_calls_to_models(
    collector: tuple[str, list[Span]], tmp_path: Path
) -> None:
    endpoint, spans = collector
    with ScriptServer(GREETER / "script.yaml") as server, installation(tmp_path / "loom") as loom:
        loom.connect(server.url, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="200")
        done = loom.weave(str(GREETER / "prd.md"), "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err

    runs = [span for span in spans if span.name == "run bead.work"]
    chats = [span for span in spans if span.name == "chat script"]
    traces = {span.trace_id for span in runs}
    assert len(traces) == 3, "one trace for each of the three stories"
    assert len(chats) == server.counters.calls
    assert sum(chat.trace_id in traces for chat in chats) > len(chats) / 2
    assert all(any(item.key == "gen_ai.usage.input_tokens" for item in chat.attributes) for chat in chats)
