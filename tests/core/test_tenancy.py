"""Whatever can be asked for rows by person shows those of that person's organizations, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Model

from apps.accounts.models import User
from apps.agents.models import Persona
from apps.core import tenancy
from apps.core.tenancy import circle_read
from apps.projects.sharing import share_set
from tests.world import World, world_build

pytestmark = pytest.mark.django_db

SCOPED: list[type[Model]] = [
    model for model in apps.get_models() if hasattr(model._default_manager.all(), "for_user")
]


def rows(model: type[Model], user: Any) -> set[Any]:
    scoped: Any = model._default_manager.all()
    found = list(scoped.for_user(user).values_list("pk", flat=True))
    assert len(found) == len(set(found)), "each row once"
    return set(found)


@pytest.fixture(scope="module")
def worlds(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, World]]:
    """The same for all models; what a test changes in the database is undone after it."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield {name: world_build(name) for name in ("ours", "theirs", "empty")}
        transaction.set_rollback(True)


@pytest.fixture
def ours(worlds: dict[str, World]) -> World:
    return deepcopy(worlds["ours"])  # what a user object remembers is for one test only


@pytest.fixture
def theirs(worlds: dict[str, World]) -> World:
    return deepcopy(worlds["theirs"])


@pytest.fixture
def empty(worlds: dict[str, World]) -> None:
    """An organization nobody belongs to: what a join that finds nobody would show to visitors."""
    worlds["empty"].organization.memberships.all().delete()


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model._meta.label)
def test_each_sees_their_own(model: type[Model], ours: World, theirs: World) -> None:
    own, others = rows(model, ours.staff), rows(model, theirs.staff)
    shared = own & others
    everything = rows(model, User.objects.create_superuser("root"))
    assert own | others <= everything
    if everything - shared:
        assert own - shared, "there is something of ours"
        assert others - shared, "there is something of theirs"


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model._meta.label)
@pytest.mark.usefixtures("empty")
def test_strangers_visitors_and_closed_accounts_see_nothing(model: type[Model], ours: World) -> None:
    stranger = User.objects.create_user("stranger")
    assert rows(model, stranger) <= everybodys(model)
    assert rows(model, AnonymousUser()) == set()
    User.objects.filter(pk=ours.staff.pk).update(is_active=False)
    assert rows(model, User.objects.get(pk=ours.staff.pk)) == set()


def everybodys(model: type[Model]) -> set[Any]:
    """The personas that Loom brings along belong to no organization."""
    return (
        set(Persona.objects.filter(organization=None).values_list("pk", flat=True))
        if model is Persona
        else set()
    )


def test_the_models_that_hold_tenants_rows_are_among_them() -> None:
    labels = {model._meta.label for model in SCOPED}
    assert {"projects.Project", "beads.Bead", "decisions.Decision", "events.Event"} <= labels
    assert {"accounts.Organization", "agents.Agent", "providers.Provider", "providers.Budget"} <= labels


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model._meta.label)
def test_a_page_that_read_where_one_belongs_sees_the_same(
    model: type[Model], ours: World, theirs: World
) -> None:
    share_set(project=theirs.project, to=ours.staff, role="viewer")
    for user in (ours.staff, theirs.staff):
        asked = rows(model, user)
        reading: Any = User.objects.get(pk=user.pk)
        circle_read(reading)
        assert reading.circle.organizations
        assert rows(model, reading) == asked


def test_those_who_see_everything_or_belong_to_very_much_have_no_circle(
    ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = User.objects.create_superuser("root")
    circle_read(operator)
    assert not hasattr(operator, "circle")
    monkeypatch.setattr(tenancy, "REMEMBERED", 0)
    circle_read(ours.staff)
    assert not hasattr(ours.staff, "circle")
