"""The secret key of an installation that is given none: made once, by whoever starts first."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from loom_site import settings as site


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LOOM_SECRET_KEY", raising=False)
    monkeypatch.setattr(site, "LOOM_DATA_DIR", tmp_path / "data")
    return tmp_path / "data" / "secret_key"


def test_it_is_made_once_and_only_its_owner_may_read_it(place: Path) -> None:
    key = site.secret_key()
    assert len(key) > 50
    assert site.secret_key() == key == place.read_text()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_who_starts_while_another_makes_it_waits_for_what_that_one_writes(place: Path) -> None:
    place.parent.mkdir()
    read: list[str] = []
    waiting = threading.Thread(target=lambda: read.append(site.secret_key()))
    with place.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        file.write("the key of the first")
    waiting.join()
    assert read == ["the key of the first"]


def test_one_that_could_not_be_written_is_made_at_the_next_start(place: Path) -> None:
    """As on a full disk, which leaves an empty file."""
    place.parent.mkdir()
    place.touch(0o644)
    key = site.secret_key()
    assert len(key) > 50
    assert site.secret_key() == key == place.read_text()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_it_is_read_where_nothing_can_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = site.secret_key()

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert site.secret_key() == key
