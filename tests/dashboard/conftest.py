"""The people who look at the pages."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set
from tests.world import World, world_build


@pytest.fixture
def world(db: None) -> World:
    return world_build("acme")


@pytest.fixture
def member(world: World) -> User:
    user = User.objects.create_user(username="ann")
    membership_set(user=user, organization=world.organization, role=Role.USER)
    return user


@pytest.fixture
def reader(member: User) -> Client:
    """A browser in which the member is signed in."""
    client = Client()
    client.force_login(member)
    return client


@pytest.fixture
def stranger(world: World) -> Client:
    """A browser of somebody of another organization."""
    other = world_build("other", rows=1)
    user = User.objects.create_user(username="eve")
    membership_set(user=user, organization=other.organization, role=Role.ADMIN)
    client = Client()
    client.force_login(user)
    return client
