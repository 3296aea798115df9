from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml

from apps.core.supervisor import read_procfile
from tests.core.processes import ROOT


@pytest.fixture
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return services


def test_compose_runs_the_processes_of_the_procfile(services: dict[str, Any]) -> None:
    for name, command in read_procfile(ROOT / "Procfile").items():
        assert services[name]["command"] == shlex.split(command)


def test_compose_prepares_the_database_before_any_process_starts(services: dict[str, Any]) -> None:
    for name in read_procfile(ROOT / "Procfile"):
        assert services[name]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert set(services["prepare"]["depends_on"]) == {"postgres", "redis"}


def test_compose_has_no_secret_of_its_own(services: dict[str, Any]) -> None:
    environment = services["web"]["environment"]
    assert environment["LOOM_SECRET_KEY"].startswith("${LOOM_SECRET_KEY:?")
    assert "${POSTGRES_PASSWORD:?" in environment["DATABASE_URL"]
