"""What is told of a reply while it comes: only to those who look, whole or in order, without secrets."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apps.agents import live
from apps.agents.live import Live
from apps.core import masking
from apps.core.masking import scope_of, secrets_note
from apps.providers.answers import StreamReader

SECRET = "canary-0a1b2c3d4e5f6a7b"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(live, "publish", lambda channel, data: said.append(orjson.loads(data)))
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(masking, "_known", {masking.EVERYBODY: frozenset()})  # no secrets of other tests
    monkeypatch.setattr(masking, "_maskers", {})
    return said


def test_nothing_is_told_until_somebody_looks_and_then_from_the_beginning(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = ""
    monkeypatch.setattr(live, "watched", lambda channel: mark)
    one = Live(7, 9, 3)
    one("Hel")
    assert told == []
    mark = "a"
    one("lo, ")
    one("world")
    mark = "b"  # another begins to look
    one.aside("action:0:write_file", '{"path"')
    one.aside("action:0:write_file", ": 1}")
    one.again()
    one("Anew")
    assert [(row["seq"], row["whole"], row["parts"]) for row in told] == [
        (1, True, [["text", "Hello, "]]),
        (2, False, [["text", "world"]]),
        (3, True, [["text", "Hello, world"], ["action:0:write_file", '{"path"']]),
        (4, False, [["action:0:write_file", ": 1}"]]),
        (5, True, [["text", "Anew"]]),
    ]
    assert {row["turn"] for row in told} == {3}


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_a_secret_is_masked_however_it_is_cut(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(live, "watched", lambda channel: "a")
    secrets_note(SECRET, scope=scope_of(9))
    one = Live(7, 9, 1)
    for kind in ("thinking", "text", "action:0:run_command"):
        text = f"the key {SECRET} is here"
        for at in range(0, len(text), size):
            one.aside(kind, text[at : at + size])
    one("")
    shown = "".join(text for row in told for _, text in row["parts"])
    assert SECRET[:8] not in shown
    assert shown.count("[secret]") == 3


def test_thinking_and_actions_of_a_stream_are_overheard(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "watched", lambda channel: "a")
    reader = StreamReader(Live(7, 9, 1))
    call = {"index": 0, "id": "c", "function": {"name": "read_file", "arguments": '{"path": '}}
    more = {"index": 0, "function": {"arguments": '"a.py"}'}}
    for delta in (
        {"reasoning_content": "Hm."}, {"content": "So."}, {"tool_calls": [call]}, {"tool_calls": [more]},
        {"tool_calls": "x"}, {"content": None},
    ):  # fmt: skip
        reader.feed(b"data: " + orjson.dumps({"choices": [{"delta": delta}]}) + b"\n\n")
    parts = [part for row in told for part in row["parts"]]
    assert parts == [
        ["thinking", "Hm."], ["text", "So."],
        ["action:0:read_file", '{"path": '], ["action:0:read_file", '"a.py"}'],
    ]  # fmt: skip
