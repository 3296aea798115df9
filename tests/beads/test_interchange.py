"""The beads format: what other tools read out of an export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.beads.interchange import bead_records, beads_write
from apps.beads.jobs import beads_export
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create
from apps.core.errors import NotFound
from tests.world import World, bead_add, world_build

STATUSES = {"open", "in_progress", "blocked", "deferred", "closed", "pinned", "hooked"}


@pytest.fixture
def world(db: None) -> World:
    return world_build("acme", rows=0)


def test_a_bead_is_written_with_the_names_of_the_format(world: World) -> None:
    epic = bead_create(project=world.project, title="Links", type="epic")
    first = bead_create(project=world.project, title="Ground", priority=0, parent=epic)
    bead = bead_create(
        project=world.project,
        title="Grüße “store”",
        type="story",
        acceptance=["It stores.", "It lists."],
        parent=epic,
        blocked_by=[first],
        labels=["mvp"],
        role="qa-engineer",
        requirements=list(world.project.requirements.all()[:1]),
    )
    *_, record = bead_records(Bead.objects.all())
    created = record.pop("created_at")
    assert created.endswith("Z")
    assert record.pop("updated_at") >= created
    times = [dependency.pop("created_at") for dependency in record["dependencies"]]
    assert all(time.endswith("Z") for time in times)
    assert record == {
        "_type": "issue",
        "id": bead.key,
        "title": "Grüße “store”",
        "acceptance_criteria": "- It stores.\n- It lists.",
        "status": "open",
        "priority": 2,
        "issue_type": "story",
        "labels": ["mvp"],
        "dependencies": [
            {"issue_id": bead.key, "depends_on_id": epic.key, "type": "parent-child"},
            {"issue_id": bead.key, "depends_on_id": first.key, "type": "blocks"},
        ],
        "metadata": {
            "loom": {"role": "qa-engineer", "requirements": [world.project.requirements.all()[0].key]}
        },
    }


def test_priority_zero_is_written_because_a_missing_one_is_read_as_zero(world: World) -> None:
    bead_create(project=world.project, title="Ground", priority=0)
    (record,) = bead_records(Bead.objects.all())
    assert record["priority"] == 0


def test_closed_at_is_there_exactly_when_the_bead_is_closed(world: World) -> None:
    closed = bead_create(project=world.project, title="One")
    bead_create(project=world.project, title="Two")
    bead_close(bead=closed, reason="Merged.", commit="a" * 40)
    records = list(bead_records(Bead.objects.all()))
    assert [("closed_at" in record, record["status"]) for record in records] == [
        (True, "closed"),
        (False, "open"),
    ]
    assert records[0]["close_reason"] == "Merged."
    assert records[0]["metadata"]["loom"]["merged_commit"] == "a" * 40


def test_every_status_is_one_the_format_knows() -> None:
    assert set(Bead.Status.values) <= STATUSES


def test_the_file_has_one_line_per_bead_and_no_leftovers(world: World, tmp_path: Path) -> None:
    bead_create(project=world.project, title="Line\nbreak")
    bead_create(project=world.project, title="Two")
    path = tmp_path / "exports" / "beads.jsonl"
    assert beads_write(Bead.objects.all(), path) == 2
    lines = path.read_bytes().decode().splitlines()
    assert [json.loads(line)["title"] for line in lines] == ["Line\nbreak", "Two"]
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_export_leaves_no_file(world: World, tmp_path: Path) -> None:
    bead_create(project=world.project, title="One")
    taken = tmp_path / "beads.jsonl"
    taken.mkdir()
    with pytest.raises(IsADirectoryError):
        beads_write(Bead.objects.all(), taken)
    assert list(tmp_path.iterdir()) == [taken]


def test_more_beads_cost_no_more_queries(world: World) -> None:
    bead_add(world)
    bead_add(world)
    with CaptureQueriesContext(connection) as few:
        list(bead_records(Bead.objects.all()))
    for _ in range(6):
        bead_add(world)
    with CaptureQueriesContext(connection) as many:
        list(bead_records(Bead.objects.all()))
    assert len(many) == len(few)


def test_an_export_of_no_project_says_so(db: None) -> None:
    with pytest.raises(NotFound, match="There is no project 12345"):
        beads_export(12345)
