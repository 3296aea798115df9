"""The cast of notifications: an organization, ann who reads, and what she is told."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set
from apps.activity.services import notifications_create
from apps.events.bus import Fact, emit_all
from apps.events.models import Event
from tests.world import World, world_build

URL = "/api/v1/notifications"
NIGHT = {"quiet_hours_start": time(22), "quiet_hours_end": time(7)}


@pytest.fixture
def world() -> World:
    return world_build(rows=0)


@pytest.fixture
def ann(world: World) -> User:
    ann = User.objects.create_user(username="ann", email="ann@example.org")
    membership_set(user=ann, organization=world.organization, role=Role.USER)
    return ann


@pytest.fixture
def client(ann: User) -> Client:
    client = Client()
    client.force_login(ann)
    return client


@transaction.atomic
def tell(world: World, kind: str, *, actor: str = "", **data: Any) -> Event:
    fact = Fact(kind, world.organization.pk, world.project.pk, subject="bead:x-1", actor=actor, data=data)
    return emit_all([fact])[0]


def told(event: Event) -> dict[str, tuple[str, str]]:
    """Who was told, by which rule and how urgent."""
    return {made.user.username: (made.rule, made.priority) for made in notifications_create(event=event)}
