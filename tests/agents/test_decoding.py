"""JSON read piece by piece is what it is when read whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.agents.replies import decoding
from apps.agents.replies.decoding import Malformed, decode_at
from tests.growth import assert_linear

VALUES = [
    '{"name": "a long name", "numbers": [1, -2.5e10, 12345678901234567890, 0], "deep": {"er": [[[]]]}} rest',
    '["escapes \\u00e9 \\ud83d\\ude00 \\n \\" end", true, false, null, "raw\nline\tend"] {"next": 1}',
    '{"a": 1, "b": "never closed, }',
    '{"a": 1, "b": [1, 2, 3',
    '{"a": 1, "b": [1, 2, 3}, "c": 4}',
    '{"a": 1, b: 2}',
    '{"a": "\\x no such escape", "b": 2}',
    '{"a": "\\u12", "b": "\\ud83d"}',
    '{"a" 1}',
    "[1, 2, nul]",
    "[1, 2, -]",
    "1234567890" * 5,
    '"' + "x" * 60 + '"',
    "true",
    "",
    "x",
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("size", [16, 17, 20, 33, 4096])
@pytest.mark.parametrize("value", VALUES)
def test_it_is_read_as_if_it_were_read_whole(
    monkeypatch: pytest.MonkeyPatch, value: str, size: int, strict: bool
) -> None:
    monkeypatch.setattr(decoding, "PIECE", size)
    decoder = json.JSONDecoder(strict=strict)
    for before in ("", "line\n" * 3):
        for cut in range(len(value) + 1):
            text = before + value[:cut]
            assert _came(lambda: decode_at(decoder, text, len(before))) == _came(  # noqa: B023 - called here
                lambda: decoder.raw_decode(text, len(before))  # noqa: B023
            ), text


def _came(read: Any) -> Any:
    try:
        return read()
    except Malformed as error:
        return error.why, error.at
    except json.JSONDecodeError as error:
        return error.msg, error.pos


def test_many_values_that_are_not_json_take_time_as_their_number() -> None:
    decoder = json.JSONDecoder()

    def read(size: int) -> None:
        text = "{\n" * size
        for begin in range(0, len(text), 2):
            with pytest.raises(Malformed):
                decode_at(decoder, text, begin)

    assert_linear(read, 32_000)
