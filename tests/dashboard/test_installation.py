"""The operators' page: what is in force and from where, without a secret, and for nobody else."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import organization_ensure
from apps.dashboard import views_installation
from apps.dashboard.queries_installation import Setting, settings_read
from apps.engine import machinery
from tests.dashboard.test_home import read

pytestmark = pytest.mark.django_db

SECRETS = {
    "LOOM_SECRET_KEY": "s3cret-of-sessions",
    "LOOM_ENCRYPTION_KEY": "s3cret-of-keys",
    "LOOM_METRICS_TOKEN": "s3cret-of-metrics",
    "LOOM_PASSWORD": "s3cret-of-login",
    "OPENAI_API_KEY": "s3cret-of-openai",
    "DATABASE_URL": "postgres://loom:s3cret-of-database@db.example:5432/loom?sslpassword=s3cret-of-tls",
    "REDIS_URL": "redis://:s3cret-of-broker@broker.example:6379/0",
    "LOOM_EMAIL_URL": "smtp+tls://loom:s3cret-of-mail@mail.example:587",
    "LOOM_PROVIDER_URL": "http://me:s3cret-of-model@localhost:8000/v1",
}


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is asked: whether one runs on this machine is not the test's."""
    monkeypatch.setattr(machinery, "stats_asked", list)


def operator(**powers: Any) -> Client:
    client = Client()
    client.force_login(User.objects.create_user(username="root", **powers))
    return client


def found(environment: dict[str, str]) -> dict[str, Setting]:
    return {row.name: row for _, rows in settings_read(environment) for row in rows}


def test_it_is_for_operators_alone(reader: Client, stranger: Client) -> None:
    assert reader.get("/installation/").status_code == 404
    assert stranger.get("/installation/").status_code == 404
    assert "/installation/" not in read(reader, "/")
    staff = operator(is_staff=True)
    assert staff.get("/installation/").status_code == 404, "staff who may not see every tenant's jobs"
    User.objects.get(username="root").user_permissions.add(
        *Permission.objects.filter(codename="admin", content_type__app_label="django_rq")
    )
    assert staff.get("/installation/").status_code == 200
    assert Client().get("/installation/")["Location"].startswith("/login/")


def test_health_queues_and_settings_stand_on_one_page() -> None:
    page = read(operator(is_staff=True, is_superuser=True), "/installation/")
    for words in ("Database", "Broker", "Workers", "Clock", "Sandbox", "E-mail", "Queues", "all heard"):
        assert words in page, words
    assert "None answers, so no work is advanced." in page
    assert '<td class="mono">LOOM_MAX_SESSIONS</td><td class="name">12</td>' in page
    assert "agents at work at once" in page


def test_each_setting_tells_where_it_comes_from(settings: Any) -> None:
    settings.LOOM_READ = {
        "LOOM_PORT": 9000,
        "LOOM_HTTPS": True,
        "LOOM_ALLOWED_HOSTS": ["a.example", "b.example"],
    }
    rows = found({"LOOM_PORT": "9000", "LOOM_MODEL": "qwen3"})
    assert (rows["LOOM_PORT"].value, rows["LOOM_PORT"].is_set) == ("9000", True)
    assert (rows["LOOM_MODEL"].value, rows["LOOM_MODEL"].is_set) == ("qwen3", True)
    assert (rows["LOOM_HTTPS"].value, rows["LOOM_HTTPS"].is_set) == ("on", False)
    assert rows["LOOM_ALLOWED_HOSTS"].value == "a.example, b.example"
    assert (rows["LOOM_SECRET_KEY"].value, rows["LOOM_SECRET_KEY"].default) == ("", "made on the first start")


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.LOOM_READ = {**SECRETS}
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    page = read(operator(is_staff=True, is_superuser=True), "/installation/")
    assert "s3cret" not in page
    assert "postgres://db.example:5432/loom" in page
    assert "smtp+tls://mail.example:587" in page
    assert page.count("set, not shown") == 5


@pytest.mark.parametrize(
    "address",
    [
        "postgres://loom:s3cret,part2@db/loom",
        "postgres://loom:s3cret,a://part2@db/loom",
        "postgres://loom:5/part2@db/loom",
        "postgres://loom:5#part2@db/loom",
        "redis://:s3cret@one:6379/0,redis://:part2@two:6379/0",
    ],
)
def test_a_password_of_any_letters_is_shown_in_no_part(address: str, settings: Any) -> None:
    settings.LOOM_READ = {"DATABASE_URL": address}
    shown = found({})["DATABASE_URL"].value
    assert shown in {"postgres://db/loom", "set, not shown"}


def test_addresses_of_a_list_are_shown_each_without_its_login(settings: Any) -> None:
    settings.LOOM_READ = {"LOOM_ALLOWED_HOSTS": ["https://me:s3cret,x@a.example", "https://b.example"]}
    assert found({})["LOOM_ALLOWED_HOSTS"].value == "https://a.example, https://b.example"


def test_a_number_is_no_secret(settings: Any) -> None:
    settings.LOOM_READ = {"LOOM_RATE_PER_KEY": 1200}
    assert found({})["LOOM_RATE_PER_KEY"].value == "1200"


def test_it_is_read_anew_as_time_goes_by_and_not_as_events_come(monkeypatch: pytest.MonkeyPatch) -> None:
    client, clock = operator(is_staff=True, is_superuser=True), SimpleNamespace(time=lambda: 1000.0)
    monkeypatch.setattr(views_installation, "time", clock)
    page = read(client, "/installation/")
    assert 'data-polls="10000"' in page
    seen = re.search(r'data-seen="(\d+)"', page)
    assert seen is not None
    headers = {"X-Loom-Seen": seen[1]}
    organization_ensure(name="news")
    assert client.get("/installation/", headers=headers).status_code == 204
    clock.time = lambda: 1010.0
    assert client.get("/installation/", headers=headers).status_code == 200


def test_what_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"is_there": False, "place": "a socket", "is_embedded": True, "error": "ConnectionError"}
    monkeypatch.setattr(machinery, "broker_read", lambda: away)
    page = read(operator(is_staff=True, is_superuser=True), "/installation/")
    assert "A socket does not answer. Nothing is lost" in page
    assert "Without the broker nobody knows." in page
