"""What the log tells of addresses: not the token of a link that still admits, but all else."""

from __future__ import annotations

import pytest
from django.core import signing
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from tests.accounts.test_accounts_api import Browser, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> Browser:
    return Browser(person("boss", ours=Role.ADMIN))


def test_a_link_that_still_admits_stands_in_no_log(boss: Browser, caplog: pytest.LogCaptureFixture) -> None:
    made = boss("post", "auth/invitations", {}, 201)
    link = made["link"].removeprefix("http://testserver")
    new = {"username": "ann", "password": "short"}
    assert Client().post(link, new).status_code == 400
    assert Client(enforce_csrf_checks=True).post(link, new).status_code == 403
    assert Client().put(link).status_code == 405
    assert Client().get(f"{link}more").status_code == 404
    said = [one.getMessage() for one in caplog.records if one.name.startswith("django.")]
    assert len([line for line in said if line.partition(": ")[2].startswith("/invitations/[secret]/")]) == 4
    assert made["token"] not in caplog.text


def test_what_confirms_an_address_stands_in_no_log(boss: Browser, caplog: pytest.LogCaptureFixture) -> None:
    link = reverse("email-confirm", args=[signing.dumps([boss.user.pk, "ann@example.org"])])
    page = Client()
    page.force_login(boss.user)
    assert page.post(link).status_code >= 400
    assert page.delete(link).status_code == 405
    assert "/account/email/[secret]/" in caplog.text
    assert link not in caplog.text


def test_the_key_of_a_bead_does(boss: Browser, caplog: pytest.LogCaptureFixture) -> None:
    page = Client()
    page.force_login(boss.user)
    assert page.get("/beads/shop-1/").status_code == 404
    assert page.put("/beads/e/stop/").status_code == 405
    assert "/beads/shop-1/" in caplog.text
    assert "Method Not Allowed (PUT): /beads/e/stop/" in caplog.text
