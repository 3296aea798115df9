"""Commands over the API: judged by the rules, run in the sandbox, recorded, bounded and masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client

from apps.accounts.models import Role
from apps.commands.models import CommandRun
from apps.commands.services import command_rule_set
from apps.decisions.services import decision_decide
from apps.engine.services import run_cancel
from apps.events.models import Event
from tests.api.clients import client_of, send
from tests.workflows.studio import Answer, Studio, done

Open = Callable[..., Studio]
SECRET = "tok_9aB3dE5fG7hI9jK1lM3nO5"


def idle(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    return [done()]


def execute(client: Client, studio: Studio, command: str, **more: Any) -> Any:
    body = {"project_id": studio.project.pk, "command": command, "wait_seconds": 0, **more}
    return send(client, "post", "commands/execute", body)


def shown(client: Client, answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = send(client, "get", f"commands/{answer.json()['id']}").json()
    return found


def test_a_command_runs_on_files_of_its_own_and_is_recorded(open_studio: Open) -> None:
    studio = open_studio(idle)
    ann, main = client_of("ann", studio.organization), studio.hub.head()
    studio.hub.commit_files("main", {".env": f"API_TOKEN={SECRET}\n".encode()}, "Secret")
    answer = execute(
        ann, studio, "ls && echo x > new.txt && cat ../.env; exit 3", working_dir="/app/src/calc"
    )
    assert (answer.status_code, answer.json()["status"]) == (202, "queued"), answer.content
    assert answer.headers["Location"] == f"/api/v1/commands/{answer.json()['id']}"
    tests = execute(ann, studio, "python3 -m unittest")
    studio.run()
    row = shown(ann, answer)
    assert (row["status"], row["exit_code"], row["success"]) == ("done", 3, False), row
    assert "__init__.py" in row["stdout"]
    assert "API_TOKEN" in row["stdout"]
    assert SECRET not in str(row)
    assert row["commit"] == studio.hub.head() != main
    assert row["completed_at"] >= row["started_at"]
    assert (shown(ann, tests)["exit_code"], "OK" in shown(ann, tests)["stdout"]) == (0, True)
    assert "calc/new.txt" not in studio.hub.files("main")
    listed = send(ann, "get", f"commands?project_id={studio.project.pk}&status=done")
    assert [one["id"] for one in listed.json()] == [tests.json()["id"], row["id"]]
    assert Event.objects.filter(kind="command.done", actor="ann").count() == 2
    vic = client_of("vic", studio.organization, Role.VIEWER)
    assert execute(vic, studio, "ls").status_code == 403
    assert shown(vic, answer)["exit_code"] == 3


def test_what_the_rules_forbid_or_ask_about(open_studio: Open) -> None:
    studio = open_studio(idle)
    ann = client_of("ann", studio.organization)
    command_rule_set(project=studio.project, pattern="make *", verdict="deny", reason="No make.")
    command_rule_set(project=studio.project, pattern="echo *", verdict="ask")
    refused = execute(ann, studio, "ls && make all")
    assert (refused.status_code, "No make." in refused.json()["error"]) == (403, True)
    kept = CommandRun.objects.get(pk=int(refused.json()["details"]["id"].removeprefix("cmd-")))
    assert (kept.status, kept.verdict, kept.run_id) == ("refused", "deny", None)
    first, second = execute(ann, studio, "echo one"), execute(ann, studio, "echo two")
    studio.run()
    assert shown(ann, first)["status"] == "asking"
    for answer, choice in ((first, "once"), (second, "deny")):
        row = CommandRun.objects.get(pk=int(answer.json()["id"].removeprefix("cmd-")))
        decision = studio.project.decisions.get(pk=row.decision_id or 0)
        assert decision.needs_person
        decision_decide(decision=decision, choice=choice, decider="Bob", rationale="So.")
    studio.run()
    assert (shown(ann, first)["status"], shown(ann, first)["stdout"].strip()) == ("done", "one")
    assert (shown(ann, second)["status"], shown(ann, second)["error"]) == ("refused", "So.")
    asking = execute(ann, studio, "echo three")
    studio.run()
    canceled = CommandRun.objects.get(pk=int(asking.json()["id"].removeprefix("cmd-")))
    run_cancel(run_id=canceled.run_id or 0)
    studio.run()
    assert (shown(ann, asking)["status"], shown(ann, asking)["error"]) == ("failed", "It was canceled.")
    assert not studio.project.decisions.open().exists()
    slow = execute(ann, studio, "sleep 20", timeout_seconds=1)
    lost = execute(ann, studio, "ls", working_dir="nowhere")
    studio.run()
    assert (shown(ann, slow)["exit_code"], "Stopped after 1 s" in shown(ann, slow)["error"]) == (124, True)
    assert (shown(ann, lost)["status"], "no directory" in shown(ann, lost)["error"]) == ("failed", True)
    assert execute(ann, studio, "").status_code == 400
    assert execute(ann, studio, "ls", project_id=None).status_code == 400
    assert execute(ann, studio, "ls", bead_id="nope-1").status_code == 404
