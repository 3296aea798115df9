"""The health check, and the version it tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from apps.core.version import newest_release, version

HEALTH = "/api/v1/health"


@pytest.mark.django_db
def test_a_whole_installation_is_ok_without_login(client: Client) -> None:
    response = client.get(HEALTH)
    assert response.status_code == 200
    states = {"status": "ok", "version": version(), "database": "ok", "broker": "ok"}
    assert response.json() == {**states, "heartbeat": {"at": None}}
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_without_a_broker_it_is_degraded_but_alive(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # nobody listens there
    response = client.get(HEALTH)
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["broker"]) == ("degraded", "unreachable")


@pytest.mark.django_db(transaction=True)
def test_without_its_database_it_is_failing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "NAME", "/nowhere/loom")
        response = client.get(HEALTH)
        connection.close()
    assert response.status_code == 503
    assert (response.json()["status"], response.json()["database"]) == ("failing", "unreachable")


@pytest.mark.django_db
def test_it_can_only_be_read(client: Client) -> None:
    assert client.post(HEALTH).status_code == 405


def test_the_version_is_the_newest_release() -> None:
    text = "# Changelog\n\n## Unreleased\n\n- 9.9.9\n\n## [1.20.3] - 2026-01-01\n\n## 1.2.0\n"
    assert newest_release(text) == "1.20.3"
    assert newest_release("# Changelog\n\n## Unreleased\n") == "0.0.0"


def test_the_changelog_has_a_release() -> None:
    text = (Path(settings.BASE_DIR) / "CHANGELOG.md").read_text(encoding="utf-8")
    assert version() == newest_release(text) != "0.0.0"


def test_the_api_description_tells_the_same_version() -> None:
    assert settings.SPECTACULAR_SETTINGS["VERSION"] == version()
