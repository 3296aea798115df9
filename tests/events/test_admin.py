"""Admin pages of events."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.events.models import Event
from tests.admin_pages import page, superuser, world
from tests.world import World

__all__ = ["superuser", "world"]


@pytest.mark.django_db
def test_the_data_of_an_event_is_readable(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    event = Event.objects.filter(kind="bead.created").order_by("id")[0]
    assert "Store links, part 1" in client.get(page(Event, "change", event.pk)).content.decode()
