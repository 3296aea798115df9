"""The API of beads: what is listed, created, changed, closed and said about them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Membership, Organization, Role
from apps.accounts.services import organization_ensure
from apps.beads.models import Bead, Comment
from apps.beads.services import bead_block, bead_claim, bead_close, bead_create
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.api.clients import client_of, person, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]


@pytest.fixture
def project(ours: Organization) -> Project:
    return project_create(organization=ours, name="Links")


def beads(project: Project) -> list[Bead]:
    epic = bead_create(project=project, title="Storage", type="epic", labels=["größe", "mvp"])
    store = bead_create(project=project, title="Store links", parent=epic, priority=0, role="cto")
    lists = bead_create(project=project, title="List links", blocked_by=[store], type="bug", priority=4)
    lost = bead_create(project=project, title="Lost", labels=["mvp"])
    bead_block(bead=lost, reason="Nobody knows.")
    return [epic, store, lists, lost]


def titles(client: Client, query: str) -> list[str]:
    answer = client.get(f"/api/v1/beads{query}")
    assert answer.status_code == 200, answer.json()
    return [row["title"] for row in answer.json()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Store links", "Storage", "Lost", "List links"]),
        ("?status=open&type=task,bug", ["Store links", "List links"]),
        ("?priority=0,4", ["Store links", "List links"]),
        ("?tag=mvp", ["Storage", "Lost"]),
        ("?tag=größe", ["Storage"]),
        ("?tag=mv", []),
        ("?parent={prefix}-1", ["Store links"]),
        ("?ready=true", ["Store links"]),
        ("?ready=false&ordering=title", ["List links", "Lost", "Storage"]),
        ("?search=links&role=cto", ["Store links"]),
        ("?assigned_to=bob", []),
        ("?project_id=999999", []),
        ("/ready", ["Store links"]),
        ("/blocked?ordering=-title", ["Lost", "List links"]),
        ("?cursor=&limit=2", ["Store links", "Storage"]),
    ],
)
def test_beads_are_found_by_what_they_are(
    client: Client, project: Project, query: str, found: list[str]
) -> None:
    beads(project)
    assert titles(client, query.format(prefix=project.bead_prefix)) == found


def test_a_list_asked_for_again_shows_what_is_there_by_now(
    client: Client, ours: Organization, project: Project
) -> None:
    beads(project)
    assert len(titles(client, "?status=open")) == 3
    bead_create(project=project, title="New", priority=4)
    answer = client.get("/api/v1/beads?status=open&limit=2&offset=2")
    assert [row["title"] for row in answer.json()] == ["List links", "New"]
    assert answer["X-Total-Count"] == "4"
    other = project_create(organization=ours, name="Other")
    bead_create(project=other, title="Elsewhere", priority=0)
    assert "Elsewhere" in titles(client, "?status=open")
    Membership.objects.all().delete()
    assert client.get("/api/v1/beads?status=open").status_code == 403


def test_a_bead_says_what_it_hangs_together_with(client: Client, project: Project) -> None:
    epic, store, lists, _ = beads(project)
    body = client.get(f"/api/v1/beads/{store.key.upper()}").json()
    assert (body["parent"], body["blocks"], body["blocked_by"]) == (epic.key, [lists.key], [])
    assert client.get(f"/api/v1/beads/{epic.key}").json()["children"] == [store.key]
    graph = client.get(f"/api/v1/work-graph?project_id={project.pk}").json()
    assert set(graph["beads"]) == set(Bead.objects.values_list("key", flat=True))
    assert graph["edges"] == [
        {"from": store.key, "to": epic.key, "relationship": "parent"},
        {"from": lists.key, "to": store.key, "relationship": "blocks"},
    ]
    assert client.get("/api/v1/work-graph?project_id=999").json() == {
        "beads": {},
        "edges": [],
        "updated_at": None,
    }


def test_a_bead_is_created_whole(client: Client, project: Project) -> None:
    epic, store, *_ = beads(project)
    given = {
        "title": "Import links",
        "type": "feature",
        "project_id": str(project.pk),
        "priority": 0,
        "parent": epic.key,
        "tags": ["csv"],
        "context": {"source": "mail", "pages": 3, "nothing": None},
        "blocked_by": [store.key],
        "related_to": [epic.key],
        "assigned_to": "ann",
        "acceptance": ["It imports."],
        "estimated_time": 90,
        "due_date": "2026-12-24T12:00:00.250000Z",
        "unknown": "is ignored",
    }
    answer = send(client, "post", "beads", given, idempotency_key="one")
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert client.get(answer["Location"]).json() == body
    expected = {**given, "project_id": str(project.pk), "context": {"source": "mail", "pages": "3"}}
    del expected["unknown"]
    assert {name: body[name] for name in expected} == expected
    assert send(client, "post", "beads", given, idempotency_key="one").json() == body
    assert Bead.objects.filter(title="Import links").count() == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"priority": 5}, "priority"),
        ({"priority": "P0"}, "priority"),
        ({"type": "poem"}, "type"),
        ({"parent": "zz-1"}, "parent"),
        ({"blocked_by": ["zz-1"]}, "blocked_by"),
        ({"requirements": ["R-99"]}, "requirements"),
        ({"tags": "csv"}, "tags"),
        ({"context": ["a"]}, "context"),
        ({"due_date": "soon"}, "due_date"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(
    client: Client, project: Project, given: dict[str, Any], field: str
) -> None:
    answer = send(client, "post", "beads", {"title": "Links", "project_id": project.pk, **given})
    details = answer.json()["details"]
    assert (answer.status_code, details.get("field") or next(iter(details["fields"]))) == (400, field)
    assert not Bead.objects.exists()


def test_put_and_patch_change_what_is_given(client: Client, project: Project) -> None:
    epic, store, lists, lost = beads(project)
    at = f"beads/{lists.key}"
    patch = {"title": "List all", "context": {"a": "1", "b": "2"}, "tags": ["x"], "blocked_by": [lost.key]}
    body = send(client, "patch", at, patch).json()
    assert (body["title"], body["blocked_by"], body["priority"]) == ("List all", [lost.key], 4)
    body = send(client, "put", at, {"context": {"a": None, "c": "3"}, "parent": epic.key}).json()
    assert (body["context"], body["parent"], body["tags"]) == ({"b": "2", "c": "3"}, epic.key, ["x"])
    assert send(client, "patch", at, {"parent": None, "related_to": [store.key]}).json()["parent"] is None
    assert send(client, "patch", at, {"project_id": str(project.pk)}).status_code == 200
    assert send(client, "patch", at, {"project_id": project.pk + 1}).status_code == 400
    circle = send(client, "patch", f"beads/{lost.key}", {"title": "Never", "blocked_by": [lists.key]})
    assert (circle.status_code, circle.json()["code"]) == (409, "conflict")
    assert send(client, "patch", f"beads/{epic.key}", {"parent": store.key}).status_code == 409
    assert Bead.objects.get(pk=lost.pk).title == "Lost"


def test_statuses_follow_the_rules_of_the_work(client: Client, project: Project) -> None:
    _, store, lists, lost = beads(project)

    def to(bead: Bead, status: str, **more: Any) -> tuple[int, str]:
        answer = send(client, "patch", f"beads/{bead.key}", {"status": status, **more})
        return answer.status_code, Bead.objects.get(pk=bead.pk).status

    assert to(lists, "in_progress") == (409, "open")  # it waits for another
    assert to(store, "in_progress", assigned_to="ann") == (200, "in_progress")
    assert Bead.objects.get(pk=store.pk).assigned_to == "ann"
    assert to(store, "open") == (200, "open")
    assert to(store, "deferred") == (200, "deferred")
    assert to(store, "blocked") == (409, "deferred")
    assert to(store, "closed", reason="Not needed.") == (200, "closed")
    assert Bead.objects.get(pk=store.pk).close_reason == "Not needed."
    assert to(lists, "in_progress") == (200, "in_progress")
    Run.objects.create(key="x", flow="bead.work", bead_id=lists.pk, status=Run.Status.WAITING)
    assert to(lists, "closed") == (409, "in_progress")
    assert to(lists, "open") == (409, "in_progress")
    assert to(lost, "done")[0] == 400
    assert send(client, "post", f"beads/{lost.key}/close", {"reason": "Found."}).json()["status"] == "closed"
    assert send(client, "post", f"beads/{lost.key}/close").status_code == 409
    assert send(client, "post", f"beads/{lost.key}/reopen").json()["close_reason"] == ""
    kinds = set(Event.objects.filter(bead_id=store.pk).values_list("kind", flat=True))
    assert {"bead.assigned", "bead.status_change", "bead.closed", "bead.completed"} <= kinds


def test_a_stale_change_is_refused(client: Client, project: Project) -> None:
    store = beads(project)[1]
    tag = client.get(f"/api/v1/beads/{store.key}")["ETag"]
    fresh = send(client, "put", f"beads/{store.key}", {"title": "New"}, if_match=tag)
    assert fresh.status_code == 200
    assert send(client, "put", f"beads/{store.key}", {"title": "Old"}, if_match=tag).status_code == 412
    assert send(client, "post", f"beads/{store.key}/close", if_match=tag).status_code == 412
    assert send(client, "post", f"beads/{store.key}/close", if_match=fresh["ETag"]).status_code == 200


def test_people_talk_about_a_bead_and_mention_each_other(client: Client, project: Project) -> None:
    bob = person("bob.b", project.organization)
    person("eve", organization_ensure(name="theirs"))
    store = beads(project)[1]
    at = f"beads/{store.key}/comments"
    first = send(client, "post", at, {"content": "Look, @Bob.B. And @eve? mail@bob.b, @nobody"}).json()
    assert first["mentions"] == ["bob.b"]
    told = Event.objects.filter(kind="mention.created").values_list("data__username", flat=True)
    assert list(told) == ["bob.b"]
    reply = send(
        client_of(bob, project.organization), "post", at, {"content": "Yes.", "parent_id": first["id"]}
    ).json()
    tree = client.get(f"/api/v1/{at}").json()
    assert tree["bead_id"] == store.key
    assert [each["id"] for each in tree["comments"]] == [first["id"]]
    assert [each["id"] for each in tree["comments"][0]["replies"]] == [reply["id"]]
    mine, his = f"comments/{first['id']}", f"comments/{reply['id']}"
    assert send(client, "patch", mine, {"content": "Hm, @bob.b @ann"}).status_code == 200
    assert Event.objects.filter(kind="mention.created").count() == 2
    assert client.get(f"/api/v1/{mine}").json()["edited"]
    assert send(client, "patch", his, {"content": "No."}).status_code == 403
    assert send(client, "delete", his).status_code == 403
    root = client_of("root", project.organization, Role.ADMIN)
    assert send(root, "delete", mine).status_code == 200
    assert Event.objects.get(kind="comment.deleted").actor == "root", "not of its author"
    assert not Comment.objects.exists()
    for wrong in (
        {},
        {"content": " "},
        {"content": "x", "parent_id": 99},
        {"content": "x", "path": "a.py"},
        {"content": "x" * 20_001},
    ):
        assert send(client, "post", at, wrong).status_code in {400, 404}


def test_other_organizations_beads_are_not_there(client: Client, project: Project) -> None:
    theirs = project_create(organization=organization_ensure(name="theirs"), name="Hidden")
    hidden = bead_create(project=theirs, title="Secret")
    store = beads(project)[1]
    user = person("eve", theirs.organization)
    Comment.objects.create(bead=hidden, author=user, author_name="eve", content="Secret")
    comment = Comment.objects.get()
    for method, at in (
        ("get", f"beads/{hidden.key}"),
        ("patch", f"beads/{hidden.key}"),
        ("post", f"beads/{hidden.key}/close"),
        ("get", f"beads/{hidden.key}/comments"),
        ("patch", f"comments/{comment.pk}"),
    ):
        assert send(client, method, at, {"content": "x"}).status_code == 404, at
    assert send(client, "post", "beads", {"title": "x", "project_id": theirs.pk}).status_code == 404
    assert send(client, "patch", f"beads/{store.key}", {"blocked_by": [hidden.key]}).status_code == 400
    assert "Secret" not in client.get("/api/v1/beads").content.decode()
    assert client.get(f"/api/v1/work-graph?project_id={theirs.pk}").json()["beads"] == {}
    viewer = client_of("vic", project.organization, Role.VIEWER)
    assert send(viewer, "patch", f"beads/{store.key}", {"title": "x"}).status_code == 403


def test_closing_and_claiming_at_once_is_decided_once(client: Client, project: Project) -> None:
    store = beads(project)[1]
    assert bead_claim(bead=store, agent="Engineer")
    assert send(client, "patch", f"beads/{store.key}", {"status": "in_progress"}).status_code == 200
    assert bead_close(bead=store, reason="Merged.", commit="c" * 40)
    assert send(client, "post", f"beads/{store.key}/close").status_code == 409
