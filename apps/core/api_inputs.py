"""Fields of request bodies that several apps' APIs take."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.http import json_bytes

WORDS, WORD_CHARS = 200, 500


class Input(serializers.Serializer[Any]):
    """A request's body; keys that it does not know are ignored, as clients of the original expect."""

    @classmethod
    def read(cls, body: Any, *, partial: bool = False) -> dict[str, Any]:
        given = cls(data=body, partial=partial)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)


class WordsField(serializers.ListField):
    """Some short texts."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_length", WORDS)
        options.setdefault("child", serializers.CharField(max_length=WORD_CHARS))
        super().__init__(**options)


class TextsField(serializers.DictField):
    """Texts by name; anything else is written as JSON has it, null takes a name out."""

    child = serializers.JSONField(allow_null=True)

    def to_internal_value(self, data: Any) -> dict[str, str | None]:
        given = super().to_internal_value(data)
        if len(given) > WORDS:
            raise serializers.ValidationError(f"{WORDS} names at most.")
        return {
            str(name)[:WORD_CHARS]: value if value is None else _text(value) for name, value in given.items()
        }


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json_bytes(value).decode()


@extend_schema_field(
    {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]{1,18}$"}]}
)
class IdField(serializers.Field[Any, Any, Any, Any]):
    """The id of a row: a number, or the same as text."""

    default_error_messages = {"invalid": "This is no id."}

    def to_internal_value(self, data: Any) -> int:
        text = str(data).strip()
        if isinstance(data, bool) or not (text.isascii() and text.isdigit() and len(text) < 19):
            self.fail("invalid")
        return int(text)

    def to_representation(self, value: Any) -> str:
        return str(value)
