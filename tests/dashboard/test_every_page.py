"""What holds for every page: who may see it, what it costs, what is in it, and what can be sent."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import ApiKey, Membership, Role
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.beads.services import bead_claim, bead_close, bead_create
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.motivations.models import Motivation
from apps.providers.models import Budget, Provider
from apps.providers.services import provider_create
from tests.dashboard.test_home import read, spend, words
from tests.world import World, bead_add, client_of, work_on

LISTS = (
    "home", "decisions", "activity", "agents", "runs", "analytics", "providers", "provider-new", "workflows",
    "motivations", "project-new", "design", "find", "notifications", "people", "personas",
    "pairings", "conversations", "logs", "ceo", "notifications-preferences", "groups", "keys", "account",
    "motivation-new",
)  # fmt: skip


BEAD_ROUTES = ("move", "close", "stop", "again", "pause", "change", "escalation")


def own_pages(world: World) -> list[str]:
    """Pages of things that belong to the world's organization."""
    project, bead = world.project.pk, world.beads[0]
    run = Run.objects.filter(bead_id=bead.pk).latest("pk")
    return [
        *(
            reverse(name, args=[project])
            for name in ("project", "board", "beads", "graph", "requirements", "settings", "team", "lessons")
        ),
        reverse("board", args=[project]) + "?lanes=epic",
        reverse("team", args=[project]) + "?edit=qa-engineer",
        *(reverse(name, args=[bead.key]) for name in ("bead", "bead-changes", "bead-evidence")),
        reverse("session", args=[world.sessions[0].pk]),
        reverse("run", args=[run.pk]),
        reverse("decision", args=[world.decisions[0].pk]),
    ]


def test_every_page_opens_for_members_and_is_hidden_from_others(
    reader: Client, stranger: Client, client: Client, world: World
) -> None:
    Decision.objects.all().update(needs_person=True)
    for address in [*(reverse(name) for name in LISTS), "/workflows/story/", *own_pages(world)]:
        html = read(reader, address)
        assert re.findall(r"<script(?![^>]*\bsrc=)", html) == [], address
        assert re.findall(r"\son\w+=|\sstyle=|javascript:", html) == [], address
        assert client.get(address).status_code == 302, address
    for address in own_pages(world):
        assert stranger.get(address).status_code == 404, address
    for name in LISTS:
        assert "acme" not in read(stranger, reverse(name)), name


def test_more_of_everything_costs_no_more_queries(reader: Client, world: World) -> None:
    """Pages of lists, whatever is in them."""
    work_on(world, world.beads[0])
    addresses = [*(reverse(name) for name in LISTS), *own_pages(world)[:8]]
    for address in addresses:
        read(reader, address)
    few = {address: count(reader, address) for address in addresses}
    for _ in range(4):
        bead_add(world)
    for number in range(3):
        provider_create(
            name=f"p{number}", organization_id=world.organization.pk, endpoint="http://x/v1", model="m"
        )
    many = {address: count(reader, address) for address in addresses}
    assert many == few


def count(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        read(client, address)
    return len(queries)


def test_a_script_asks_for_the_changing_part_only(reader: Client, world: World) -> None:
    html = reader.get("/", headers={"X-Loom-Part": "app"}).content.decode()
    assert 'id="app"' in html
    assert "<html" not in html
    assert 'id="palette"' not in html


def test_colors_are_kept_and_nonsense_is_not(reader: Client, world: World) -> None:
    reader.post("/theme/", {"theme": "dark", "next": "/agents/"})
    assert 'data-theme="dark"' in read(reader)
    reader.post("/theme/", {"theme": "pink"})
    assert 'data-theme="dark"' in read(reader)


def test_the_palette_finds_what_one_may_see(reader: Client, stranger: Client, world: World) -> None:
    assert "Store links, part 2" in read(reader, "/find/?q=part 2")
    assert f"/beads/{world.beads[0].key}/" in read(reader, f"/find/?q={world.beads[0].key}")
    assert "/decisions/" in read(reader, "/find/?q=addresses")
    assert "Nothing has these words" in read(reader, "/find/?q=zzzz")
    assert world.beads[0].key not in read(stranger, f"/find/?q={world.beads[0].key}")


def test_boards_and_lists_are_filtered_by_their_address(reader: Client, world: World) -> None:
    bug = bead_create(
        project=world.project, title="A bug", type="bug", priority=0, labels=["api"], role="qa-engineer"
    )
    board, rows = (reverse(name, args=[world.project.pk]) for name in ("board", "beads"))
    for query in ("type=bug", "priority=0", "label=api", "role=qa-engineer", "text=a+BUG", f"text={bug.key}"):
        for address in (board, rows):
            page = read(reader, f"{address}?{query}")
            assert f'id="{"tile" if address == board else "row"}-{bug.pk}"' in page, query
            assert "Store links, part 1" not in page, query
    assert '<span class="tag">api</span>' in read(reader, f"{board}?label=api")
    required = read(reader, f"{rows}?requirement=R-001")
    assert f'id="row-{world.beads[0].pk}"' in required
    assert "<option selected>R-001</option>" in required
    assert "No bead fits these filters" in read(reader, f"{rows}?state=proving")
    sorted_by_title = read(reader, f"{rows}?sort=-title")
    assert sorted_by_title.index("part 2") < sorted_by_title.index("A bug</a>")
    assert 'aria-sort="descending"' in sorted_by_title
    for nonsense in ("sort=zz", "page=zz", "priority=zz", "state=zz", "lanes=zz", "span=zz"):
        read(reader, f"{rows}?{nonsense}")
        read(reader, f"{board}?{nonsense}")


def send(client: Client, route: str, *args: object, **given: object) -> str:
    """What is told after something is sent."""
    response = client.post(reverse(route, args=args), {"next": "/", **given}, follow=True)
    assert response.status_code == 200, response.status_code
    return words("".join(str(message) for message in response.context["messages"])) or words(
        response.content.decode()
    )


def test_settings_are_saved_with_the_budget_and_faults_keep_what_was_typed(
    reader: Client, world: World
) -> None:
    save = reverse("settings-save", args=[world.project.pk])
    given = {
        "name": "Better name",
        "approval": "ask",
        "max_sessions": "2",
        "budget_usd": "1.5",
        "checks": "make test",
    }
    assert "Settings are saved" in send(reader, "settings-save", world.project.pk, **given)
    world.project.refresh_from_db()
    assert (world.project.name, world.project.max_sessions) == ("Better name", 2)
    assert world.project.checks[0]["command"] == "make test"
    assert Budget.objects.get(scope="project").limit_microusd == 1_500_000
    typed = {**given, "checks": "lint: ruff check .\n# make slow\nmake test"}
    send(reader, "settings-save", world.project.pk, **typed)
    world.project.refresh_from_db()
    rows = [(row["kind"], row["command"], row.get("enabled", True)) for row in world.project.checks]
    assert rows == [
        ("lint", "ruff check .", True), ("test", "make slow", False), ("test", "make test", True),
    ]  # fmt: skip
    shown = reader.get(reverse("settings", args=[world.project.pk])).content.decode()
    assert "lint: ruff check .\n# make slow\nmake test" in shown
    send(reader, "settings-save", world.project.pk, **{**given, "checks": "", "checks_off": "cargo fmt"})
    world.project.refresh_from_db()
    assert world.project.checks == [{"name": "cargo fmt", "enabled": False}]
    wrong = reader.post(save, {**given, "name": "Kept text", "max_sessions": "0"})
    assert wrong.status_code == 400
    assert "Kept text" in wrong.content.decode()


def test_agents_runs_motivations_and_models_are_managed(reader: Client, world: World) -> None:
    agent = world.agent
    assert "gets no more work" in send(reader, "agent-pause", agent.pk)
    assert "takes work again" in send(reader, "agent-resume", agent.pk)
    assert "leaves the team" in send(reader, "agent-stop", agent.pk)
    assert "joins acme links" in send(
        reader, "agent-add", project=str(world.project.pk), role="engineering-manager"
    )
    assert Agent.objects.count() == 2
    run = Run.objects.filter(bead_id=world.beads[0].pk).get()
    assert "set aside" in send(reader, "run-pause", run.pk)
    assert "goes on" in send(reader, "run-resume", run.pk)
    assert "Only a failed run" in send(reader, "run-retry", run.pk)
    assert "stops at its next step" in send(reader, "run-cancel", run.pk)
    row = Motivation.objects.create(
        organization=world.organization, name="Tidy", type="idle", condition="system_idle", create_bead=False
    )
    assert "Tidy:" in send(reader, "motivation-trigger", row.pk)
    assert "Tidy is off" in send(reader, "motivation-switch", row.pk)
    assert "is disabled" in send(reader, "motivation-trigger", row.pk)


def test_a_model_is_connected_tried_and_its_key_is_never_shown(reader: Client, world: World) -> None:
    given = {
        "name": "near",
        "kind": "openai",
        "endpoint": "http://127.0.0.1:9/v1",
        "model": "m",
        "key": "sk-secret-1",
    }
    response = reader.post("/models/add/", given, follow=True)
    html = response.content.decode()
    row = Provider.objects.get(name="near")
    assert row.organization_id == world.organization.pk
    assert "sk-secret-1" not in html
    assert "near" in html
    again = reader.post("/models/add/", given)
    assert again.status_code == 409
    assert "sk-secret-1" not in again.content.decode()
    assert "no longer used" in send(reader, "provider-switch", row.pk)
    assert "is removed" in send(client_of(world, Role.ADMIN, "amy"), "provider-remove", row.pk)


def test_who_may_only_look_is_offered_nothing_and_can_send_nothing(world: World, stranger: Client) -> None:
    viewer = client_of(world, Role.VIEWER, "vic")
    bead = world.beads[0]
    page = read(viewer, reverse("board", args=[world.project.pk])) + read(
        viewer, reverse("bead", args=[bead.key])
    )
    main = page.split("<main", 1)[1]
    assert "data-move" not in main
    assert reverse("bead-close", args=[bead.key]) not in main
    run = Run.objects.filter(bead_id=bead.pk).get()
    routes = [
        *((f"bead-{name}", bead.key) for name in BEAD_ROUTES),
        ("bead-add", world.project.pk), ("beads-bulk", world.project.pk), ("settings-save", world.project.pk),
        ("agent-pause", world.agent.pk), ("run-cancel", run.pk),
    ]  # fmt: skip
    for someone in (viewer, stranger):
        for name, key in routes:
            given = {"to": "close", "reason": "x", "name": "x", "approval": "ask", "max_sessions": "1"}
            assert someone.post(reverse(name, args=[key]), given).status_code == 404, name
    assert viewer.post("/sample/").status_code == 404
    bead.refresh_from_db()
    assert bead.status == Bead.Status.OPEN


def test_a_prd_is_previewed_and_what_stands_in_the_way_keeps_it(reader: Client, world: World) -> None:
    prd = "# Shorten\n\n## Requirements\n\n- It stores links.\n- It lists them.\n"
    preview = words(reader.post("/projects/new/preview/", {"prd": prd}).content.decode())
    assert "Shorten : 2 requirements" in preview
    assert (
        "appear here while you type" in reader.post("/projects/new/preview/", {"prd": " "}).content.decode()
    )
    refused = reader.post("/projects/new/begin/", {"prd": prd, "sessions": "4"})
    assert refused.status_code >= 400
    assert "It stores links." in refused.content.decode()
    assert "is empty" in reader.post("/projects/new/begin/", {"prd": ""}).content.decode()
    costly = reader.post("/projects/new/begin/", {"prd": prd, "budget": "-1"}).content.decode()
    assert "Budget in USD: Ensure this value is greater than or equal to 0." in costly
    elsewhere = reader.post("/projects/new/begin/", {"prd": prd, "organization": "other"})
    assert "You may not begin projects in that organization" in elsewhere.content.decode()


def test_cost_is_told_over_time_and_as_csv(reader: Client, stranger: Client, world: World) -> None:

    spend(world, 1_140_000)
    page = words(read(reader, "/cost/?span=1d"))
    assert "Spent $1.14" in page
    assert "100 % answered" in page
    table = read(reader, f"/cost.csv?project={world.project.pk}").splitlines()
    assert table[0] == "from,calls,failed,tokens,latency_ms,cost_usd"
    assert len(table) == 9  # a week with today, also the days on which nothing happened
    assert [line.rpartition(",")[2] for line in table[-2:]] == ["0.000000", "1.140000"]
    page = read(reader, "/cost/")
    for title in ("Spent over time", "Tokens over time", "Mean latency over time", "Failed calls over time"):
        assert title in page
    for by in ("project", "agent", "model"):
        assert f"By {by}" in page
        head, *lines = read(reader, f"/cost.csv?by={by}").splitlines()
        assert (head.partition(",")[0], len(lines)) == (by, 1)
    assert f"{world.project.name},1,0,0,0.0,1.140000" in read(reader, "/cost.csv?by=project")
    assert stranger.get(f"/cost.csv?project={world.project.pk}").status_code == 404
    assert read(reader, "/cost/?span=nonsense")


@pytest.mark.parametrize(
    "name", ["activity", "runs", "decisions", "analytics", "logs", "conversations", "notifications"]
)
def test_nonsense_in_addresses_does_no_harm(reader: Client, world: World, name: str) -> None:
    for query in (
        "page=-1",
        "page=zz",
        "status=zz",
        "flow=%00",
        "project=zz",
        "before=zz",
        "line=zz",
        "upto=zz",
        "source=%00",
        "rule=%00",
        "priority=%00",
    ):
        read(reader, f"{reverse(name)}?{query}")


def test_a_merged_bead_shows_what_it_changed_or_why_that_cannot_be_shown(
    reader: Client, world: World
) -> None:
    bead_claim(bead=world.beads[0], agent="Engineer")
    bead_close(bead=world.beads[0], reason="Merged.", commit="a" * 40)
    page = read(reader, reverse("bead-changes", args=[world.beads[0].key]))
    assert "The diff cannot be shown: The repository does not hold its commits." in page
    assert "Claim 1" in page


def test_people_comment_are_added_and_make_keys_that_are_shown_once(
    reader: Client, stranger: Client, world: World
) -> None:
    bead = world.beads[0]
    assert "Your comment is there" in send(reader, "bead-comment", bead.key, content="Use **SQLite**.")
    assert "<strong>SQLite</strong>" in read(reader, reverse("bead", args=[bead.key]))
    assert stranger.post(reverse("bead-comment", args=[bead.key]), {"content": "x"}).status_code == 404
    given = {"name": "CI", "may": "read", "organization": world.organization.slug}
    key = re.search(
        r"loom_[\w-]+", reader.post("/people/keys/add/", given).content.decode().split("new-key")[1]
    )
    assert key is not None
    page = read(reader, "/people/keys/")
    assert "CI" in page
    assert key[0] not in page
    made = ApiKey.objects.get(name="CI")
    assert stranger.post(reverse("key-end", args=[made.pk])).status_code == 404
    assert "CI is revoked" in send(reader, "key-end", made.pk)
    assert reader.post("/people/keys/add/", {**given, "may": "all"}).status_code == 400
    assert "0 marked as read" in send(reader, "notifications-read")


def test_only_administrators_manage_people(reader: Client, world: World) -> None:
    admin = client_of(world, Role.ADMIN, "root")
    given = {"username": "kim", "password": "a long password 1", "role": "viewer", "organization": "acme"}
    assert reader.post("/people/add/", given).status_code == 404
    assert "kim can sign in" in send(admin, "person-add", **given)
    assert "is taken" in send(admin, "person-add", **given)
    kim = Membership.objects.get(user__username="kim")
    assert "is now user" in send(admin, "role-set", kim.pk, role="user")
    assert reader.post(reverse("role-set", args=[kim.pk]), {"role": "admin"}).status_code == 404
    assert "kim" in read(admin, "/people/")
    assert "kim" not in read(reader, "/people/").split("<main")[1]
