"""The API of runs: what people see of them and what they can do, in their own organizations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create
from apps.core.errors import Unavailable
from apps.engine import doorbell, runner
from apps.engine.flow import FLOWS, Flow, Handle, Retry, answers, call, step, wait_for
from apps.engine.models import Run, Signal
from apps.engine.services import run_start
from apps.events.models import Event
from tests.engine.flows import note, notes
from tests.world import World, client_of, run_add, world_build

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def rings() -> Iterator[list[int]]:
    rung: list[int] = []
    doorbell.use(rung.extend)
    yield rung
    doorbell.use(None)


@pytest.fixture
def world() -> World:
    return world_build("acme", rows=0)


@pytest.fixture
def client(world: World) -> Client:
    return client_of(world)


def get(client: Client, address: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1/runs{address}")
    assert answer.status_code == status, answer.content
    return answer.json()


def post(client: Client, address: str, body: Any = None, status: int = 200) -> Any:
    answer = client.post(f"/api/v1/runs{address}", data=body or {}, content_type="application/json")
    assert answer.status_code == status, answer.content
    return answer.json()


def story() -> dict[str, Any]:
    answers("where", lambda: "on the way")
    step(note, text="first")
    said = wait_for("go")
    step(note, text="last")
    return {"said": said}


def away(handle: Handle) -> None:
    raise Unavailable("Away.", hint="Come back later.")


def waiting_run(world: World, key: str = "story") -> Run:
    FLOWS["api.story"] = Flow(name="api.story", function=story, version=1)
    run = run_start(
        flow="api.story",
        key=key,
        input={},
        organization_id=world.organization.pk,
        project_id=world.project.pk,
    )
    runner.drain()
    run.refresh_from_db()
    return run


def test_the_list_is_of_ones_own_organizations_newest_first(world: World, client: Client) -> None:
    first, second = run_add(world), run_add(world, status=Run.Status.DONE)
    run_add(world_build("other", rows=0))
    Run.objects.create(key="nobody's", flow="api.story")
    rows = get(client, "")
    assert [row["id"] for row in rows] == [second.pk, first.pk]
    assert "input" not in rows[0]
    assert client.get("/api/v1/runs?limit=1")["X-Total-Count"] == "2"


def test_the_list_can_be_narrowed(world: World, client: Client) -> None:
    run, done = run_add(world), run_add(world, status=Run.Status.DONE)
    Run.objects.filter(pk=done.pk).update(flow="other", bead_id=77, project_id=None)

    def ids(query: str) -> list[int]:
        return [row["id"] for row in get(client, f"?{query}")]

    assert ids("status=done") == ids("flow=other") == ids("bead=77") == [done.pk]
    assert ids(f"project={world.project.pk}&status=waiting") == [run.pk]
    assert ids("flow=none") == ids("bead=0") == []
    assert "it is one of: ready, running" in get(client, "?status=asleep", 400)["error"]
    for wrong in ("bead=x", "flow=%00", "flows=other"):
        assert get(client, f"?{wrong}", 400)["code"] == "bad_input"


def test_more_runs_cost_no_more_queries(world: World, client: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as said:
            get(client, "")
        return len(said)

    run_add(world)
    before = count()
    for _ in range(5):
        run_add(world)
    assert count() == before


def test_a_run_is_shown_whole_and_its_timeline_tells_what_happened(world: World, client: Client) -> None:
    run = waiting_run(world)
    shown = get(client, f"/{run.pk}")
    assert (shown["status"], shown["waits_for"], shown["input"]) == ("waiting", "go", {})
    post(client, f"/{run.pk}/signal", {"name": "go", "data": {"n": 1}}, 201)
    runner.drain()
    assert get(client, f"/{run.pk}")["output"] == {"said": {"n": 1}}
    told = get(client, f"/{run.pk}/timeline")
    assert [(entry["type"], entry["name"]) for entry in told["entries"]] == [
        ("step", "note"),
        ("step", "wait:go"),
        ("event", "run.signaled"),
        ("signal", "go"),
        ("step", "note"),
        ("event", "run.done"),
    ]
    assert told["run"]["status"] == "done"
    assert told["entries"][3]["taken_by"] == 2


def test_a_timeline_comes_in_pages(world: World, client: Client) -> None:
    run = run_add(world, steps=5)
    seen: list[int] = []
    address = f"/{run.pk}/timeline?limit=2"
    while True:
        told = get(client, address)
        seen += [entry["seq"] for entry in reversed(told["entries"]) if entry["type"] == "step"]
        if told["older"] is None:
            break
        address = f"/{run.pk}/timeline?limit=2&before={told['older']}"
    assert seen == [5, 4, 3, 2, 1]
    assert get(client, f"/{run.pk}/timeline?limit=0", 400)["code"] == "bad_input"


def test_the_flow_of_a_run_answers_questions(world: World, client: Client) -> None:
    run = waiting_run(world)
    assert get(client, f"/{run.pk}/answers/where") == {"name": "where", "answer": "on the way"}
    assert "it can be asked for: where" in get(client, f"/{run.pk}/answers/why", 404)["error"]


def test_pause_resume_and_cancel(world: World, client: Client) -> None:
    run = waiting_run(world)
    assert post(client, f"/{run.pk}/pause")["status"] == "paused"
    post(client, f"/{run.pk}/signal", {"name": "go"}, 201)
    runner.sweep()
    runner.drain()
    assert notes() == ["first"]
    assert "is paused already" in post(client, f"/{run.pk}/pause", status=409)["error"]
    assert post(client, f"/{run.pk}/resume")["status"] == "ready"
    assert "is not paused" in post(client, f"/{run.pk}/resume", status=409)["error"]
    assert post(client, f"/{run.pk}/cancel")["cancel_requested"] is True
    runner.drain()
    assert get(client, f"/{run.pk}")["status"] == "canceled"
    assert set(Event.objects.filter(kind="run.resumed").values_list("actor", flat=True)) == {"ann"}


def test_a_failed_run_is_retried(world: World, client: Client) -> None:
    FLOWS["api.away"] = Flow(name="api.away", function=lambda: call(away, retry=Retry(1)), version=1)
    run = run_start(flow="api.away", key="away", input={}, organization_id=world.organization.pk)
    runner.drain()
    [failed] = [entry for entry in get(client, f"/{run.pk}/timeline")["entries"] if entry["type"] == "step"]
    assert failed["error"] == {"code": "unavailable", "message": "Away.", "hint": "Come back later."}
    assert post(client, f"/{run.pk}/retry")["status"] == "ready"
    assert "Only a failed run" in post(client, f"/{run.pk}/retry", status=409)["error"]


def test_the_failed_run_of_a_bead_that_was_closed_meanwhile_is_not_retried(
    world: World, client: Client
) -> None:
    bead = bead_create(project=world.project, title="Over")
    run = Run.objects.create(
        key=f"bead:{bead.pk}", flow="bead.work", status="failed", bead_id=bead.pk,
        organization_id=world.organization.pk, project_id=world.project.pk,
    )  # fmt: skip
    bead_close(bead=bead, reason="not needed")
    assert f"{bead.key} was closed meanwhile" in post(client, f"/{run.pk}/retry", status=409)["error"]
    assert get(client, f"/{run.pk}")["status"] == "failed"
    Bead.objects.filter(pk=bead.pk).update(merged_commit="c0ffee")
    assert post(client, f"/{run.pk}/retry")["status"] == "ready", "it merged the bead, and has more to do"


@pytest.mark.parametrize("verb", ["cancel", "retry", "pause", "resume", "signal"])
def test_a_run_that_has_ended_refuses_everything_and_says_so(world: World, client: Client, verb: str) -> None:
    run = run_add(world, status=Run.Status.DONE)
    before = Signal.objects.count()
    answer = post(client, f"/{run.pk}/{verb}", {"name": "go"}, 409)
    assert (answer["code"], "done" in answer["error"]) == ("conflict", True)
    assert Signal.objects.count() == before
    assert not Event.objects.filter(kind__startswith="run.").exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "\0"},
        {"name": 7},
        {"name": "x" * 121},
        {"name": "child:1"},
        {"name": "timer:1"},
        {"name": "go", "data": [1]},
        {"name": "go", "data": "text"},
    ],
)
def test_a_signal_that_makes_no_sense_is_refused(world: World, client: Client, body: Any) -> None:
    run = run_add(world)
    before = Signal.objects.count()
    assert post(client, f"/{run.pk}/signal", body, 400)["code"] == "bad_input"
    assert Signal.objects.count() == before


@pytest.mark.parametrize("name", ["decision:7", "merge:7", "child:7", "timer:1"])
def test_who_may_signal_forges_no_answer_that_loom_itself_gives(
    world: World, client: Client, name: str
) -> None:
    run = waiting_run(world)
    refused = post(client, f"/{run.pk}/signal", {"name": name, "data": {"choice": "approve"}}, 400)
    assert refused["error"] == f"Only Loom itself sends signals like {name!r}."
    assert not Signal.objects.filter(run=run).exists()
    assert not Event.objects.filter(kind="run.signaled").exists()


def test_another_tenants_runs_are_not_there(world: World, client: Client) -> None:
    other = run_add(world_build("other", rows=0))
    for address in ("", "/timeline", "/answers/where"):
        get(client, f"/{other.pk}{address}", 404)
    for verb in ("cancel", "retry", "pause", "resume", "signal"):
        post(client, f"/{other.pk}/{verb}", {"name": "go"}, 404)
    other.refresh_from_db()
    assert (other.status, other.cancel_requested) == (Run.Status.WAITING, False)
    get(client, "/nonsense", 404)
    get(client, f"/{10**17}", 404)


def test_who_may_only_look_changes_nothing(world: World) -> None:
    run = run_add(world)
    viewer = client_of(world, Role.VIEWER, "vic")
    assert get(viewer, f"/{run.pk}")["id"] == run.pk
    for verb in ("cancel", "retry", "pause", "resume", "signal"):
        assert "runs:write" in post(viewer, f"/{run.pk}/{verb}", {"name": "go"}, 403)["error"]
    assert get(client_of(world, Role.SERVICE, "robot"), "", 403)["code"] == "forbidden"
