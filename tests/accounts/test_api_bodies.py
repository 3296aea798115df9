"""What holds for every API route: what a body may be, how lists are cut into pages, what errors are."""

from __future__ import annotations

import re

import pytest
from django.test import Client, override_settings

from apps.accounts.models import Organization, Role, User
from apps.projects.services import project_create
from tests.accounts.sample_api import client_of, here, ours, person, send

__all__ = ["ours"]

pytestmark = pytest.mark.django_db


@here
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[1, 2]", 400),
        ('"text"', 400),
        ("null", 400),
        ('{"a": NaN}', 400),
        ("[" * 100_000, 400),
        ('{"a":' * 50_000, 400),
        (b'{"a": "\xff"}', 400),
        ('{"a": %s}' % ("9" * 10_000), 400),
        ("", 201),
        ('{"a": "\\u0000b\\ud800"}', 201),
    ],
)
def test_a_body_is_a_json_object_or_refused(ours: Organization, body: str | bytes, status: int) -> None:
    client = client_of(person("ann", ours=Role.USER))
    answer = send(client, "post", "sample", body)
    assert answer.status_code == status
    assert "data" in answer.json() if status == 201 else answer.json()["error"]


@here
def test_clients_that_do_not_say_what_they_send_are_understood(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER))
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        answer = send(client, "post", "sample", {"a": 1}, content_type=kind)
        assert (answer.status_code, answer.json()["data"]) == (201, {"a": 1})
    checked = client_of(User.objects.create_superuser("root"), enforce_csrf_checks=True)
    checked.cookies["csrftoken"] = token = "t" * 32
    form = checked.post("/api/v1/sample", {"a": "b"}, headers={"x-csrftoken": token})
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")


@here
def test_a_body_has_a_limit(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER))
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        answer = send(client, "post", "sample", {"a": "b" * 100})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert send(client, "post", "sample", {"a": "b" * 20}).status_code == 201


@here
def test_lists_are_bare_arrays_with_their_pages_in_headers(ours: Organization) -> None:
    for number in range(5):
        project_create(organization=ours, name=f"P{number}")
    client = client_of(person("ann", ours=Role.USER))
    whole = client.get("/api/v1/sample")
    assert [row["name"] for row in whole.json()] == ["P4", "P3", "P2", "P1", "P0"]
    assert (whole["X-Total-Count"], whole.has_header("Link")) == ("5", False)
    middle = client.get("/api/v1/sample?limit=2&offset=2")
    assert [row["name"] for row in middle.json()] == ["P2", "P1"]
    assert middle["X-Total-Count"] == "5"
    links = dict(re.findall(r'<[^>]*\?([^>]*)>; rel="(\w+)"', middle["Link"]))
    assert links == {"limit=2&offset=4": "next", "limit=2": "first"}  # both the first and the one before
    assert client.get("/api/v1/sample?offset=9").json() == []


@here
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "offset=-1", "offset=1.5", "offset=1" + "0" * 30]
)
def test_pages_that_make_no_sense_are_refused(ours: Organization, query: str) -> None:
    answer = client_of(person("ann", ours=Role.USER)).get(f"/api/v1/sample?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


def test_unknown_addresses_answer_programs_in_json_and_people_with_a_page(client: Client) -> None:
    answer = client.get("/api/v1/nothing/here")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert client.get("/nothing/here")["Content-Type"].startswith("text/html")


@here
def test_what_nobody_expected_is_still_json(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER))
    client.raise_request_exception = False
    answer = client.get("/api/v1/sample/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
