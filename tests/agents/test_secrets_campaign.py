"""The campaign of secrets: no canary shows anywhere, and the search would find them."""

from __future__ import annotations

import base64

import pytest

from apps.agents.sandbox import sandbox_status
from tests.campaigns import _secret_places, secrets
from tests.campaigns._secret_places import Finder

pytestmark = [
    pytest.mark.skipif(not sandbox_status().available, reason="no sandbox here"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.once,
]


def test_no_canary_leaves_the_worktree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_secret_places, "PAGES", 1)
    found = secrets.leaks()
    assert {place: count for place, count in found["places"].items() if count} == {}
    assert found["searched"] > 100
    assert found["merged"]


def test_the_finder_knows_every_canary_in_every_spelling() -> None:
    finder = Finder(secrets.CANARIES)
    for name, value in secrets.CANARIES.items():
        for told in (
            value,
            value[::-1],
            value.encode().hex(" "),
            base64.b64encode(b"x" + value.encode()).decode(),
        ):
            assert name in finder.found(f"so: {told}\n")
    assert finder.found("nothing of it") == set()
