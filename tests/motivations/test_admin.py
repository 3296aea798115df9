"""Admin pages of motivations."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.motivations.firing import motivation_trigger
from apps.motivations.models import Motivation
from apps.motivations.services import motivation_create
from tests.admin_pages import page, superuser  # noqa: F401 - a fixture
from tests.world import World, world_build


def motivate(world: World) -> Motivation:
    motivation = motivation_create(
        organization=world.organization,
        project=world.project,
        name=f"Look at links {Motivation.objects.count()}",
        type="calendar",
        condition="scheduled_interval",
        parameters={"minutes": 60},
    )
    motivation_trigger(motivation=motivation, actor="ann")
    return motivation


@pytest.mark.django_db
def test_operators_switch_and_trigger(client: Client) -> None:
    motivation = motivate(world_build("acme"))
    client.force_login(User.objects.create_superuser(username="root", email=""))

    def act(action: str) -> Any:
        data = {"action": action, "_selected_action": motivation.pk}
        answer = client.post(page(Motivation, "changelist"), data, follow=True)
        motivation.refresh_from_db()
        return [str(message) for message in answer.context["messages"]]

    assert act("disable") == ["1 disabled."]
    assert motivation.status == Motivation.Status.DISABLED
    assert "is disabled" in act("trigger")[0]
    assert act("enable") == ["1 enabled."]
    assert act("trigger") == ["1 triggered."]
    assert motivation.trigger_count == 2
