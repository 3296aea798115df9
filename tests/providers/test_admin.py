"""The operator's pages: what they show, what they never show, and that they write through services."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.accounts.models import Membership, Organization, User
from apps.events.models import Event
from apps.providers.gateway import complete
from apps.providers.models import Budget, Call, Provider
from tests.providers.conftest import MakeProvider, MakeRequest
from tests.providers.script_server import ScriptServer

KEY = "sk-admin-0123456789"
PAGES = "/admin/providers"


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


@pytest.fixture
def staff(organization: Organization) -> Client:
    """A member of the organization with all permissions on providers, but no superuser."""
    user = User.objects.create_user("staff", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="providers"))
    Membership.objects.create(user=user, organization=organization)
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, action: str, *rows: Provider) -> str:
    data = {"action": action, "_selected_action": [row.pk for row in rows], "sure": "yes"}
    return client.post(f"{PAGES}/provider/", data, follow=True).content.decode()


def form_of(provider: Provider, **changes: object) -> dict[str, object]:
    names = [
        "name",
        "kind",
        "endpoint",
        "model",
        "context_window",
        "max_output",
        "price_in",
        "price_out",
        "quality",
    ]
    data: dict[str, object] = {name: getattr(provider, name) for name in [*names, "max_concurrency"]}
    return {
        **data,
        "supports_streaming": "on",
        "supports_tools": "unknown",
        "enabled": "on",
        "tags": "[]",
        **changes,
    }


def test_a_provider_is_added_with_what_the_price_map_knows(root: Client, organization: Organization) -> None:
    data = {
        "organization": organization.pk,
        "name": "gpt",
        "kind": "openai",
        "endpoint": "https://api.openai.com/v1",
        "model": "gpt-5",
        "key": KEY,
    }
    root.post(f"{PAGES}/provider/add/", data)
    made = Provider.objects.get()
    assert (made.name, made.price_in, made.reveal_key()) == ("gpt", 1_250_000, KEY)
    assert Event.objects.get(kind="provider.registered").actor == "root"


def test_no_page_shows_a_key(
    root: Client, make_provider: MakeProvider, server: ScriptServer, make_request: MakeRequest
) -> None:
    made = make_provider(server, key=KEY)
    server.fail_next("401", body=f"bad key {KEY}")
    with pytest.raises(Exception, match="refused"):
        complete(make_request())
    for page in (
        "provider/",
        f"provider/{made.pk}/change/",
        "call/",
        f"call/{Call.objects.get().pk}/change/",
    ):
        shown = root.get(f"{PAGES}/{page}").content.decode()
        assert "primary" in shown
        assert "0123456789" not in shown
        assert made.sealed_key not in shown


def test_saving_without_a_key_keeps_the_stored_one(root: Client, make_provider: MakeProvider) -> None:
    made = make_provider("http://127.0.0.1:9/v1", key=KEY)
    url = f"{PAGES}/provider/{made.pk}/change/"
    assert root.post(url, form_of(made, quality=77)).status_code == 302
    made.refresh_from_db()
    assert (made.quality, made.reveal_key()) == (77, KEY)
    root.post(url, form_of(made, key="sk-another"))
    made.refresh_from_db()
    assert made.reveal_key() == "sk-another"
    root.post(url, form_of(made, remove_key="on"))
    made.refresh_from_db()
    assert not made.has_key


def test_what_a_service_refuses_is_said_on_the_page(root: Client, make_provider: MakeProvider) -> None:
    made = make_provider("http://127.0.0.1:9/v1")
    url = f"{PAGES}/provider/{made.pk}/change/"
    shown = root.post(url, form_of(made, endpoint="ftp://nowhere"), follow=True).content.decode()
    assert "is no URL of a model server" in shown
    made.refresh_from_db()
    assert made.endpoint == "http://127.0.0.1:9/v1"


def test_the_connection_is_tested_from_the_list(
    root: Client, provider: Provider, server: ScriptServer
) -> None:
    assert "rimary answered with script" in act(root, "test_connection", provider)
    server.fail_next("404")
    assert "knows no model" in act(root, "test_connection", provider)


def test_providers_are_disabled_enabled_and_removed_by_services(root: Client, provider: Provider) -> None:
    assert "1 disabled." in act(root, "disable", provider)
    provider.refresh_from_db()
    assert not provider.enabled
    assert "1 enabled." in act(root, "enable", provider)
    assert "1 removed." in act(root, "remove", provider)
    assert not Provider.objects.exists()
    assert Event.objects.filter(actor="root", kind__startswith="provider.").count() == 3


def test_members_see_shared_providers_but_do_not_change_them(
    staff: Client, make_provider: MakeProvider, server: ScriptServer
) -> None:
    shared = make_provider(server, name="everybodys", organization_id=None)
    foreign = make_provider(
        server, name="foreign", organization_id=Organization.objects.create(name="Other", slug="other").pk
    )
    shown = staff.get(f"{PAGES}/provider/").content.decode()
    assert "everybodys" in shown
    assert "foreign" not in shown
    assert staff.get(f"{PAGES}/provider/{shared.pk}/change/").status_code == 200
    assert staff.post(f"{PAGES}/provider/{shared.pk}/change/", form_of(shared, quality=1)).status_code == 403
    assert "only superusers change it" in act(staff, "disable", shared)
    assert staff.get(f"{PAGES}/provider/{foreign.pk}/change/").status_code == 302, "as if it did not exist"
    shared.refresh_from_db()
    assert shared.enabled
    assert shared.quality != 1


def test_a_member_cannot_make_a_shared_provider(staff: Client) -> None:
    data = {"name": "x", "kind": "openai", "endpoint": "http://127.0.0.1:9", "model": "m", "key": ""}
    assert "This field is required" in staff.post(f"{PAGES}/provider/add/", data).content.decode()
    assert not Provider.objects.exists()


def test_the_ledger_is_read_only_searchable_and_summed(
    root: Client, provider: Provider, make_request: MakeRequest
) -> None:
    costs = [complete(make_request(key=f"run-{n}#1")).cost_microusd for n in range(3)]
    shown = root.get(f"{PAGES}/call/").content.decode()
    assert "<strong>3</strong> calls" in shown
    assert f"${sum(costs) / 1e6:,.4f}" in shown
    assert "<strong>1</strong> calls" in root.get(f"{PAGES}/call/?q=run-1").content.decode()
    assert "<strong>0</strong> calls" in root.get(f"{PAGES}/call/?status=failed").content.decode()
    row = Call.objects.first()
    assert row is not None
    assert root.get(f"{PAGES}/call/add/").status_code == 403
    assert root.post(f"{PAGES}/call/{row.pk}/change/", {"status": "lost"}).status_code == 403
    assert root.post(f"{PAGES}/call/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_demo_money_is_told_apart_in_the_sums(
    root: Client, provider: Provider, make_request: MakeRequest
) -> None:
    complete(make_request())
    Call.objects.update(nominal=True)
    assert "nominal, which the demo charges to nobody" in root.get(f"{PAGES}/call/").content.decode()


def test_a_limit_is_set_in_usd_and_lifted_again(
    root: Client, organization: Organization, provider: Provider, make_request: MakeRequest
) -> None:
    reply = complete(make_request())
    budget = Budget.objects.get()
    url = f"{PAGES}/budget/{budget.pk}/change/"
    assert root.post(url, {"limit_usd": "2.5"}).status_code == 302
    budget.refresh_from_db()
    assert (budget.limit_microusd, budget.spent_microusd) == (2_500_000, reply.cost_microusd)
    assert "$2.5000" in root.get(f"{PAGES}/budget/").content.decode()
    assert 'value="2.5"' in root.get(url).content.decode()
    root.post(url, {"limit_usd": "10"})
    assert 'value="10"' in root.get(url).content.decode()
    root.post(url, {"limit_usd": ""})
    budget.refresh_from_db()
    assert budget.limit_microusd is None
    assert Event.objects.filter(kind="budget.updated", actor="root").count() == 3


def test_a_budget_is_added_for_any_scope(root: Client, organization: Organization) -> None:
    data = {"organization": organization.pk, "scope": "project", "scope_id": 7, "limit_usd": "1"}
    root.post(f"{PAGES}/budget/add/", data)
    assert Budget.objects.get(scope="project", scope_id=7).limit_microusd == 1_000_000


def test_lists_cost_the_same_number_of_queries_however_long_they_are(
    root: Client,
    make_provider: MakeProvider,
    server: ScriptServer,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    for number in range(20):
        make_provider(server, name=f"p{number}")
    with django_assert_max_num_queries(12):  # type: ignore[attr-defined]
        root.get(f"{PAGES}/provider/")
