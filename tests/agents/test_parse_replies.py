"""The public door of the reader: `manage.py parse_replies`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "unparsed_replies.jsonl"


def parsed(path: Path | str) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("parse_replies", str(path), stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def file_of(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def test_every_line_is_answered_in_order(tmp_path: Path) -> None:
    read = '<think>hm</think>```json\n{"actions": [{"type": "read_tree", "path": "."}]}\n```'
    given = file_of(
        tmp_path,
        {"id": "a", "reply": read},
        "\n",
        {"id": "b", "reply": "Let me think."},
        {"id": 3, "reply": '{"action": "done", "summary": "ok"}'},
    )
    first, second, third = parsed(given)
    assert first == {"id": "a", "actions": [{"type": "read_tree", "path": "."}], "error": None}
    assert second["id"] == "b"
    assert second["actions"] == []
    assert "no action" in second["error"]
    assert third["id"] == 3
    assert third["actions"] == [{"type": "done", "summary": "ok"}]


def test_native_calls_are_read_too(tmp_path: Path) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
    assert parsed(file_of(tmp_path, {"id": 1, "reply": None, "tool_calls": [call]}))[0]["actions"] == [
        {"type": "read_file", "path": "a"}
    ]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{nope\n", "Line 1 is not JSON"),
        ([1], "Line 1 is not an object"),
        ({"id": 1}, 'has no "reply"'),
        ({"id": 1, "reply": 5}, 'has no "reply"'),
        ({"id": 1, "reply": "", "tool_calls": ["x"]}, "no objects"),
    ],
)
def test_a_line_that_is_no_reply_is_answered_and_the_rest_read(tmp_path: Path, row: object, why: str) -> None:
    path = file_of(tmp_path, row, {"id": "ok", "reply": '{"action": "done", "summary": "s"}'})
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 lines"):
        call_command("parse_replies", str(path), stdout=out)
    refused, read = map(json.loads, out.getvalue().splitlines())
    assert why in refused["error"]
    assert refused["actions"] == []
    assert read["actions"] == [{"type": "done", "summary": "s"}]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        parsed(tmp_path / "none.jsonl")


@pytest.mark.skipif(not SHARED.exists(), reason="the corpus of real replies is not on this machine")
def test_real_replies_give_their_complete_actions_and_nothing_else() -> None:
    rows = [json.loads(line) for line in SHARED.read_text(encoding="utf-8").splitlines()]
    answers = parsed(SHARED)
    assert [row["actions"] for row in rows] == [answer["actions"] for answer in answers]
