"""Marks of those who look are left with the broker that is named now, not with one that was named before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.core import watching
from apps.core.broker import BrokerKeeper


def test_another_broker_of_the_same_number_is_asked(
    broker: BrokerKeeper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watching, "_marks", watching._Marks())
    monkeypatch.setattr(watching, "AWAY_SECONDS", 0.0)
    here = os.environ.get("REDIS_URL") or f"unix://{broker.socket}"
    number = here.rsplit("/", 1)[1] if here.startswith("redis:") else "0"
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path}/nobody.sock?db={number}")
    watching.watch_begin("the-other")
    assert watching.watched("the-other") == ""
    monkeypatch.setenv("REDIS_URL", here)
    watching.watch_begin("the-other")
    assert watching.watched("the-other") != ""
