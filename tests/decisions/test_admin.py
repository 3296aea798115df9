"""Admin pages of decisions and the form that answers them."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request, vote_cast
from apps.engine.models import Signal
from tests.admin_pages import page, superuser, world
from tests.world import World, run_add, world_build

__all__ = ["superuser", "world"]


def answer_page(decision: Decision) -> str:
    return reverse("admin:decisions_decision_answer", args=[decision.pk])


@pytest.mark.django_db
def test_an_open_decision_offers_its_options(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    decision = world.decisions[0]
    assert answer_page(decision) in client.get(page(Decision, "change", decision.pk)).content.decode()
    html = client.get(answer_page(decision)).content.decode()
    assert "Store a salted hash" in html
    assert "Recommended by Engineer: hash" in html


@pytest.mark.django_db
def test_an_answer_is_recorded_and_told_to_the_waiting_run(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    run = run_add(world)
    decision = decision_request(project=world.project, question="Which name?", run_id=run.pk)
    client.post(answer_page(decision), {"choice": "shorten", "rationale": "It says what it does."})
    decision.refresh_from_db()
    assert (decision.status, decision.choice, decision.decider) == ("decided", "shorten", "root")
    told = Signal.objects.get(name=f"decision:{decision.pk}")
    assert told.data == {"choice": "shorten", "rationale": "It says what it does.", "decider": "root"}


@pytest.mark.django_db
def test_an_answer_that_was_not_offered_is_refused(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    html = client.post(answer_page(world.decisions[0]), {"choice": "sell"}).content.decode()
    assert "Select a valid choice" in html
    assert Decision.objects.get(pk=world.decisions[0].pk).status == "open"


@pytest.mark.django_db
def test_a_second_answer_is_told_that_it_came_late(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    decision = world.decisions[0]
    decision_decide(decision=decision, choice="drop", decider="Decision maker")
    html = client.post(answer_page(decision), {"choice": "hash"}, follow=True).content.decode()
    assert "This decision was answered already." in html
    assert Decision.objects.get(pk=decision.pk).choice == "drop"
    assert answer_page(decision) not in html


@pytest.mark.django_db
def test_staff_cannot_answer_for_another_organization(client: Client, world: World) -> None:
    other = world_build("other", rows=1)
    client.force_login(world.staff)
    address = answer_page(other.decisions[0])
    assert client.get(address).status_code == 404
    assert client.post(address, {"choice": "hash"}).status_code == 404
    assert Decision.objects.get(pk=other.decisions[0].pk).status == "open"


@pytest.mark.django_db
def test_open_decisions_are_passed_on_and_withdrawn(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    first, second = world.decisions[:2]
    decision_decide(decision=second, choice="drop", decider="ann")

    def act(name: str) -> str:
        data = {"action": name, "_selected_action": [first.pk, second.pk], "sure": "yes"}
        return client.post(page(Decision, "changelist"), data, follow=True).content.decode()

    assert "1 passed on to the next who may answer." in act("escalate")
    first.refresh_from_db()
    assert (first.escalated_to, first.needs_person, first.status) == ("ceo", True, "open")
    html = act("withdraw")
    assert "1 withdrawn." in html
    assert "This decision was answered already." in html
    first.refresh_from_db()
    assert first.status == "canceled"
    assert Decision.objects.get(pk=second.pk).status == "decided"


@pytest.mark.django_db
def test_votes_show_on_the_page_of_their_decision(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    options = [{"key": "a"}, {"key": "b"}]
    asked = decision_request(project=world.project, question="Which?", options=options, voters=["ann", "bob"])
    vote_cast(decision=asked, voter="ann", choice="a", rationale="Older and proven.")
    html = client.get(page(Decision, "change", asked.pk)).content.decode()
    assert "Older and proven." in html
    assert "no vote from bob" in html
