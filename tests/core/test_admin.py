"""What holds for the admin's pages of every model there is, found by the registry of apps."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client

from apps.accounts.models import ApiKey, BrowserSession, Membership, PeopleGroup, User
from apps.accounts.services import membership_set, organization_ensure
from apps.activity.models import Delivery, Notification, NotificationPreferences
from apps.agents.models import OrgChart, Persona, PersonaVersion, Session
from apps.beads.models import Bead
from apps.core.admin import HistoryAdmin
from apps.core.models import IdempotentRequest
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Call
from apps.workflows.models import WorkflowContent, WorkflowDefinition
from tests.admin_pages import SECRET, full_build, full_grow, get_counted, page, shown_rows, superuser
from tests.world import World, staff_build

__all__ = ["superuser"]

UNLISTED = {BrowserSession}  # its key, which lets in, would stand in addresses
MODELS = [
    model for model in apps.get_models() if model.__module__.startswith("apps.") and model not in UNLISTED
]
SHARED = {Persona, PersonaVersion, WorkflowContent}  # shipped ones, and graphs that are told apart by content
OWN = {Notification, NotificationPreferences, Delivery, IdempotentRequest}  # one person's
QUERIES = 30
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(admin.site, "enable_nav_sidebar", False)  # half of a page's time, and always the same
    return full_build()


@pytest.fixture
def root(client: Client, world: World, superuser: User) -> Client:
    client.force_login(superuser)
    return client


def any_row(model: type[Model]) -> Model:
    row = model._default_manager.order_by("pk").first()
    assert row is not None, model
    return row


def narrowed(model: type[Model], client: Client) -> str:
    """The model's list, searched and with a choice of every filter and of the dates."""
    response = client.get(page(model, "changelist"))
    assert shown_rows(response), model
    cl = response.context["cl"]
    assert cl.search_fields, f"{model} cannot be searched"
    assert cl.list_display[1:2] != ["__str__"], f"{model} shows no columns"
    chosen = {"q": "links"}
    for spec in cl.filter_specs:
        for choice in list(spec.choices(cl))[1:2]:
            chosen |= dict(parse_qsl(choice["query_string"].removeprefix("?")))
    if cl.date_hierarchy:
        chosen |= {f"{cl.date_hierarchy}__year": "2026"}
    return f"{page(model, 'changelist')}?{urlencode(chosen)}"


def test_every_model_is_listed_searched_filtered_and_shown(root: Client, world: World) -> None:
    """With nothing secret, and in a number of queries that does not grow with the rows."""
    assert {model for model in MODELS if not admin.site.is_registered(model)} == set()
    request: Any = root.get("/admin/").wsgi_request
    addresses = [narrowed(model, root) for model in MODELS]
    may_add = [one for one in MODELS if admin.site.get_model_admin(one).has_add_permission(request)]
    addresses += [page(model, "add") for model in may_add]
    counted = [page(model, "changelist") for model in MODELS]
    counted += [page(model, "change", any_row(model).pk) for model in MODELS]
    before: dict[str, int] = {}
    for address in [*addresses, *counted]:
        response, before[address] = get_counted(root, address)
        assert before[address] <= QUERIES, (address, before[address])
        assert SECRET not in response.content.decode(), address
    for number in range(1, 4):
        full_grow(world, number, chart=OrgChart.objects.get())
        staff_build(organization_ensure(name=f"organization {number}"), f"stranger-{number}")
    after = {address: get_counted(root, address)[1] for address in counted}
    assert {one: (before[one], after[one]) for one in after if after[one] > before[one]} == {}


def test_history_cannot_be_added_changed_or_deleted(root: Client) -> None:
    history = [model for model in MODELS if isinstance(admin.site.get_model_admin(model), HistoryAdmin)]
    assert len(history) > 40
    for model in history:
        row = any_row(model)
        before = model._default_manager.filter(pk=row.pk).values().get()
        assert root.get(page(model, "add")).status_code == 403, model
        given = {"name": "x", "status": "x"}
        assert root.post(page(model, "change", row.pk), given).status_code == 403, model
        assert root.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
        chosen = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
        root.post(page(model, "changelist"), chosen)
        assert model._default_manager.filter(pk=row.pk).values().get() == before


def test_nothing_that_others_hang_on_is_deleted_by_django(root: Client) -> None:
    request: Any = root.get("/admin/").wsgi_request
    pages = {model: admin.site.get_model_admin(model) for model in MODELS}
    assert {model for model in MODELS if pages[model].has_delete_permission(request)} == {
        Membership, WorkflowDefinition,
    }  # fmt: skip


def test_staff_see_what_is_theirs_and_nothing_of_others(client: Client, world: World) -> None:
    ours = {model: set(model._default_manager.values_list("pk", flat=True)) for model in MODELS}
    client.force_login(world.staff)
    for model in MODELS:
        assert shown_rows(get_counted(client, page(model, "changelist"))[0]), model
    other = organization_ensure(name="other")
    client.force_login(staff_build(other, "stranger"))
    for model in MODELS:
        if model in SHARED:
            continue
        rows = shown_rows(get_counted(client, page(model, "changelist"))[0])
        assert not {row.pk for row in rows} & ours[model], model
        for pk in list(ours[model])[:1]:
            answer = client.get(page(model, "change", pk))
            assert answer.status_code == 302, model  # "does not exist", back to the index


def test_what_is_ones_own_is_not_for_colleagues(client: Client, world: World) -> None:
    client.force_login(staff_build(world.organization, "colleague"))
    for model in OWN:
        assert shown_rows(get_counted(client, page(model, "changelist"))[0]) == [], model


def test_only_staff_come_in_and_only_as_far_as_their_permissions_reach(client: Client, world: World) -> None:
    person = User.objects.create_user("person")
    membership_set(user=person, organization=world.organization, role="admin")
    for user, status in ((person, 302), (User.objects.create_user("bare", is_staff=True), 403)):
        client.force_login(user)
        for model in MODELS:
            for address in (page(model, "changelist"), page(model, "change", any_row(model).pk)):
                assert client.get(address).status_code == status, (user, address)
    reader = User.objects.create_user("reader", is_staff=True)
    membership_set(user=reader, organization=world.organization, role="admin")
    reader.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client.force_login(reader)
    listed = client.get("/admin/")
    shown = [model["object_name"] for app in cast(Any, listed.context)["app_list"] for model in app["models"]]
    assert shown == ["Run"]


def act(client: Client, model: type[Model], name: str, *rows: Model, **said: str) -> Any:
    given = {"action": name, "_selected_action": [str(row.pk) for row in rows], **said}
    return client.post(page(model, "changelist"), given, follow=True)


DANGEROUS: dict[str, set[str]] = {
    "Project": {"close_projects", "delete_projects"},
    "ProjectUserShare": {"stop_sharing"},
    "ProjectGroupShare": {"stop_sharing"},
    "User": {"close_accounts"},
    "PeopleGroup": {"remove_groups"},
    "ApiKey": {"end"},
    "Invitation": {"end"},
    "Login": {"end"},
    "Run": {"cancel_runs"},
    "Bead": {"close_beads"},
    "Comment": {"remove_comments"},
    "Decision": {"withdraw"},
    "Agent": {"hand_over_agents", "retire_agents"},
    "FileLock": {"release_locks"},
    "OrgChart": {"reset_charts"},
    "Provider": {"remove"},
    "CommandRule": {"remove_rules"},
}


def test_what_cannot_be_taken_back_asks_first_and_says_what_happens(root: Client) -> None:
    assert DANGEROUS.keys() <= {model.__name__ for model in MODELS}
    for model in MODELS:
        for name in DANGEROUS.get(model.__name__, ()):
            row = any_row(model)
            told = Event.objects.exclude(kind="request.made")
            events, before = told.count(), model._default_manager.filter(pk=row.pk).values().get()
            answer = act(root, model, name, row, reason="Because.")
            html = answer.content.decode()
            assert (answer.status_code, "are you sure?" in html) == (200, True), (model, name)
            assert 'value="Because."' in html, "what was given is asked again by nobody"
            assert len(answer.context["what"]) > 40, (model, name)
            assert model._default_manager.filter(pk=row.pk).values().get() == before, (model, name)
            assert told.count() == events, (model, name)


def test_a_project_is_deleted_only_when_it_is_closed_and_named(root: Client, world: World) -> None:
    project, calls = world.project, Call.objects.count()
    slug = {"sure": "yes", "typed": project.slug}
    assert (
        "is open. Close it first." in act(root, Project, "delete_projects", project, **slug).content.decode()
    )
    act(root, Project, "close_projects", project, sure="yes")
    wrong = act(root, Project, "delete_projects", project, sure="yes", typed="links").content.decode()
    assert "That is not what stands below." in wrong
    assert f"<code>{project.slug}</code>" in wrong
    gone = act(root, Project, "delete_projects", project, _object=str(project.pk), **slug)
    assert "1 deleted." in gone.content.decode()
    assert not Project.objects.exists()
    assert Call.objects.count() == calls > 0, "the ledger stays"
    assert Event.objects.filter(kind="project.deleted", actor="root").exists(), "and so does the audit log"


def test_an_account_is_closed_with_all_that_lets_it_in(root: Client, world: World, superuser: User) -> None:
    membership_set(user=superuser, organization=world.organization, role="admin")
    told = act(root, User, "close_accounts", world.staff, sure="yes").content.decode()
    assert "1 closed." in told
    world.staff.refresh_from_db()
    assert not world.staff.is_active
    assert not ApiKey.objects.filter(user=world.staff, revoked_at=None).exists()
    assert "is closed already" in act(root, User, "close_accounts", world.staff, sure="yes").content.decode()
    assert "1 open again." in act(root, User, "open_accounts", world.staff).content.decode()


def test_groups_of_people_are_not_deleted_behind_their_back(root: Client, world: World) -> None:
    people = world.organization.people_groups.get()
    assert root.post(f"/admin/auth/group/{people.group_id}/delete/", {"post": "yes"}).status_code == 403
    assert act(root, PeopleGroup, "remove_groups", people, sure="yes").status_code == 200
    assert not Group.objects.exists()
    assert Event.objects.filter(kind="group.deleted").exists()


def test_too_many_rows_at_once_are_refused(root: Client, world: World) -> None:
    told = act(root, Project, "delete_projects", world.project, full_build("other").project)
    assert "Choose no more than one row at once." in told.content.decode()


def test_rows_lead_to_each_other_and_to_the_pages(root: Client, world: World) -> None:
    session = world.sessions[0]
    html = root.get(page(Session, "changelist")).content.decode()
    assert f'href="{page(Bead, "change", session.bead_id)}"' in html
    assert (
        f'href="/sessions/{session.pk}/">Open in Loom'
        in root.get(page(Session, "change", session.pk)).content.decode()
    )
    for model in MODELS:
        row = any_row(model)
        if address := admin.site.get_model_admin(model).get_view_on_site_url(row):
            assert root.get(address, follow=True).status_code == 200, address
