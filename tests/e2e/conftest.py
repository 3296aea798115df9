from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.weaves import GREETER, ROOT, Installation, environment, installation
from tests.providers.script_server import ScriptServer


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with empty tables."""
    data = tmp_path_factory.mktemp("template") / "loom"
    data.mkdir()
    env = environment(data)
    env.pop("DATABASE_URL", None)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=env,
        check=True,
        timeout=120,
    )
    return data


@pytest.fixture
def loom(tmp_path: Path, template: Path) -> Iterator[Installation]:
    with installation(tmp_path / "loom", template) as made:
        yield made


@pytest.fixture
def server() -> Iterator[ScriptServer]:
    with ScriptServer(GREETER / "script.yaml") as running:
        yield running
