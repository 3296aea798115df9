"""Admin pages of runs: the timeline, and what people can do about a run."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.core.admin import INLINE_ROWS
from apps.engine.models import Run, Step
from tests.admin_pages import page, superuser, world
from tests.world import World, run_add, staff_build, world_build

__all__ = ["superuser", "world"]


def do(client: Client, action: str, run: Run) -> str:
    response = client.post(
        page(Run, "changelist"),
        {"action": action, "index": "0", "_selected_action": run.pk, "_object": run.pk, "sure": "yes"},
        follow=True,
    )
    assert response.redirect_chain[-1][0] == page(Run, "change", run.pk)
    return response.content.decode()


@pytest.mark.django_db
def test_a_run_shows_its_steps_in_order(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    html = client.get(page(Run, "change", run_add(world).pk)).content.decode()
    assert html.index("turn 1") < html.index("turn 2") < html.index("turn 3")
    assert "✔ done" in html
    assert "120 ms" in html


@pytest.mark.django_db
def test_a_long_run_shows_its_newest_steps(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world, steps=INLINE_ROWS + 20)
    html = client.get(page(Run, "change", run.pk)).content.decode()
    assert f"turn {INLINE_ROWS + 20}" in html
    assert "turn 20<" not in html
    assert "turn 21<" in html


@pytest.mark.django_db
def test_a_waiting_run_can_be_canceled_from_its_page(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world)
    assert 'value="cancel_runs"' in client.get(page(Run, "change", run.pk)).content.decode()
    assert "1 asked to stop at the next step." in do(client, "cancel_runs", run)
    run.refresh_from_db()
    assert run.cancel_requested
    assert 'value="cancel_runs"' not in client.get(page(Run, "change", run.pk)).content.decode()


@pytest.mark.django_db
def test_a_failed_run_goes_on_from_its_failed_step(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world, status=Run.Status.FAILED)
    run.steps.filter(seq=3).update(status=Step.Status.FAILED)
    Run.objects.filter(pk=run.pk).update(failed_seq=3)
    assert "will go on from the failed step" in do(client, "retry_runs", run)
    run.refresh_from_db()
    assert run.status == Run.Status.READY
    assert list(run.steps.values_list("seq", flat=True)) == [1, 2]


@pytest.mark.django_db
def test_older_steps_are_a_link_away(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world, steps=INLINE_ROWS + 20)
    address = page(Run, "change", run.pk)
    assert "?before=21" in client.get(address).content.decode()
    html = client.get(f"{address}?before=21").content.decode()
    assert "turn 20<" in html
    assert "turn 21<" not in html
    for odd in ("x", "-1", "9" * 40, "%00", "²"):
        assert client.get(f"{address}?before={odd}").status_code == 200


@pytest.mark.django_db
def test_a_run_is_paused_and_resumed_from_its_page(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world)
    assert 'value="resume_runs"' not in client.get(page(Run, "change", run.pk)).content.decode()
    html = do(client, "pause_runs", run)
    assert "1 set aside" in html
    assert 'value="pause_runs"' not in html
    run.refresh_from_db()
    assert run.status == Run.Status.PAUSED
    assert "run.paused" in html
    assert "by root" in html
    do(client, "resume_runs", run)
    run.refresh_from_db()
    assert run.status == Run.Status.READY


@pytest.mark.django_db
def test_a_run_is_signaled_from_its_page(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world)
    Run.objects.filter(pk=run.pk).update(waits_for="answer")
    address = page(Run, "signal", run.pk)
    assert address in client.get(page(Run, "change", run.pk)).content.decode()
    assert 'value="answer"' in client.get(address).content.decode()
    for wrong in ("[1]", "{", '"text"'):
        refused = client.post(address, {"name": "answer", "content": wrong})
        assert refused.status_code == 200
    before = run.signals.count()
    told = client.post(address, {"name": "answer", "content": '{"choice": "yes"}'}, follow=True)
    assert "The run has been told." in told.content.decode()
    assert run.signals.count() == before + 1
    assert run.signals.latest("id").data == {"choice": "yes"}


@pytest.mark.django_db
def test_a_run_that_ended_meanwhile_refuses_the_signal(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world, status=Run.Status.DONE)
    address = page(Run, "signal", run.pk)
    assert address not in client.get(page(Run, "change", run.pk)).content.decode()
    told = client.post(address, {"name": "answer", "content": ""}, follow=True)
    assert "hears no signals any more" in told.content.decode()


@pytest.mark.django_db
def test_strangers_and_lookers_on_cannot_signal(client: Client, world: World) -> None:
    run = run_add(world)
    other = world_build("other", rows=0)
    client.force_login(staff_build(other.organization, "stranger"))
    assert client.post(page(Run, "signal", run.pk), {"name": "answer"}).status_code == 404
    world.staff.user_permissions.set(
        world.staff.user_permissions.filter(content_type__app_label="engine", codename__startswith="view_")
    )
    client.force_login(world.staff)
    assert client.post(page(Run, "signal", run.pk), {"name": "answer"}).status_code == 404
    assert run.signals.count() == 1


@pytest.mark.django_db
def test_what_the_service_refuses_is_said(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    run = run_add(world, status=Run.Status.DONE)
    assert "Only a failed run can be retried" in do(client, "retry_runs", run)


@pytest.mark.django_db
def test_staff_cannot_cancel_the_run_of_another_organization(client: Client, world: World) -> None:
    run = run_add(world)
    other = world_build("other", rows=0)
    client.force_login(staff_build(other.organization, "stranger"))
    client.post(page(Run, "changelist"), {"action": "cancel_runs", "index": "0", "_selected_action": run.pk})
    run.refresh_from_db()
    assert not run.cancel_requested


@pytest.mark.django_db
def test_who_may_only_look_gets_no_buttons(client: Client, world: World) -> None:
    world.staff.user_permissions.set(
        world.staff.user_permissions.filter(content_type__app_label="engine", codename__startswith="view_")
    )
    client.force_login(world.staff)
    run = run_add(world)
    assert "cancel_runs" not in client.get(page(Run, "change", run.pk)).content.decode()
    client.post(page(Run, "changelist"), {"action": "cancel_runs", "index": "0", "_selected_action": run.pk})
    run.refresh_from_db()
    assert not run.cancel_requested
