"""The home page: projects with their beads, questions, spending, events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_claim, bead_close, bead_create
from apps.dashboard import views_begin
from apps.dashboard.queries import BEADS_PER_PROJECT
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.events.bus import emit
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers import services
from apps.providers.models import Budget, Call
from apps.providers.scripted import ScriptedReply
from tests.providers.script_server import ScriptServer
from tests.world import World, bead_add, work_on


def words(html: str) -> str:
    """The text of a page as a person reads it."""
    text = re.sub(r"<[^>]+>", " ", html).replace("&#x27;", "'")
    return re.sub(r"\s+", " ", text)


def read(client: Client, address: str = "/") -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def spend(world: World, microusd: int) -> None:
    now = timezone.now()
    Call.objects.create(
        key=f"call {Call.objects.count()}",
        stem="call",
        organization_id=world.organization.pk,
        project_id=world.project.pk,
        provider_id=1,
        provider_name="demo",
        model="demo",
        status=Call.Status.SETTLED,
        reserved_microusd=microusd,
        cost_microusd=microusd,
        created_at=now,
        ended_at=now,
    )


def test_a_visitor_is_sent_to_the_login_and_back(client: Client, db: None) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/")


def test_a_bead_says_why_it_does_not_run(reader: Client, world: World) -> None:
    Decision.objects.all().delete()
    page = words(read(reader))
    assert "Store links, part 1 Ready" in page
    assert "Store links, part 2 Waits for “Store links, part 1”" in page


def test_a_bead_at_work_shows_who_does_what(reader: Client, world: World) -> None:
    Decision.objects.all().delete()
    work_on(world, world.beads[0], doing="run_tests tests/test_links.py")
    html = read(reader)
    assert "run_tests tests/test_links.py" in html
    assert "1 agent at work" in words(html)
    assert 'aria-label="at work"' in html


def test_a_blocked_bead_shows_its_reason(reader: Client, world: World) -> None:
    Decision.objects.all().delete()
    bead_block(bead=world.beads[0], reason="Three replies were not understood.")
    html = read(reader)
    assert "Three replies were not understood." in html
    assert 'aria-label="needs you"' in html


def test_a_merged_bead_counts_and_is_checked(reader: Client, world: World) -> None:
    bead_close(bead=world.beads[0], reason="Merged.", commit="a" * 40)
    html = read(reader)
    assert "1 of 2 merged" in html
    assert 'aria-label="done"' in html


def test_a_closed_bead_without_a_merge_is_not_shown_as_proven(reader: Client, world: World) -> None:
    for bead in world.beads:
        bead_close(bead=bead, reason="Not needed any more.")
    html = read(reader)
    assert "0 of 2 merged" in html
    assert "Not needed any more." in html
    assert 'aria-label="done"' not in html.split('id="events"')[0]


def test_the_beads_that_want_attention_come_first(reader: Client, world: World) -> None:
    for number in range(BEADS_PER_PROJECT):
        bead_create(project=world.project, title=f"Chore {number}", priority=4)
    stuck = bead_create(project=world.project, title="The stuck one", priority=4)
    bead_claim(bead=stuck, agent="Engineer")
    bead_block(bead=stuck, reason="No more ideas.")
    card = read(reader).split('id="projects"')[1]
    assert card.index("The stuck one") < card.index("Store links, part 1")
    assert card.count('<li class="bead">') == BEADS_PER_PROJECT
    assert "3 more" in words(card)


def test_spending_is_shown_against_the_budget(reader: Client, world: World) -> None:
    spend(world, 1_140_000)
    spend(world, 4_300)
    Budget.objects.create(
        organization=world.organization, scope="project", scope_id=world.project.pk, limit_microusd=3_000_000
    )
    page = words(read(reader))
    assert "$1.14 of $3.00" in page
    assert "acme links $1.14 2 calls" in page


def test_what_only_the_demo_spent_is_marked_as_not_charged(reader: Client, world: World) -> None:
    spend(world, 200_000)
    assert "not charged" not in read(reader)
    Call.objects.update(nominal=True)
    assert "demo: not charged $0.20" in words(read(reader))


def test_a_failed_run_says_what_is_wrong(reader: Client, world: World) -> None:
    Run.objects.create(
        key=f"prd:{world.project.pk}",
        flow="prd.weave",
        status=Run.Status.FAILED,
        error="The budget of $0.50 is used up.",
        project_id=world.project.pk,
    )
    html = read(reader)
    assert "The budget of $0.50 is used up." in html
    assert "stopped" in words(html)


def test_the_phase_of_a_running_project_is_told_in_words(reader: Client, world: World) -> None:
    Decision.objects.all().delete()
    Run.objects.create(key=f"prd:{world.project.pk}", flow="prd.weave", project_id=world.project.pk)
    with transaction.atomic():
        emit(
            "weave.phase",
            organization_id=world.organization.pk,
            project_id=world.project.pk,
            phase="expanding",
        )
    assert "reading the PRD" in words(read(reader).split('id="projects"')[1])


def test_the_last_events_are_told_newest_first(reader: Client, world: World) -> None:
    bead_claim(bead=world.beads[0], agent="Engineer")
    bead_close(bead=world.beads[0], reason="Merged.", commit="a" * 40)
    events = words(read(reader).split('id="events"')[1])
    assert events.index("merged: Store links, part 1") < events.index("Store links, part 1 → Engineer")


def test_an_empty_installation_tells_the_first_step(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser(username="admin", email=""))
    html = read(client)
    assert "Weave the sample" in html
    assert "/models/new/" in html
    assert "/projects/new/" in html
    assert "make weave PRD=path/to/your-prd.md" in html
    assert "LOOM_PROVIDER_URL" in html


def test_who_belongs_to_nothing_is_told_whom_to_ask(client: Client, world: World) -> None:
    client.force_login(User.objects.create_user(username="newcomer"))
    page = words(read(client))
    assert "You do not belong to an organization yet" in page
    assert "acme" not in page


def test_another_organization_sees_nothing_of_it(stranger: Client, world: World) -> None:
    spend(world, 1_140_000)
    html = read(stranger)
    assert "other links" in html
    assert "acme" not in html
    assert "$1.14" not in html
    assert f"question-{world.decisions[0].pk}" not in html


def test_more_projects_beads_and_events_cost_no_more_queries(reader: Client, world: World) -> None:
    read(reader)
    with CaptureQueriesContext(connection) as few:
        read(reader)
    for number in range(4):
        project_create(organization=world.organization, name=f"More {number}", prd="- It does more.\n")
    for _ in range(5):
        spend(world, 100)
        bead_add(world)
    with CaptureQueriesContext(connection) as many:
        html = read(reader)
    assert "More 3" in html
    assert len(many) == len(few)


def test_a_script_that_has_seen_everything_gets_nothing_new(reader: Client, world: World) -> None:
    seen = re.search(r'data-seen="(\d+)"', read(reader))
    assert seen is not None
    headers = {"X-Loom-Seen": seen[1]}
    assert reader.get("/", headers=headers).status_code == 204
    bead_claim(bead=world.beads[0], agent="Engineer")
    assert reader.get("/", headers=headers).status_code == 200


def test_pages_carry_no_inline_script_or_style(reader: Client, world: World) -> None:
    html = read(reader) + read(reader, f"/projects/{world.project.pk}/")
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"\son\w+=|\sstyle=|javascript:", html) == []


def test_what_agents_write_is_never_markup(reader: Client, world: World) -> None:
    Bead.objects.update(title="<img src=x onerror=alert(1)>")
    html = read(reader) + read(reader, f"/projects/{world.project.pk}/")
    assert "<img" not in html
    assert "&lt;img src=x" in html


@pytest.mark.parametrize("part", ["open", "work", "need", "fail", "done", "block"])
def test_every_shape_is_in_the_page(reader: Client, world: World, part: str) -> None:
    assert f'<symbol id="{part}"' in read(reader)


def test_two_weaves_of_one_prd_build_in_two_directories(
    reader: Client, world: World, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(views_begin, "machine_check", lambda: None)
    monkeypatch.setattr(views_begin, "providers_check", lambda *_: [])
    settings.BASE_DIR = tmp_path
    for _ in range(2):
        assert reader.post("/sample/").status_code == 302
    places = Project.objects.exclude(out_dir="").order_by("id").values_list("out_dir", flat=True)
    assert len(set(places)) == len(places) == 2, list(places)


def test_a_model_of_the_organization_is_enough_to_begin_a_prd_of_ones_own(
    reader: Client, world: World, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(views_begin, "machine_check", lambda: None)
    monkeypatch.setattr(services, "providers_detect", lambda _: [])  # of the environment there is none
    settings.BASE_DIR = tmp_path
    prd = {"prd": "# Links\n\n- It must store links.\n", "organization": world.organization.slug}
    assert "No model is connected" in reader.post("/projects/new/begin/", prd).content.decode()
    with ScriptServer(lambda messages, tools: ScriptedReply("OK")) as server:
        given = {"name": "mine", "kind": "openai", "endpoint": server.url, "model": "script"}
        reader.post("/models/add/", given)
        begun = reader.post("/projects/new/begin/", prd)
    assert begun.status_code == 302, words(begun.content.decode())
    assert Project.objects.latest("pk").name == "Links"
