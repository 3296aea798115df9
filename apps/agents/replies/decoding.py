"""JSON in the middle of a long text, read piece by piece.

For each error the decoder counts the lines of all the text it was given: with many values that are not JSON,
the time would grow with the square of the text.
"""

from __future__ import annotations

import json
from typing import Any

PIECE = 4096  # characters that are tried first
MARGIN = 16  # characters at the end of a piece where a token or an escape may be cut in two


class Malformed(ValueError):
    """No JSON, from `at` of the text on."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.why, self.at = why, at


def decode_at(decoder: json.JSONDecoder, text: str, begin: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends; Malformed, or what the decoder's hooks raise."""
    size = PIECE
    while True:
        piece, is_last = text[begin : begin + size], begin + size >= len(text)
        try:
            value, end = decoder.raw_decode(piece)
        except json.JSONDecodeError as error:
            may_be_cut = error.pos > size - MARGIN or error.msg.startswith("Unterminated")
            if is_last or not may_be_cut:
                raise Malformed(error.msg, begin + error.pos) from None
        else:
            if is_last or end < size:
                return value, begin + end
        size *= 4
