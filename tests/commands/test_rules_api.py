"""Rules on commands through the API and the admin: who may set them, and what they then say."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import Role
from apps.commands.models import CommandRule
from apps.commands.services import MOST, command_judge, command_rule_set
from apps.core.errors import Conflict
from apps.events.models import Event
from tests.world import World, client_of, world_build

pytestmark = pytest.mark.django_db
PATH = "/api/v1/command-rules"


@pytest.fixture
def world() -> World:
    return world_build(rows=0)


@pytest.fixture
def boss(world: World) -> Client:
    return client_of(world, Role.ADMIN, "boss")


def test_rules_are_set_changed_listed_and_removed(world: World, boss: Client) -> None:
    given = {"project_id": world.project.pk, "pattern": "make  deploy *", "verdict": "ask", "reason": "Slow."}
    made = boss.post(PATH, given, "application/json")
    assert made.status_code == 201
    rule = made.json()
    assert (rule["pattern"], rule["verdict"], rule["created_by"]) == ("make deploy *", "ask", "boss")
    assert boss.post(PATH, {**given, "verdict": "deny"}, "application/json").json()["id"] == rule["id"]
    changed = boss.patch(f"{PATH}/{rule['id']}", {"verdict": "allow"}, "application/json")
    assert (changed.json()["verdict"], changed.json()["reason"]) == ("allow", "Slow.")
    listed = boss.get(f"{PATH}?project_id={world.project.pk}&verdict=allow")
    assert [one["id"] for one in listed.json()] == [rule["id"]]
    assert boss.delete(f"{PATH}/{rule['id']}").status_code == 204
    assert boss.get(PATH).json() == []
    kinds = Event.objects.filter(kind__startswith="command_rule").values_list("kind", flat=True)
    assert list(kinds) == ["command_rule.set"] * 3 + ["command_rule.removed"]


def test_a_line_can_be_tried_before_an_agent_runs_it(world: World, boss: Client) -> None:
    command_rule_set(project=world.project, pattern="make deploy*", verdict="ask")
    body = {"project_id": world.project.pk, "command": "cd a && make deploy | sh -c 'git push'"}
    told = client_of(world, Role.VIEWER).post(f"{PATH}/judge", body, "application/json")
    assert told.status_code == 200
    assert told.json()["verdict"] == "deny"
    found = {one["command"]: (one["verdict"], one["pattern"]) for one in told.json()["commands"]}
    assert found["make deploy"] == ("ask", "make deploy*")
    assert found["git push"] == ("deny", "git push*")
    unread = boss.post(f"{PATH}/judge", {**body, "command": "echo '"}, "application/json").json()
    assert (unread["verdict"], unread["commands"]) == ("deny", [])
    assert "cannot be parsed" in unread["error"]
    assert {"pattern": "git push*", "verdict": "deny"}.items() <= next(
        one.items() for one in boss.get(f"{PATH}/defaults").json() if one["pattern"] == "git push*"
    )


def test_only_administrators_of_the_same_organization_set_rules(world: World) -> None:
    rule = command_rule_set(project=world.project, pattern="make *", verdict="deny")
    body = {"project_id": world.project.pk, "pattern": "x", "verdict": "allow"}
    member = client_of(world, Role.USER)
    assert member.get(PATH).json()[0]["id"] == rule.pk
    assert member.post(PATH, body, "application/json").status_code == 403
    assert member.patch(f"{PATH}/{rule.pk}", {"verdict": "allow"}, "application/json").status_code == 403
    assert member.delete(f"{PATH}/{rule.pk}").status_code == 403
    stranger = client_of(world_build("other", rows=0), Role.ADMIN, "eve")
    assert stranger.get(PATH).json() == []
    assert stranger.post(PATH, body, "application/json").status_code == 404
    assert stranger.post(f"{PATH}/judge", {**body, "command": "ls"}, "application/json").status_code == 404
    assert stranger.delete(f"{PATH}/{rule.pk}").status_code == 404
    assert Client().get(PATH).status_code in {401, 403}
    assert CommandRule.objects.get().verdict == "deny"


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": "  "}, {"pattern": "x" * 501}, {"pattern": "a\u0007b"}, {"verdict": "perhaps"},
        {"verdict": None}, {"project_id": "x"}, {"pattern": None},
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_its_field(world: World, boss: Client, wrong: dict[str, object]) -> None:
    body = {"project_id": world.project.pk, "pattern": "x", "verdict": "allow", **wrong}
    answer = boss.post(PATH, body, "application/json")
    assert (answer.status_code, answer.json()["code"]) in {(400, "bad_input"), (400, "invalid")}
    assert not CommandRule.objects.exists()


def test_two_rules_never_share_a_pattern_and_a_project_has_not_too_many(world: World, boss: Client) -> None:
    first = command_rule_set(project=world.project, pattern="a", verdict="deny")
    command_rule_set(project=world.project, pattern="b", verdict="deny")
    answer = boss.patch(f"{PATH}/{first.pk}", {"pattern": "b"}, "application/json")
    assert answer.status_code == 409
    CommandRule.objects.bulk_create(
        CommandRule(project=world.project, pattern=f"p{n}", verdict="deny") for n in range(MOST)
    )
    with pytest.raises(Conflict, match="at most"):
        command_rule_set(project=world.project, pattern="one more", verdict="deny")


def test_the_admin_sets_changes_and_removes_rules(world: World, client: Client) -> None:
    client.force_login(world.staff)
    page = "/admin/commands/commandrule/"
    form = {"project": world.project.pk, "pattern": "terraform *", "verdict": "ask", "reason": ""}
    assert client.post(f"{page}add/", form).status_code == 302
    rule = CommandRule.objects.get()
    assert (rule.pattern, rule.created_by) == ("terraform *", str(world.staff))
    client.post(
        f"{page}{rule.pk}/change/", {"pattern": "terraform apply*", "verdict": "deny", "reason": "No."}
    )
    assert command_judge(project=world.project, line="terraform apply -auto").refusal().endswith(": No.)")
    chosen = {"action": "remove_rules", "_selected_action": [rule.pk], "sure": "yes"}
    assert client.post(page, chosen).status_code == 302
    assert not CommandRule.objects.exists()
