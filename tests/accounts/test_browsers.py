"""Browsers one is signed in with: seen and ended one by one, by their owner alone."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore as OldStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.login_services import sessions_end
from apps.accounts.models import BrowserSession, User
from apps.accounts.sessions import SessionStore
from apps.accounts.user_services import password_reset
from apps.dashboard.devices import device
from apps.events.models import Event

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"


@pytest.fixture
def ann() -> User:
    return User.objects.create_user(username="ann", password="a long password")


def signed_in(name: str, user_agent: str = FIREFOX, address: str = "198.51.100.7") -> Client:
    client = Client(headers={"user-agent": user_agent}, REMOTE_ADDR=address)
    answer = client.post("/login/", {"username": name, "password": "a long password"})
    assert answer.status_code == 302
    return client


def row_of(client: Client) -> BrowserSession:
    return BrowserSession.objects.get(pk=client.cookies["sessionid"].value)


def test_each_browser_is_told_with_its_address_and_never_with_its_key(ann: User) -> None:
    here, there = signed_in("ann"), signed_in("ann", EDGE, "203.0.113.9")
    page = here.get("/account/").content.decode()
    assert "Firefox on Linux" in page
    assert "Edge on Windows" in page
    assert "from 203.0.113.9" in page
    for client in (here, there):
        assert str(client.cookies["sessionid"].value) not in page
    assert page.count("this browser</em>") == 1
    assert reverse("browser-end", args=[row_of(there).mark]) in page
    assert reverse("browser-end", args=[row_of(here).mark]) not in page


def test_one_browser_is_signed_out_and_the_others_stay(ann: User) -> None:
    here, there, third = (signed_in("ann") for _ in range(3))
    answer = here.post(reverse("browser-end", args=[row_of(there).mark]), follow=True)
    assert "That browser is signed out." in answer.content.decode()
    assert there.get("/account/").status_code == 302
    assert third.get("/account/").status_code == 200
    told = Event.objects.filter(kind="login.ended").latest("pk")
    assert told.data["reason"] == "ended by its owner"
    third.post(reverse("logins-end"))
    assert here.get("/account/").status_code == 302
    assert third.get("/account/").status_code == 200


def test_nobody_ends_the_browser_of_another_person(ann: User) -> None:
    User.objects.create_user(username="eve", password="a long password")
    theirs, eve = signed_in("ann"), signed_in("eve")
    assert eve.post(reverse("browser-end", args=[row_of(theirs).mark])).status_code == 404
    assert theirs.get("/account/").status_code == 200
    assert Client().post(reverse("browser-end", args=[row_of(theirs).mark])).status_code == 302
    assert theirs.get("/account/").status_code == 200


def test_when_it_was_used_last_is_kept_now_and_then(ann: User, django_assert_num_queries: Any) -> None:
    client = signed_in("ann", address="198.51.100.7")
    long_ago = timezone.now() - timedelta(hours=3)
    BrowserSession.objects.update(used_at=long_ago)
    client.get("/account/password/", REMOTE_ADDR="203.0.113.9")
    seen = row_of(client)
    assert seen.used_at > timezone.now() - timedelta(minutes=1)
    assert seen.address == "203.0.113.9"
    client.get("/account/password/", REMOTE_ADDR="192.0.2.1")
    assert row_of(client).used_at == seen.used_at, "not with each request"


def test_all_browsers_of_one_person_end_without_reading_those_of_others(
    ann: User, django_assert_num_queries: Any
) -> None:
    User.objects.create_user(username="bob", password="a long password")
    bob = signed_in("bob")
    for _ in range(3):
        signed_in("ann")
    with django_assert_num_queries(1):
        assert sessions_end(user=ann) == 3
    assert bob.get("/account/").status_code == 200


def test_who_is_signed_in_when_the_table_comes_stays_signed_in(ann: User) -> None:
    client = signed_in("ann")
    row = row_of(client)
    old = OldStore().decode(row.session_data)
    Session.objects.create(
        session_key=row.pk, session_data=OldStore().encode(old), expire_date=row.expire_date
    )
    row.delete()
    migration = import_module("apps.accounts.migrations.0003_browsers")
    migration.sessions_move(apps, None)
    assert row_of(client).user_id == ann.pk
    assert client.get("/account/").status_code == 200
    assert not Session.objects.exists()


def test_a_new_password_leaves_no_browser_listed_that_it_signed_out(ann: User) -> None:
    here, there = signed_in("ann"), signed_in("ann")
    fields = {"current": "a long password", "new": "quite another secret"}
    assert here.post("/account/password/", fields).status_code == 302
    assert here.get("/account/").status_code == 200
    assert BrowserSession.objects.alive(ann).get() == row_of(here)
    assert there.get("/account/").status_code == 302
    password_reset(user=ann)
    assert not BrowserSession.objects.alive(ann).exists()


def test_browsers_that_ran_out_by_themselves_are_not_counted_as_signed_out(ann: User) -> None:
    signed_in("ann")
    BrowserSession.objects.update(expire_date=timezone.now() - timedelta(minutes=1))
    assert sessions_end(user=ann) == 0


def test_what_is_no_request_leaves_the_address_and_name_of_a_browser(ann: User) -> None:
    client = signed_in("ann")
    BrowserSession.objects.update(used_at=timezone.now() - timedelta(hours=3))
    assert SessionStore(client.cookies["sessionid"].value).load(), "as a websocket reads it"
    seen = row_of(client)
    assert seen.used_at > timezone.now() - timedelta(minutes=1)
    assert (seen.address, seen.user_agent) == ("198.51.100.7", FIREFOX)


def test_a_row_tells_what_is_in_its_session(ann: User) -> None:
    assert row_of(signed_in("ann")).get_decoded()["_auth_user_id"] == str(ann.pk)


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [(FIREFOX, "Firefox on Linux"), (EDGE, "Edge on Windows"), ("curl/8.1", "curl"), ("", "A browser")],
)
def test_a_browser_is_named_in_words(user_agent: str, words: str) -> None:
    assert device(user_agent) == words
