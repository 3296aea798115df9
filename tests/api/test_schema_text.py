"""The schema as it is sent: every form of it, written once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.test import Client

from apps.core import api_schema_text
from apps.core.api_schema import KeptGenerator

DOORS = ["/api/schema/", "/api/schema/?format=json", "/api/openapi.yaml"]
pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture(autouse=True)
def not_written_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for renderer in api_schema_text.ALL:
        monkeypatch.setattr(renderer, "written", None)


def test_every_form_says_the_same(client: Client) -> None:
    told = [client.get(door) for door in DOORS]
    read: list[Any] = [yaml.safe_load(told[0].content), json.loads(told[1].content)]
    assert read[0] == read[1] == json.loads(json.dumps(KeptGenerator.kept, default=str))
    assert told[2].content == told[0].content
    assert [one["content-type"] for one in told] == [
        "application/vnd.oai.openapi; charset=utf-8",
        "application/vnd.oai.openapi+json",
        "application/vnd.oai.openapi; charset=utf-8",
    ]


def test_it_is_written_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [client.get(door).content for door in DOORS]
    for renderer in api_schema_text.ALL:
        monkeypatch.setattr(renderer.__mro__[2], "render", lambda *_: pytest.fail("written again"))
    assert [client.get(door).content for door in DOORS] == first


def test_an_error_is_not_taken_for_it(client: Client) -> None:
    client.get("/api/schema/")
    refused = client.post("/api/schema/")
    assert refused.status_code == 405
    assert len(refused.content) < 1000
