"""A command that a person is asked about: the question, the wait, and what each answer does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Turn
from apps.agents.sandbox import sandbox_status
from apps.beads.models import Bead
from apps.commands.models import CommandRule
from apps.commands.services import command_rule_set
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.projects.models import Project
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

Messages = list[dict[str, Any]]
Open = Callable[..., Studio]
COMMAND = "cd calc && X=made.txt; env A=b touch $X"

pytestmark = pytest.mark.skipif(not sandbox_status().available, reason="no sandbox here")


def touching(heard: list[str]) -> Callable[[str, str, Messages], Answer]:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        match replies(messages):
            case 0:
                return [write("a.txt", "a\n"), ("run_command", {"command": COMMAND}), write("b.txt", "b\n")]
            case 1:
                heard.append(last(messages))
                return [("run_command", {"command": COMMAND})]
            case _:
                heard.append(last(messages))
                return [done()]

    return model


def asked_studio(open_studio: Open, heard: list[str]) -> tuple[Studio, Bead, Decision]:
    studio = open_studio(touching(heard))
    command_rule_set(project=studio.project, pattern="touch *", verdict="ask", reason="It makes files.")
    bead = studio.bead()
    studio.run()
    return studio, bead, studio.open_question()


def test_the_question_shows_what_the_command_comes_to_and_nothing_runs_meanwhile(open_studio: Open) -> None:
    heard: list[str] = []
    studio, bead, question = asked_studio(open_studio, heard)
    assert question.question.endswith("run: touch made.txt")
    assert question.needs_person
    assert [option["key"] for option in question.options] == ["once", "always", "deny"]
    for told in (COMMAND, "in /work", "network off", "allow  cd calc", 'project "touch *": It makes files.'):
        assert told in question.context
    assert studio.refreshed(bead).stage == Bead.Stage.ASKING
    turn = Turn.objects.get(session__bead=bead)
    assert [one["ok"] for one in turn.outcome] == [True, True, False], "what stands after it waits for it"
    assert heard == []


def test_allowed_once_it_runs_and_is_asked_again_the_next_time(open_studio: Open) -> None:
    heard: list[str] = []
    studio, bead, question = asked_studio(open_studio, heard)
    decision_decide(decision=question, choice="once", decider="ann")
    studio.run()
    assert "ann allowed the command.\nExit code 0" in heard[0]
    assert not CommandRule.objects.filter(verdict="allow").exists()
    again = studio.open_question()
    assert again.pk != question.pk
    decision_decide(decision=again, choice="deny", decider="ann", rationale="Once is enough.")
    studio.run()
    assert "not allowed (by ann). Once is enough." in heard[1]
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert studio.main_file("calc/made.txt") == ""


def test_allowed_always_a_rule_lets_just_this_command_pass(open_studio: Open) -> None:
    heard: list[str] = []
    studio, bead, question = asked_studio(open_studio, heard)
    decision_decide(decision=question, choice="always", decider="ann")
    studio.run()
    rule = CommandRule.objects.get(verdict="allow")
    assert (rule.pattern, rule.created_by) == ("touch made.txt", "ann")
    assert f"decision {question.pk}" in rule.reason
    assert heard[1].startswith("Exit code 0"), "it is not asked about again"
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_denied_or_unanswered_it_does_not_run_and_the_agent_goes_on(open_studio: Open) -> None:
    heard: list[str] = []
    studio, bead, question = asked_studio(open_studio, heard)
    Decision.objects.filter(pk=question.pk).update(deadline=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Exception, match="answered already"):  # the default was taken at the deadline
        decision_decide(decision=Decision.objects.get(pk=question.pk), choice="once", decider="ann")
    studio.run()
    assert "not allowed (by the deadline)" in heard[0]
    decision_decide(decision=studio.open_question(), choice="deny", decider="ann")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert "calc/made.txt" not in studio.hub.files(studio.hub.head("main") or "")


def test_what_a_rule_denies_is_told_with_the_reason_and_never_asked(open_studio: Open) -> None:
    heard: list[str] = []
    studio = open_studio(touching(heard))
    command_rule_set(project=studio.project, pattern="touch *", verdict="deny", reason="Use write_file.")
    bead = studio.bead()
    studio.run()
    assert 'Not run:\ndeny  touch made.txt  (rule of this project "touch *": Use write_file.)' in heard[1]
    assert not Decision.objects.filter(project=studio.project).exists()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_always_is_not_offered_where_no_rule_could_say_it(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        return [("run_command", {"command": 'touch "$(date)"'})]

    studio = open_studio(model)
    command_rule_set(project=Project.objects.get(), pattern="touch *", verdict="ask")
    studio.bead()
    studio.run()
    assert [option["key"] for option in studio.open_question().options] == ["once", "deny"]
