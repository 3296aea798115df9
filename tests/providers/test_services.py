"""Providers registered, changed, tested and removed by people; who may see them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction

from apps.accounts.models import Membership, Organization, User
from apps.core.errors import BadInput, Conflict, NotFound
from apps.events.models import Event
from apps.providers.gateway import complete
from apps.providers.models import Budget, Call, Provider
from apps.providers.services import (
    provider_check,
    provider_create,
    provider_delete,
    provider_disable,
    provider_enable,
    provider_test,
    provider_update,
)
from tests.providers.conftest import MakeProvider, MakeRequest
from tests.providers.script_server import ScriptServer

UNREACHED = "http://127.0.0.1:9/v1"


def test_what_is_not_given_comes_from_the_price_map(organization: Organization) -> None:
    made = provider_create(
        name=" my gpt ", organization_id=organization.pk, endpoint="https://api.openai.com/v1", model="gpt-5"
    )
    assert (made.name, made.price_in, made.price_out, made.price_cached) == (
        "my gpt",
        1_250_000,
        10_000_000,
        125_000,
    )
    assert (made.price_known, made.context_window, made.supports_tools) == (True, 272_000, True)
    assert made.status == Provider.Status.PENDING


def test_the_price_of_a_model_through_litellm_is_its_vendors(organization: Organization) -> None:
    made = provider_create(
        name="claude", organization_id=organization.pk, kind="litellm", model="anthropic/claude-sonnet-5"
    )
    assert (made.price_in, made.price_out, made.price_known) == (2_000_000, 10_000_000, True)


def test_an_unknown_price_is_assumed_and_a_stated_one_is_known(organization: Organization) -> None:
    made = provider_create(
        name="x", organization_id=organization.pk, endpoint="https://h/v1", model="mystery"
    )
    assert (made.price_in, made.price_out, made.price_known) == (1_000_000, 4_000_000, False)
    changed = provider_update(provider_id=made.pk, price_in=5)
    assert (changed.price_in, changed.price_known) == (5, True)


def test_registering_changing_and_deleting_are_events(make_provider: MakeProvider) -> None:
    made = make_provider(UNREACHED, actor="alice")
    provider_update(provider_id=made.pk, model="other", actor="bob")
    provider_update(provider_id=made.pk, model="other", actor="bob")
    provider_delete(provider_id=made.pk, actor="carol")
    events = Event.objects.order_by("id")
    assert [(event.kind, event.actor) for event in events] == [
        ("provider.registered", "alice"),
        ("provider.updated", "bob"),
        ("provider.deleted", "carol"),
    ]
    assert {event.organization_id for event in events} == {made.organization_id}
    for event in events:
        assert {"provider_id", "name", "endpoint", "model"} <= event.data.keys()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": " "}, "needs a name"),
        ({"endpoint": ""}, "no URL"),
        ({"endpoint": "ftp://x"}, "no URL"),
        ({"model": ""}, "name of a model"),
        ({"kind": "telepathy"}, "no kind of provider"),
        ({"price_in": -1}, "price_in"),
        ({"price_out": "much"}, "price_out"),
        ({"sealed_key": "x"}, "no field 'sealed_key'"),
        ({"status": "healthy"}, "no field 'status'"),
        ({"key": "sk-broken\nline"}, "characters that cannot be sent"),
        ({"key": "sk-ключ"}, "characters that cannot be sent"),
        ({"kind": "scripted"}, "only operators"),
    ],
)
def test_a_provider_that_could_never_work_is_refused(
    organization: Organization, fields: dict[str, Any], says: str
) -> None:
    given: dict[str, Any] = {
        "name": "x",
        "organization_id": organization.pk,
        "endpoint": UNREACHED,
        "model": "m",
    }
    with pytest.raises(BadInput, match=says) as caught:
        provider_create(**{**given, **fields})
    assert "sk-" not in str(caught.value)
    assert not Provider.objects.exists()


def test_names_are_used_once_within_an_organization_and_once_among_the_shared(
    make_provider: MakeProvider,
) -> None:
    make_provider(UNREACHED)
    make_provider(UNREACHED, organization_id=None)
    for organization_id in (None, Organization.objects.get().pk):
        with pytest.raises(Conflict, match="already"):
            make_provider(UNREACHED, organization_id=organization_id)
        with pytest.raises(IntegrityError), transaction.atomic():
            Provider.objects.create(name="primary", organization_id=organization_id, model="m")


def test_moving_a_provider_makes_its_health_old_news_and_renaming_does_not(
    make_provider: MakeProvider,
) -> None:
    made = make_provider(UNREACHED)
    Provider.objects.update(status="failed", last_error="x", consecutive_failures=3)
    assert provider_update(provider_id=made.pk, name="renamed").status == "failed"
    moved = provider_update(provider_id=made.pk, endpoint="http://127.0.0.1:10")
    assert (moved.status, moved.last_error, moved.consecutive_failures) == ("pending", "", 0)
    assert moved.endpoint == "http://127.0.0.1:10/v1"


def test_a_key_goes_to_no_other_server_than_it_was_given_for(make_provider: MakeProvider) -> None:
    made = make_provider(UNREACHED, key="sk-canary")
    for elsewhere in ("http://evil.example/v1", "https://127.0.0.1:9", "http://127.0.0.1:9@evil.example", ""):
        with pytest.raises(BadInput):
            provider_update(provider_id=made.pk, endpoint=elsewhere)
    assert Provider.objects.get().endpoint == made.endpoint
    same = made.endpoint.removesuffix("/v1") + "/api/v1"
    assert provider_update(provider_id=made.pk, endpoint=same, model="other").has_key
    moved = provider_update(provider_id=made.pk, endpoint="http://other.example/v1", key="")
    assert not moved.has_key
    assert provider_update(provider_id=made.pk, endpoint="http://third.example/v1").status == "pending"


def test_a_disabled_provider_is_not_called_until_it_is_enabled(
    provider: Provider, server: ScriptServer, make_request: MakeRequest
) -> None:
    Provider.objects.update(consecutive_failures=7, status="failed")
    provider_disable(provider_id=provider.pk)
    with pytest.raises(Exception, match="No model is connected"):
        complete(make_request())
    enabled = provider_enable(provider_id=provider.pk)
    assert (enabled.status, enabled.consecutive_failures) == ("pending", 0)
    assert complete(make_request()).provider_name == "primary"
    assert len(server.requests) == 1


def test_deleting_a_provider_keeps_its_calls_in_the_ledger(
    provider: Provider, make_request: MakeRequest
) -> None:
    complete(make_request())
    provider_delete(provider_id=provider.pk)
    assert Call.objects.get().provider_name == "primary"
    with pytest.raises(NotFound):
        provider_delete(provider_id=provider.pk)
    with pytest.raises(NotFound):
        provider_update(provider_id=provider.pk, name="x")


def test_a_test_is_one_tiny_paid_call(provider: Provider, server: ScriptServer) -> None:
    probe = provider_test(provider=provider, organization_id=provider.organization_id or 0)
    assert probe.ok
    assert "primary answered with script" in probe.message
    row = Call.objects.get()
    assert (row.purpose, row.status) == ("test", Call.Status.SETTLED)
    assert server.requests[0].size < 500
    assert "no tools" not in probe.message


def test_a_test_tells_of_a_model_without_tools(provider: Provider, server: ScriptServer) -> None:
    server.switches.tools = False
    probe = provider_test(provider=provider, organization_id=provider.organization_id or 0)
    assert probe.ok
    assert "primary answered with script" in probe.message
    assert "It has no tools" in probe.message
    assert Call.objects.filter(status=Call.Status.SETTLED).count() == 1


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("401", "refused the API key"),
        ("404", "knows no model"),
        ("402", "no credit"),
        ("html", "a page of HTML"),
        ("500", "failed (500)"),
        ("close", "broke the connection"),
    ],
)
def test_a_test_says_what_is_wrong_and_what_to_do(
    provider: Provider, server: ScriptServer, kind: str, says: str
) -> None:
    server.fail_next(kind)
    probe = provider_test(provider=provider, organization_id=provider.organization_id or 0)
    assert not probe.ok
    assert says in probe.message
    assert probe.hint


def test_a_check_costs_nothing_and_heals_or_fails_the_row(provider: Provider, server: ScriptServer) -> None:
    assert provider_check(provider=provider).ok
    provider.refresh_from_db()
    assert provider.status == Provider.Status.HEALTHY
    server.switches.models = ("another",)
    probe = provider_check(provider=provider)
    assert not probe.ok
    assert "has no model 'script'; it has another" in probe.message
    provider.refresh_from_db()
    assert (provider.status, provider.last_error) == (Provider.Status.FAILED, probe.message)
    assert not Call.objects.exists()


def test_a_model_the_server_knows_by_an_alias_is_not_missing(
    provider: Provider, server: ScriptServer
) -> None:
    server.switches.models, server.switches.aliases = ("script:latest",), ("script",)
    assert provider_check(provider=provider).ok


def test_a_server_that_lists_nothing_passes_the_check(provider: Provider, server: ScriptServer) -> None:
    server.switches.lists = False
    assert provider_check(provider=provider).ok


def test_what_can_only_be_paid_for_is_not_checked(organization: Organization) -> None:
    made = provider_create(
        name="claude", organization_id=organization.pk, kind="litellm", model="anthropic/claude-sonnet-5"
    )
    Provider.objects.update(status="failed", last_error="the network was down")
    assert provider_check(provider=made).ok


def test_a_check_of_a_dead_server_says_so(make_provider: MakeProvider) -> None:
    made = make_provider(UNREACHED)
    probe = provider_check(provider=made)
    assert not probe.ok
    assert "Nothing listens at primary" in probe.message
    made.refresh_from_db()
    assert made.status == Provider.Status.FAILED


def test_each_sees_the_own_and_the_shared_and_nothing_of_others(
    make_provider: MakeProvider, server: ScriptServer, organization: Organization, make_request: MakeRequest
) -> None:
    other = Organization.objects.create(name="Other", slug="other")
    make_provider(server)
    make_provider(server, name="theirs", organization_id=other.pk)
    make_provider(server, name="shared", organization_id=None)
    complete(make_request())
    member, stranger, root = (User.objects.create(username=name) for name in ("member", "stranger", "root"))
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    root.refresh_from_db()
    Membership.objects.create(user=member, organization=organization)

    def seen(user: User | AnonymousUser) -> set[str]:
        return set(Provider.objects.for_user(user).values_list("name", flat=True))

    assert seen(member) == {"primary", "shared"}
    assert seen(stranger) == set()
    assert seen(AnonymousUser()) == set()
    assert seen(root) == {"primary", "theirs", "shared"}
    for rows in (Call.objects, Budget.objects):
        assert rows.for_user(member).count() == rows.for_user(root).count() == 1
        assert rows.for_user(stranger).count() == 0
