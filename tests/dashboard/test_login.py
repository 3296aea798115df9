"""Signing in and out."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return User.objects.create_user(username="ann", password="a long password")


def test_the_right_password_leads_to_the_page_one_wanted(client: Client, ann: User) -> None:
    fields = {"username": "ann", "password": "a long password", "next": "/projects/1/"}
    response = client.post("/login/", fields)
    assert (response.status_code, response["Location"]) == (302, "/projects/1/")


def test_a_wrong_password_is_said_without_telling_which_part_is_wrong(client: Client, ann: User) -> None:
    answers = [
        client.post("/login/", {"username": name, "password": "wrong"}).content.decode()
        for name in ("ann", "nobody")
    ]
    assert all("This name and password do not fit together." in answer for answer in answers)
    assert all("logout" not in answer for answer in answers)


def test_who_is_signed_in_need_not_sign_in_again(client: Client, ann: User) -> None:
    client.force_login(ann)
    assert client.get("/login/")["Location"] == "/"


def test_signing_out_needs_a_post_and_ends_at_the_login(client: Client, ann: User) -> None:
    client.force_login(ann)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_the_login_never_leads_to_another_site(client: Client, ann: User) -> None:
    fields = {"username": "ann", "password": "a long password", "next": "https://evil.example/"}
    assert client.post("/login/", fields)["Location"] == "/"


def test_a_form_that_is_sent_without_its_token_is_refused_in_words(ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    answer = client.post("/theme/", {"theme": "dark"})
    assert answer.status_code == 403
    assert "This form was open too long" in answer.content.decode()


def test_a_page_for_operators_is_refused_in_words(client: Client, ann: User) -> None:
    client.force_login(ann)
    answer = client.get("/queues/")
    assert answer.status_code == 403
    assert "You may not see this page" in answer.content.decode()
