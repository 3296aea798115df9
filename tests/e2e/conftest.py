from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.weaves import GREETER, Installation, installation
from tests.providers.script_server import ScriptServer


@pytest.fixture
def loom(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "loom") as made:
        yield made


@pytest.fixture
def server() -> Iterator[ScriptServer]:
    with ScriptServer(GREETER / "script.yaml") as running:
        yield running
