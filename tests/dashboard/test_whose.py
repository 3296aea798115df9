"""What pages show and change belongs to the organization of who looks."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.accounts.models import Role
from apps.agents.models import Persona
from apps.providers.models import Provider
from tests.world import client_of, world_build

pytestmark = pytest.mark.django_db


def test_roles_of_other_organizations_personas_are_not_offered() -> None:
    ours, theirs = world_build("ours"), world_build("theirs")
    for world, role in ((ours, "our-brewer"), (theirs, "their-brewer")):
        Persona.objects.create(organization=world.organization, name=f"own/{role}", role=role, body="Brew.")

    page = client_of(ours).get(reverse("agents")).content.decode()

    assert "our-brewer" in page
    assert "their-brewer" not in page


def test_a_model_of_the_whole_installation_is_the_operators() -> None:
    world = world_build("ours")
    shared = Provider.objects.create(name="everybodys", kind=Provider.Kind.SCRIPTED, model="m")
    admin = client_of(world, Role.ADMIN)

    for word in ("provider-switch", "provider-remove", "provider-test"):
        assert admin.post(reverse(word, args=[shared.pk])).status_code == 404

    shared.refresh_from_db()
    assert shared.enabled


def test_who_may_write_but_not_delete_removes_no_model() -> None:
    world = world_build("ours")
    own = Provider.objects.create(
        organization_id=world.organization.pk, name="ours", kind=Provider.Kind.SCRIPTED, model="m"
    )

    assert client_of(world).post(reverse("provider-remove", args=[own.pk])).status_code == 404
    assert (
        client_of(world, Role.ADMIN, "root").post(reverse("provider-remove", args=[own.pk])).status_code
        == 302
    )
    assert not Provider.objects.filter(pk=own.pk).exists()
