"""The secret key of an installation that is given none: made once, by whoever starts first."""

from __future__ import annotations

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
    place.touch()
    writing = threading.Timer(0.2, place.write_text, ["the key of the first"])
    writing.start()
    assert site.secret_key() == "the key of the first"
    writing.join()
