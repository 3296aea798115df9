"""A variable that cannot be used stops every command with one sentence that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOOM_LEASE_SECONDS", "soon"),
        ("DATABASE_URL", "loom"),
        ("DATABASE_URL", "mysql://u:hidden@localhost/loom"),
        ("DATABASE_URL", "postgres://u:hidden@localhost:port/loom"),
        ("DATABASE_URL", "postgres://u:1hidden/2@localhost/loom"),
        ("DATABASE_URL", "postgres://u:hidden@localhost"),
        ("DATABASE_URL", "sqlite://:memory:"),
        ("REDIS_URL", "hidden.example"),
        ("REDIS_URL", "redis://u:1hidden/2@localhost/0"),
    ],
)
def test_a_bad_variable_is_named(name: str, value: str) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "loom_site.settings", name: value}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Loom is not configured right: ")
    assert name in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr


@pytest.mark.once
def test_other_settings_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys\n\nsys.exit(7)\n")
    command = [sys.executable, "manage.py", "check", "--settings=mine", "--pythonpath", str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 7


@pytest.mark.once
def test_a_data_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "loom_site.settings"}
    environment |= {"LOOM_DATA_DIR": str(tmp_path / "file"), "LOOM_SECRET_KEY": ""}
    command = [sys.executable, "manage.py", "weave", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"weave: The data directory {tmp_path}/file cannot be written to")
