"""A bead put before the CEO: approve, deny and needs_more_info do what they say, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.agents.models import Agent
from apps.beads.comments import comment_add
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_close, bead_reopen
from apps.core.errors import BadInput, Conflict
from apps.dashboard.moves import bead_move, work_again
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel, decision_decide
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.events.models import Event
from apps.workflows.escalation import bead_escalate
from apps.workflows.handing import bead_redispatch
from tests.engine.flows import at_once, let_time_pass
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]


def model(kind: str, title: str, messages: Messages) -> Answer:
    """Builds what it is asked for; knows one fact."""
    if kind == "review":
        return APPROVE
    if kind == "decide":
        return [("decide", {"choice": "It needs a key.", "rationale": "The log says so."})]
    if "ran" in last(messages):
        return [done()]
    return [write("calc/extra.py", "X = 1\n"), done()]


def unsure(kind: str, title: str, messages: Messages) -> Answer:
    """Asks what nobody answers, so that its bead waits."""
    if kind == "decide":
        return "I would rather not say."
    return [("ask_question", {"question": "Which way?"})]


@pytest.fixture
def studio(open_studio: Open) -> Studio:
    return open_studio(model)


def stuck(studio: Studio, **fields: Any) -> Bead:
    """A bead that waits for a person, with no run at work."""
    bead = studio.bead(status="deferred", **fields)
    Bead.objects.filter(pk=bead.pk).update(status=Bead.Status.OPEN)
    bead_block(bead=bead, reason="It fails.")
    return studio.refreshed(bead)


def escalate(bead: Bead, **more: Any) -> Decision:
    return bead_escalate(bead=bead, reason="It fails again and again.", actor="ann", **more)


def decide(decision: Decision, choice: str, why: str = "") -> None:
    decision_decide(decision=decision, choice=choice, decider="ceo", rationale=why)


def asked(bead: Bead, kind: str = "escalation") -> Decision:
    return Decision.objects.open().get(bead=bead, kind=kind)


def settle(studio: Studio) -> None:
    """Until nothing moves, however long the flow sleeps."""
    studio.run()
    for _ in range(5):
        for run in Run.objects.unfinished().filter(flow="bead.escalation", waits_for__startswith="timer"):
            let_time_pass(run)
        studio.run()


def test_an_escalated_bead_is_critical_and_waits_for_a_person(studio: Studio) -> None:
    bead = stuck(studio)
    decision = escalate(bead, returned_to="qa-engineer")
    studio.run()
    assert (decision.priority, decision.needs_person, decision.kind) == (0, True, "escalation")
    assert decision.keys == ["approve", "deny", "needs_more_info"]
    assert "It fails again and again." in decision.context
    bead = studio.refreshed(bead)
    assert (bead.priority, bead.status) == (0, "blocked")
    told = Event.objects.get(kind="decision.created")
    assert (told.data["bead_id"], told.data["reason"]) == (bead.key, "It fails again and again.")
    assert escalate(bead) == decision  # once is enough


def test_approve_closes_the_bead_and_what_waited_for_it_goes_on(studio: Studio) -> None:
    bead = stuck(studio)
    after = studio.bead("Next", blocked_by=[bead])
    decide(escalate(bead), "approve", "Good enough.")
    settle(studio)
    bead = studio.refreshed(bead)
    assert (bead.status, bead.close_reason) == ("closed", "Approved by ceo, without a merge: Good enough.")
    assert studio.refreshed(after).status == "closed"  # it was ready, and was built
    assert Event.objects.filter(kind="bead.closed", bead_id=bead.pk).count() == 1
    assert Run.objects.get(flow="bead.escalation").output == {"status": "approved", "by": "ceo"}


def test_deny_gives_the_bead_to_the_role_it_is_returned_to_with_the_reason(studio: Studio) -> None:
    bead = stuck(studio)
    decide(escalate(bead, returned_to="DevOps engineer"), "deny", "Try the other door.")
    settle(studio)
    bead = studio.refreshed(bead)
    assert (bead.role, bead.status) == ("devops-engineer", "closed")
    assert "Sent back by ceo: Try the other door." in bead.description
    assert studio.sessions("work")[-1].agent.role == "devops-engineer"
    assert "Try the other door." in json.dumps(studio.sessions("work")[-1].opening)


def test_deny_without_a_name_reopens_the_bead_as_it_was(studio: Studio) -> None:
    bead = stuck(studio)
    decide(escalate(bead), "deny")
    settle(studio)
    assert (studio.refreshed(bead).role, studio.refreshed(bead).status) == ("engineering-manager", "closed")


def test_deny_to_a_person_leaves_the_bead_with_them(studio: Studio) -> None:
    bead = stuck(studio)
    ann = User.objects.create_user("ann")
    membership_set(user=ann, organization=studio.organization, role=Role.USER)
    decide(escalate(bead, returned_to="user-ann"), "deny", "Yours.")
    settle(studio)
    bead = studio.refreshed(bead)
    assert (bead.status, bead.blocked_reason) == ("blocked", "Returned to ann: Yours.")
    assert studio.sessions("work") == []


def test_needs_more_info_asks_the_agent_and_comes_back_with_the_answer(studio: Studio) -> None:
    bead = stuck(studio)
    decide(escalate(bead, returned_to="qa-engineer"), "needs_more_info", "What does the log say?")
    studio.run()
    question = Decision.objects.get(kind="information")
    assert (question.question, question.status, question.asked_of) == (
        "What does the log say?",
        "decided",
        "qa-engineer",
    )
    assert studio.sessions("decide")[0].agent.role == "qa-engineer"
    again = asked(bead)
    assert "QA engineer says: It needs a key.\nThe log says so." in again.context
    assert (again.priority, studio.refreshed(bead).status) == (0, "blocked")
    decide(again, "approve")
    settle(studio)
    assert studio.refreshed(bead).status == "closed"


def test_needs_more_info_from_a_person_keeps_the_bead_blocked_until_they_answer(studio: Studio) -> None:
    bead = stuck(studio)
    ann = User.objects.create_user("ann")
    membership_set(user=ann, organization=studio.organization, role=Role.USER)
    decide(escalate(bead, returned_to="ann"), "needs_more_info", "Is it worth it?")
    studio.run()
    question = asked(bead, "information")
    assert question.needs_person
    assert studio.refreshed(bead).status == "blocked"
    decision_decide(decision=question, choice="Yes.", decider="ann")
    studio.run()
    again = asked(bead).context
    assert "ann says: Yes." in again
    # The bead was blocked before, for another reason; what the CEO decides about is why it was escalated.
    assert again.startswith("Why it is put before you: It fails again and again.\n")


def test_work_is_paused_meanwhile_and_ends_with_the_approval(open_studio: Open) -> None:
    studio = open_studio(unsure)
    bead = studio.bead()
    studio.run()
    work = Run.objects.get(bead_id=bead.pk, parent=None)
    decision = escalate(studio.refreshed(bead))
    work.refresh_from_db()
    assert work.status == "paused"
    decide(decision, "approve")
    settle(studio)
    work.refresh_from_db()
    bead = studio.refreshed(bead)
    assert (work.status, bead.status) == ("canceled", "closed")
    assert not Decision.objects.open().exists()  # the agent's own question was withdrawn
    assert not Agent.objects.filter(status=Agent.Status.WORKING).exists()
    assert Event.objects.filter(kind="bead.closed").count() == 1


@pytest.mark.parametrize("has_failed", [True, False], ids=["failed", "never begun"])
def test_until_the_answer_no_door_sets_it_to_work(studio: Studio, has_failed: bool) -> None:
    bead = stuck(studio)
    if has_failed:
        known = {"organization_id": studio.organization.pk, "project_id": bead.project_id, "bead_id": bead.pk}
        Run.objects.create(key="failed", flow="bead.work", version=1, status=Run.Status.FAILED, **known)
    decision = escalate(bead)
    studio.run()
    bead = studio.refreshed(bead)
    doors: list[Callable[[], object]] = [
        partial(work_again, bead=bead, actor="ann"),
        partial(bead_move, bead=bead, to="ready", actor="ann"),
        partial(bead_redispatch, bead=bead, reason="Again.", actor="ann"),
        partial(bead_reopen, bead=bead, actor="ann"),
    ]
    for door in doors:
        with pytest.raises(Conflict, match="is before the CEO"):
            door()
    ann = User.objects.create_user("ann")
    membership_set(user=ann, organization=studio.organization, role=Role.USER)
    comment_add(bead=bead, author=ann, content="@agent What about the key?")
    studio.run()
    assert studio.refreshed(bead).status == "blocked"
    decide(decision, "deny")
    settle(studio)
    assert studio.refreshed(bead).status == "closed", "it was given out, and built"


def test_an_escalation_that_is_withdrawn_lets_the_work_go_on(open_studio: Open) -> None:
    studio = open_studio(unsure)
    bead = studio.bead()
    studio.run()
    decision_cancel(decision=escalate(studio.refreshed(bead)), actor="ann")
    settle(studio)
    assert Run.objects.get(bead_id=bead.pk, parent=None).status == "waiting"
    assert studio.refreshed(bead).status == "in_progress"
    assert Run.objects.get(flow="bead.escalation").output == {"status": "withdrawn"}


def test_a_bead_whose_work_was_canceled_meanwhile_is_reopened_when_that_has_stopped(
    open_studio: Open,
) -> None:
    studio = open_studio(unsure)
    bead = studio.bead()
    studio.run()
    decision = escalate(studio.refreshed(bead))
    work = Run.objects.get(bead_id=bead.pk, parent=None)
    run_cancel(run_id=work.pk, actor="ann")
    held = {"status": Run.Status.RUNNING, "lease_until": timezone.now() + timedelta(hours=1)}
    Run.objects.filter(pk=work.pk).update(**held)  # it is still at its last step
    decision_cancel(decision=decision, actor="ann")
    settle(studio)
    assert studio.refreshed(bead).status == "blocked"

    Run.objects.filter(pk=work.pk).update(status=Run.Status.READY, lease_until=None)
    settle(studio)
    assert Run.objects.get(flow="bead.escalation").output == {"status": "withdrawn"}
    assert (studio.refreshed(bead).status, studio.refreshed(bead).attempts) == ("in_progress", 2)


def test_a_bead_that_is_closed_otherwise_needs_no_decision(studio: Studio) -> None:
    bead = stuck(studio)
    decision = escalate(bead)
    bead_close(bead=bead, reason="Not wanted.", actor="ann")
    settle(studio)
    decision.refresh_from_db()
    assert decision.status == "canceled"
    assert studio.refreshed(bead).close_reason == "Not wanted."
    with pytest.raises(Conflict, match="withdrawn"):
        decide(decision, "deny")
    with pytest.raises(Conflict, match="is closed"):
        escalate(bead)


def test_of_two_who_decide_at_once_one_is_obeyed(studio: Studio) -> None:
    bead = stuck(studio)
    decision = escalate(bead)
    given = at_once(
        partial(decision_decide, decision=decision, choice="approve", decider="ann"),
        partial(decision_decide, decision=Decision.objects.get(), choice="deny", decider="bob"),
    )
    assert sorted(type(outcome).__name__ for outcome in given) == ["Conflict", "Decision"]
    settle(studio)
    assert (
        Run.objects.get(flow="bead.escalation").output["by"] == Decision.objects.get(pk=decision.pk).decider
    )
    assert Event.objects.filter(kind="bead.closed", bead_id=bead.pk).count() == 1


def test_two_who_escalate_at_once_ask_once(studio: Studio) -> None:
    bead = stuck(studio)
    given = at_once(*[partial(escalate, bead)] * 3)
    assert len({decision.pk for decision in given}) == 1
    assert Run.objects.filter(flow="bead.escalation").count() == 1


def test_a_name_that_nobody_has_is_refused(studio: Studio) -> None:
    bead = stuck(studio)
    with pytest.raises(BadInput, match="no such role, agent or person"):
        escalate(bead, returned_to="nobody")
    assert not Decision.objects.exists()
    assert studio.refreshed(bead).priority == 2


def test_the_api_escalates_for_those_who_may(studio: Studio, client: Client) -> None:
    bead = stuck(studio)
    address = f"/api/v1/beads/{bead.key}/escalate"
    body = json.dumps({"reason": "Stuck.", "returned_to": "cto"})
    send = partial(client.post, data=body, content_type="application/json")
    assert send(address).status_code == 401
    for name, role, organization in (("vic", "viewer", "Studio"), ("eve", "admin", "Elsewhere")):
        user = User.objects.create_user(name)
        membership_set(user=user, organization=organization_ensure(name=organization), role=role)
        client.force_login(user)
        assert send(address).status_code == (403 if role == "viewer" else 404)
    ann = User.objects.create_user("ann")
    membership_set(user=ann, organization=studio.organization, role=Role.USER)
    client.force_login(ann)
    said = send(address).json()
    assert (said["type"], said["priority"], said["parent"]) == ("decision", 0, bead.key)
    assert said["options"] == ["approve", "deny", "needs_more_info"]
    assert said["requester_id"] == "ann"
    wrong = client.post(address, data='{"returned_to": 7, "reason": [1]}', content_type="application/json")
    assert wrong.status_code == 400
    decided = client.post(
        f"/api/v1/decisions/{said['id']}/decide",
        data='{"decision": "approve", "rationale": "Fine."}',
        content_type="application/json",
    )
    assert decided.status_code == 200
    settle(studio)
    assert studio.refreshed(bead).close_reason == "Approved by ann, without a merge: Fine."
    assert send(address).status_code == 409
