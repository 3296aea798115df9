"""What holds for every admin page, checked for each app by inheriting these tests."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from tests.world import World, bead_add, staff_build, world_build


@pytest.fixture
def world() -> World:
    return world_build("acme")


@pytest.fixture
def superuser() -> User:
    return User.objects.create_superuser(username="root", email="")


def page(model: type[Model], kind: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


def get_counted(client: Client, address: str) -> tuple[Any, int]:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response, len(queries)


def shown_rows(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


@pytest.mark.django_db
class AdminBattery:
    """`models`: all the app shows; `history`: those nobody changes by hand; `shared`: seen by all tenants."""

    models: ClassVar[list[type[Model]]]
    history: ClassVar[list[type[Model]]]
    shared: ClassVar[list[type[Model]]] = []

    def test_every_list_shows_rows_and_can_be_searched(
        self, client: Client, world: World, superuser: User
    ) -> None:
        client.force_login(superuser)
        for model in self.models:
            response, _ = get_counted(client, page(model, "changelist"))
            assert shown_rows(response), model
            get_counted(client, page(model, "changelist") + "?q=links")

    def test_every_row_has_a_page(self, client: Client, world: World, superuser: User) -> None:
        client.force_login(superuser)
        for model in self.models:
            for row in model._default_manager.all():
                get_counted(client, page(model, "change", row.pk))

    def test_more_rows_cost_no_more_queries(self, client: Client, world: World, superuser: User) -> None:
        client.force_login(superuser)
        addresses = [page(model, "changelist") for model in self.models]
        addresses += [page(model, "change", self.any_row(model, world).pk) for model in self.models]
        for address in addresses:
            client.get(address)  # what is cached once is none of our business
        before = {address: get_counted(client, address)[1] for address in addresses}
        self.grow(world)
        after = {address: get_counted(client, address)[1] for address in addresses}
        assert after == before

    def test_history_cannot_be_added_changed_or_deleted(
        self, client: Client, world: World, superuser: User
    ) -> None:
        client.force_login(superuser)
        for model in self.history:
            row = self.any_row(model, world)
            before = model._default_manager.filter(pk=row.pk).values().get()
            assert client.get(page(model, "add")).status_code == 403, model
            assert (
                client.post(page(model, "change", row.pk), {"name": "x", "status": "x"}).status_code == 403
            ), model
            assert client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
            client.post(
                page(model, "changelist"),
                {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"},
            )
            assert model._default_manager.filter(pk=row.pk).values().get() == before

    def test_nothing_else_can_be_deleted_either(self, superuser: User, rf: Any) -> None:
        request = rf.get("/")
        request.user = superuser
        deletable = {
            model for model in self.models if admin.site.get_model_admin(model).has_delete_permission(request)
        }
        assert deletable <= self.may_be_deleted()

    def test_staff_see_their_own_organization(self, client: Client, world: World) -> None:
        client.force_login(world.staff)
        for model in self.models:
            response, _ = get_counted(client, page(model, "changelist"))
            assert shown_rows(response), model

    def test_staff_of_another_organization_see_nothing(self, client: Client, world: World) -> None:
        from_elsewhere = {
            model: set(model._default_manager.values_list("pk", flat=True)) for model in self.models
        }
        other = world_build("other", rows=0)
        client.force_login(staff_build(other.organization, "stranger"))
        for model in self.models:
            if model in self.shared:
                continue
            response, _ = get_counted(client, page(model, "changelist"))
            assert not {row.pk for row in shown_rows(response)} & from_elsewhere[model], model
            for pk in list(from_elsewhere[model])[:2]:
                answer = client.get(page(model, "change", pk))
                assert answer.status_code == 302, model  # "does not exist", back to the index

    def grow(self, world: World) -> None:
        for _ in range(5):
            bead_add(world)

    def may_be_deleted(self) -> set[type[Model]]:
        return set()

    def any_row(self, model: type[Model], world: World) -> Model:
        row = model._default_manager.order_by("pk").first()
        assert row is not None, model
        return row
