"""What proves a bead, the rules of merging, and criteria one by one: through the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from apps.accounts.models import Role
from apps.agents.criteria import criteria_match
from apps.agents.merge_models import MergePolicy, policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.agents.models import Claim, Evidence, MergeRequest, Review
from apps.beads.models import Bead
from apps.core.errors import BadInput
from apps.events.models import Event
from tests.world import World, client_of, world_build

pytestmark = pytest.mark.django_db


def test_a_bead_answers_what_proves_it(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    world = world_build(rows=1)
    bead, client = world.beads[0], client_of(world, Role.VIEWER)

    def proof() -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/api/v1/beads/{bead.key}/proof").json()
        return found

    assert proof()["answer"] == "Claim 1 passed its checks, but it is not on main."
    (claim,) = proof()["claims"]
    assert (claim["by"], claim["commit"], claim["evidence"][0]["check"]) == (
        "Engineer",
        "c" * 40,
        "unit tests",
    )
    assert proof()["merged"] is None
    assert [row["met"] for row in proof()["criteria"]] == [None, None]

    landed(bead)
    with django_assert_max_num_queries(14):
        shown = proof()
    assert shown["answer"] == (
        "unit tests passed on what became main at eeeeeeeeee. Engineer approved it, criterion by criterion. "
        "The reviewer was told of 1 changes to tests or checks."
    )
    assert [(row["criterion"], row["met"], row["by"]) for row in shown["criteria"]] == [
        ("It stores.", True, "Engineer"),
        ("It lists.", False, "Engineer"),
    ]
    assert shown["claims"][0]["merge"]["evidence"][0]["commit"] == "e" * 40
    assert shown["merged"] == {"commit": "e" * 40, "claim": 1}


def landed(bead: Bead) -> None:
    claim = Claim.objects.get(bead=bead)
    said = [{"criterion": "It stores.", "met": True}, {"criterion": "It lists.", "met": False}]
    Review.objects.filter(claim=claim).update(criteria=said)
    (row,) = Evidence.objects.filter(claim=claim)
    row.pk, row.kind, row.commit = None, Evidence.Kind.MERGE, "e" * 40
    row.flags = [{"path": "tests/x.py", "what": "1 fewer tests", "rule": "test-deleted", "level": "warning"}]
    row.save()
    MergeRequest.objects.filter(claim=claim).update(status="merged", commit="e" * 40, tip="e" * 40)
    Bead.objects.filter(pk=bead.pk).update(merged_commit="e" * 40)


def test_another_organizations_proof_and_rules_are_not_there() -> None:
    mine, theirs = world_build("mine", rows=1), world_build("theirs", rows=1)
    client = client_of(mine, Role.ADMIN)
    for path in (
        f"beads/{theirs.beads[0].key}/proof",
        "beads/none-1/proof",
        f"projects/{theirs.project.pk}/merge-policy",
        "projects/x/merge-policy",
    ):
        assert client.get(f"/api/v1/{path}").status_code == 404
    listed = client.get("/api/v1/merges?status=queued").json()
    assert [row["bead_id"] for row in listed] == [mine.beads[0].key]
    assert client.get("/api/v1/pull-requests").json() == []
    assert Client().get(f"/api/v1/beads/{mine.beads[0].key}/proof").status_code in {401, 403}


def change(client: Client, world: World, **given: Any) -> Any:
    path = f"/api/v1/projects/{world.project.pk}/merge-policy"
    return client.patch(path, given, content_type="application/json")


def test_administrators_change_the_rules_of_merging_and_the_credential_never_comes_back() -> None:
    world = world_build(rows=0)
    client = client_of(world, Role.ADMIN)
    assert client.get(f"/api/v1/projects/{world.project.pk}/merge-policy").json()["strategy"] == "direct"
    given = {"strategy": "branch-pr", "remote": "https://git.example.org/x.git", "credential": "s3cret-token"}
    answer = change(
        client, world, tampering="block", overlap="parallel", batch_size=3, username="bot", **given
    )
    assert answer.status_code == 200
    assert answer.json()["has_credential"] is True
    assert "s3cret" not in answer.content.decode()
    policy = policy_of(world.project.pk)
    assert (policy.strategy, policy.tampering, policy.batch_size) == ("branch-pr", "block", 3)
    assert "s3cret" not in policy.credential_sealed
    event = Event.objects.get(kind="project.merge_policy")
    assert "s3cret" not in str(event.data)
    assert change(client_of(world, Role.USER, "bob"), world, tampering="warn").status_code == 403


@pytest.mark.parametrize(
    "given",
    [
        {"strategy": "branch-pr"}, {"strategy": "x"}, {"batch_size": 0}, {"batch_size": 999},
        {"tampering": None},
        {"remote": "https://user:secret@host/x.git"}, {"remote": "/srv/hubs/2.git"}, {"remote": "file:///srv/x"},
        {"remote": "ext::sh -c id"}, {"remote": "--upload-pack=id"}, {"remote": "https://host/x y"},
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    world = world_build(rows=0)
    assert change(client_of(world, Role.ADMIN), world, **given).status_code == 400
    assert not MergePolicy.objects.exists()


def test_a_repository_of_this_machine_needs_the_operators_permission(settings: Settings) -> None:
    project = world_build(rows=0).project
    settings.LOOM_LOCAL_REMOTES = True
    assert merge_policy_set(project=project, remote="/srv/x.git").remote == "/srv/x.git"
    settings.LOOM_LOCAL_REMOTES = False
    with pytest.raises(BadInput):
        merge_policy_set(project=project, remote="/srv/y.git")


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (["It stores links.", "It lists links."], []),
        (["it stores links", "2"], []),
        (["AC1", "#2"], []),
        (["It stores the links.", "It lists links, newest first"], []),
        (["It stores links."], ["It lists links."]),
        (["All of it works"], ["It stores links.", "It lists links."]),
        (["It stores links.", "It stores links."], ["It lists links."]),
        ([], ["It stores links.", "It lists links."]),
    ],
)
def test_criteria_are_found_by_their_words_or_number(said: list[str], missing: list[str]) -> None:
    acceptance = ["It stores links.", "It lists links."]
    found, unsaid = criteria_match(acceptance, [{"criterion": text, "met": True} for text in said])
    assert unsaid == missing
    assert [row["criterion"] for row in found][: 2 - len(missing)] == [
        text for text in acceptance if text not in missing
    ]


def test_the_page_of_a_bead_answers_what_proves_it_criterion_by_criterion() -> None:
    world = world_build(rows=1)
    bead, client = world.beads[0], client_of(world, Role.VIEWER)

    def page() -> str:
        return " ".join(client.get(f"/beads/{bead.key}/evidence/").content.decode().split())

    assert "Claim 1 passed its checks, but it is not on main." in page()
    landed(bead)
    told = page()
    assert "unit tests passed on what became main at eeeeeeeeee." in told
    assert 'It stores. <small class="faint">met, says Engineer' in told
    assert 'It lists. <small class="faint">not met, says Engineer' in told
