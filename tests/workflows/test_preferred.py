"""A recommendation that is applied decides where the next session's calls go, until it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set
from apps.events.models import Event
from apps.providers.models import Call, Preference
from apps.providers.services import provider_create, provider_disable, provider_enable, provider_update
from tests.providers.script_server import ScriptServer
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

Open = Callable[..., Studio]
READS = 5


def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    if kind == "review":
        return APPROVE
    if replies(messages) < READS:
        return [("read_file", {"path": "calc/__init__.py", "offset": replies(messages)})]
    return [write(f"{title}.txt", "x\n"), done()]


@pytest.fixture
def studio(open_studio: Open) -> Studio:
    return open_studio(model)


@pytest.fixture
def house(studio: Studio) -> Iterator[ScriptServer]:
    """The server of a cheaper model that the policy likes less."""
    with ScriptServer(studio._say, models=("small",)) as server:
        provider_create(
            name="small house", organization_id=studio.organization.pk, endpoint=server.url, model="small",
            price_in=800_000, price_out=3_200_000, context_window=100_000, quality=1,
        )  # fmt: skip
        yield server


@pytest.fixture
def client(studio: Studio) -> Client:
    person = User.objects.create_user(username="ann")
    membership_set(user=person, organization=studio.organization, role=Role.USER)
    client = Client()
    client.force_login(person)
    return client


def worked_by(studio: Studio, title: str) -> set[str]:
    """The models that worked on a new bead; it is merged."""
    bead = studio.bead(title)
    studio.run()
    assert studio.refreshed(bead).status == "closed"
    return set(Call.objects.filter(bead_id=bead.pk, purpose="work").values_list("model", flat=True))


def test_the_next_session_goes_to_the_model_that_was_recommended(
    studio: Studio, house: ScriptServer, client: Client
) -> None:
    provider_update(provider_id=studio.provider.pk, quality=100)
    assert worked_by(studio, "One") == {"script"}
    provider_disable(provider_id=studio.provider.pk)
    assert worked_by(studio, "Two") == {"small"}
    provider_enable(provider_id=studio.provider.pk)

    (found,) = client.get("/api/v1/optimizations/substitutions").json()["substitutions"]
    assert (found["pattern"], found["auto_applicable"], found["applied_to"]) == ("work with script", True, 0)
    answer = client.post(f"/api/v1/optimizations/{found['id']}/apply", {}, "application/json")
    assert answer.status_code == 200, answer.content
    (made,) = answer.json()["preferences"]
    assert (made["role"], made["purpose"], made["model"], made["in_force"]) == (
        "engineering-manager", "work", "small", True,
    )  # fmt: skip
    assert worked_by(studio, "Three") == {"small"}
    newest = Call.objects.filter(purpose="review").latest("id")
    assert newest.model == "script", "only the work that the recommendation is about has a preference"
    (again,) = client.get("/api/v1/optimizations/substitutions").json()["substitutions"]
    assert (again["id"], again["applied_to"]) == (found["id"], 1)

    house.stop()
    assert worked_by(studio, "Four") == {"small", "script"}, "the calls that it did not answer went elsewhere"
    assert Call.objects.filter(model="small").latest("id").status == "failed"

    assert client.delete(f"/api/v1/routing/preferences/{made['id']}").status_code == 204
    assert client.get("/api/v1/routing/preferences").json() == []
    assert worked_by(studio, "Five") == {"script"}
    told = Event.objects.filter(kind__startswith="routing.").order_by("id")
    assert [(one.kind, one.actor, one.project_id) for one in told] == [
        ("routing.preferred", "ann", studio.project.pk),
        ("routing.preference_removed", "ann", studio.project.pk),
    ]
    assert not Preference.objects.exists()
