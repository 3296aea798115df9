"""Values as every database keeps them: JSON, and text without what PostgreSQL refuses to store."""

from __future__ import annotations

import json
from typing import Any

# What json.dumps writes for NUL and for halves of surrogate pairs (and for emoji, which are no harm).
SUSPECTS = ("\\u0000", "\\ud")


class NotJSON(TypeError):
    """A value that cannot be kept; trying again does not help."""

    retryable = False


def storable(value: Any) -> Any:
    """The value as it is read back later; NotJSON if it is none that JSON knows."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NotJSON(f"This cannot be kept as JSON: {error}.") from None
    kept = json.loads(text)
    return _clean(kept) if any(suspect in text for suspect in SUSPECTS) else kept


def storable_text(text: str) -> str:
    """The text without NUL and with lone surrogates replaced."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _clean(value: Any) -> Any:
    match value:
        case str():
            return storable_text(value)
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {storable_text(key): _clean(item) for key, item in value.items()}
        case _:
            return value
