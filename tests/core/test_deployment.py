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


def test_what_watches_is_optional_and_reached_from_this_machine_only(services: dict[str, Any]) -> None:
    always = {*read_procfile(ROOT / "Procfile"), "postgres", "redis", "prepare"}
    for name in services.keys() - always:
        assert services[name]["profiles"] == ["watching"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
        for mount in services[name].get("volumes", []):
            if mount.startswith("./"):
                assert (ROOT / mount.partition(":")[0]).is_file(), mount
    assert services["web"]["environment"]["LOOM_METRICS_TOKEN"] == "${LOOM_METRICS_TOKEN:-}"


def test_prometheus_asks_a_host_that_loom_answers_to(services: dict[str, Any]) -> None:
    scrape = yaml.safe_load((ROOT / "watching/prometheus.yml").read_text())["scrape_configs"][0]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target.partition(":")[0] in services["web"]["environment"]["LOOM_ALLOWED_HOSTS"].split(",")
    secret = scrape["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert services["prometheus"]["secrets"] == [secret]
