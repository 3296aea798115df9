"""Values on their way into a database that is stricter than Python."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from apps.core.storable import NotJSON, storable, storable_text

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("plain", "plain"),
        ("a\0b", "ab"),
        ("half \ud83d pair", "half ? pair"),
        ("whole \U0001f600 pair", "whole \U0001f600 pair"),
        ("spelled \\u0000 and \\ud83d", "spelled \\u0000 and \\ud83d"),
    ],
)
def test_text_loses_only_what_no_database_keeps(given_text: str, kept: str) -> None:
    assert storable_text(given_text) == kept
    assert storable({given_text: [given_text]}) == {kept: [kept]}


@given(ANY_JSON)
def test_ordinary_json_stays_as_it_is_and_cleaning_twice_changes_nothing(value: Any) -> None:
    once = storable(value)
    assert storable(once) == once
    if "\\u0000" not in (text := json.dumps(value)) and "\\ud" not in text:
        assert once == value


def test_tuples_become_lists_as_they_would_in_the_database() -> None:
    assert storable({"pair": (1, (2, 3))}) == {"pair": [1, [2, 3]]}


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", float("nan"), float("inf"), {"deep": [object()]}]
)
def test_what_is_no_json_is_refused_and_not_worth_another_try(value: Any) -> None:
    with pytest.raises(NotJSON, match="cannot be kept as JSON") as refused:
        storable(value)
    assert refused.value.retryable is False


@pytest.mark.django_db
def test_the_database_takes_it() -> None:
    value = storable({"text": "a\0b \ud800 \U0001f600"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [json.dumps(value)])
        assert json.loads(cursor.fetchone()[0]) == value
