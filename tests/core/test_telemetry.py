"""Spans: what is traced, and that one bead's work is one trace wherever it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.collector import collecting
from tests.e2e.weaves import GREETER, installation
from tests.providers.script_server import ScriptServer


@pytest.mark.slow
def test_a_bead_is_one_trace_with_its_calls_to_models(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        ScriptServer(GREETER / "script.yaml") as server,
        installation(tmp_path / "loom") as loom,
    ):
        loom.connect(server.url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="200")
        done = loom.weave(str(GREETER / "prd.md"), "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err

    spans = collector.spans
    runs = [span for span in spans if span.name == "run bead.work"]
    chats = [span for span in spans if span.name == "chat script"]
    traces = {span.trace_id for span in runs}
    assert len(traces) == 3, "one trace for each of the three stories"
    assert len(chats) == server.counters.calls
    assert sum(chat.trace_id in traces for chat in chats) > len(chats) / 2
    assert all(any(item.key == "gen_ai.usage.input_tokens" for item in chat.attributes) for chat in chats)
