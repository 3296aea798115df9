from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.engine import doorbell, leases
from apps.providers import pool
from tests.workflows.studio import Model, Studio


@pytest.fixture(autouse=True)
def quiet_doorbell() -> Iterator[None]:
    doorbell.use(lambda _: None)
    yield
    doorbell.use(None)
    leases.resume()


@pytest.fixture
def open_studio(
    transactional_db: None, tmp_path: Path, settings: Settings
) -> Iterator[Callable[..., Studio]]:
    """`open_studio(model, ...)`: rooms of their own, closed at the end."""
    settings.LOOM_DATA_DIR = tmp_path / "loom"
    opened: list[Studio] = []

    def make(model: Model, *, tools: bool = True, max_sessions: int = 4) -> Studio:
        opened.append(Studio(model, tools=tools, max_sessions=max_sessions))
        return opened[-1]

    yield make
    for studio in opened:
        studio.close()
    pool.forget()
