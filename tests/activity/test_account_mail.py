"""A new e-mail address: the old one stays until the new one is confirmed, and is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail, signing
from django.test import Client

from apps.accounts import email_services
from apps.accounts.email_services import SALT, email_link
from apps.accounts.models import User
from apps.accounts.user_services import user_update
from apps.activity import delivery
from apps.activity.models import Delivery
from apps.activity.services import account_mails_plan
from apps.events.models import Event

pytestmark = pytest.mark.django_db

OLD, NEW = "ann@old.example", "ann@new.example"


@pytest.fixture
def ann(settings: Any) -> User:
    settings.LOOM_EMAIL_URL = "smtp://mail.example:25"
    settings.LOOM_URL = "https://loom.example"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    return User.objects.create_user(username="ann", password="a long password", email=OLD)


@pytest.fixture
def client(ann: User) -> Client:
    client = Client()
    client.force_login(ann)
    return client


def plan_all() -> None:
    for event in Event.objects.filter(kind__in=["user.email_asked", "user.email_changed"]):
        account_mails_plan(event=event)
        account_mails_plan(event=event)  # events may be handled twice


def send_all() -> list[Any]:
    """What the workers would do: hear of what happened, and send."""
    plan_all()
    for row in Delivery.objects.order_by("pk"):
        delivery.deliver(row.pk)
    return mail.outbox


def link_in(message: Any) -> str:
    found = re.search(r"https://loom\.example(/account/email/\S+)", message.body)
    assert found is not None
    return found[1]


def test_the_old_address_stays_until_the_new_one_is_confirmed(client: Client, ann: User) -> None:
    page = client.post("/account/save/", {"email": f" {NEW.upper()} "}, follow=True).content.decode()
    assert f"{NEW} waits to be confirmed" in page
    ann.refresh_from_db()
    assert (ann.email, ann.pending_email) == (OLD, NEW)
    to_new, to_old = send_all()
    assert (to_new.to, to_old.to) == ([NEW], [OLD])
    assert "is to have another e-mail address" in to_old.body
    assert "/account/email/" not in to_old.body
    link = link_in(to_new)
    assert NEW in client.get(link).content.decode()
    ann.refresh_from_db()
    assert ann.email == OLD, "opening the link, as mail programs do, confirms nothing"
    assert "is your e-mail address now" in client.post(link, follow=True).content.decode()
    ann.refresh_from_db()
    assert (ann.email, ann.pending_email) == (NEW, "")
    assert client.post(link).status_code == 404, "it works once"


def test_a_link_is_of_use_to_nobody_else(client: Client, ann: User) -> None:
    client.post("/account/save/", {"email": NEW})
    ann.refresh_from_db()
    link = email_link(ann).removeprefix("https://loom.example")
    eve, other = User.objects.create_user(username="eve", email="eve@x.example", pending_email=NEW), Client()
    other.force_login(eve)
    for answer in (other.get(link), other.post(link)):
        assert answer.status_code == 404
        assert "for another account" in answer.content.decode()
    assert Client().post(link)["Location"].startswith("/login/")
    ann.refresh_from_db()
    eve.refresh_from_db()
    assert (ann.email, eve.email) == (OLD, "eve@x.example")


def test_a_link_that_is_refused_stands_in_no_log(
    client: Client, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.filter(pk=ann.pk).update(pending_email=NEW)
    link = email_link(User.objects.get(pk=ann.pk)).removeprefix("https://loom.example")
    other = Client()
    other.force_login(User.objects.create_user(username="eve"))
    assert other.get(link).status_code == 404
    assert link not in caplog.text


@pytest.mark.parametrize(
    "made_up",
    [
        lambda: "x",
        lambda: "a:b:c",
        lambda: signing.dumps([1, NEW], salt="other"),
        lambda: signing.dumps(7, salt=SALT),
    ],
    ids=["short", "signed by nobody", "signed for something else", "holding something else"],
)
def test_a_link_that_was_made_up_confirms_nothing(
    client: Client, ann: User, made_up: Callable[[], str]
) -> None:
    User.objects.filter(pk=ann.pk).update(pending_email=NEW)
    assert client.post(f"/account/email/{made_up()}/").status_code == 404


def test_a_link_expires_and_only_the_newest_is_good(
    client: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/account/save/", {"email": "first@new.example"})
    ann.refresh_from_db()
    first = email_link(ann).removeprefix("https://loom.example")
    plan_all()
    client.post("/account/save/", {"email": NEW})
    plan_all()
    ann.refresh_from_db()
    second = email_link(ann).removeprefix("https://loom.example")
    assert client.post(first).status_code == 404
    with monkeypatch.context() as patch:
        patch.setattr(email_services, "LIFE", -1)
        assert client.get(second).status_code == 404
    assert client.post("/account/email-stays/", follow=True).status_code == 200
    assert client.post(second).status_code == 404, "it was withdrawn"
    send_all()
    said = list(Delivery.objects.filter(about="confirm").values_list("status", flat=True))
    assert said == ["canceled", "canceled"], "nobody is asked to confirm what was withdrawn"


def test_an_administrators_change_is_in_force_at_once_and_told_to_the_old_address(ann: User) -> None:
    user_update(user=ann, email=NEW, actor="root")
    (told,) = send_all()
    assert told.to == [OLD]
    assert "has another e-mail address now" in told.body


def test_without_a_mail_server_the_address_is_in_force_at_once(
    client: Client, ann: User, settings: Any
) -> None:
    settings.LOOM_EMAIL_URL = ""
    client.post("/account/save/", {"email": NEW})
    ann.refresh_from_db()
    assert (ann.email, ann.pending_email) == (NEW, "")
    assert send_all() == []


def test_what_is_no_address_is_refused_and_stays_in_the_field(client: Client, ann: User) -> None:
    answer = client.post("/account/save/", {"email": "not one"})
    assert answer.status_code == 400
    assert 'value="not one"' in answer.content.decode()
    ann.refresh_from_db()
    assert (ann.email, ann.pending_email) == (OLD, "")
