"""The team at work: places of the org chart, fair parts of projects, delegated work, messages, questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from apps.agents.models import Agent, Message, Persona, Session
from apps.agents.org_chart import position_update
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.workflows.dispatch import dispatch, room_of
from apps.workflows.talk import decision_roles
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write
from tests.workflows.walks import quick

Messages = list[dict[str, Any]]


def builds(kind: str, title: str, messages: Messages) -> Answer:
    return APPROVE if kind == "review" else [write(f"{title.lower()}.txt", title), done(title)]


def in_progress(studio: Studio) -> list[str]:
    rows = Bead.objects.filter(project=studio.project, status=Bead.Status.IN_PROGRESS)
    return sorted(rows.values_list("role", flat=True))


def test_dispatch_begins_no_more_of_a_role_than_its_position_has_places_for(
    open_studio: Callable[..., Studio],
) -> None:
    studio = quick(open_studio(builds, max_sessions=8))
    position_update(project=studio.project, role_name="qa-engineer", max_instances=1)
    for number in range(3):
        studio.bead(f"T{number}", role="qa-engineer", priority=0)
    studio.bead("B", role="engineering-manager", priority=4)
    dispatch(studio.project.pk)
    assert in_progress(studio) == ["engineering-manager", "qa-engineer"]
    studio.run()
    closed = Bead.objects.filter(project=studio.project, status=Bead.Status.CLOSED)
    assert closed.count() == 4  # each began when the one before it had gone
    assert Agent.objects.filter(project=studio.project, role="qa-engineer").count() == 1


def test_the_persona_of_a_position_is_that_of_new_agents(open_studio: Callable[..., Studio]) -> None:
    studio = quick(open_studio(builds))
    own = Persona.objects.create(
        name="own/tester",
        organization=studio.organization,
        role="qa-engineer",
        body="Test.",
        metadata={"title": "T"},
    )
    position_update(project=studio.project, role_name="qa-engineer", persona_path=own.name)
    studio.bead("One", role="qa-engineer")
    dispatch(studio.project.pk)
    assert Agent.objects.get(project=studio.project, role="qa-engineer").persona == own


def test_projects_with_work_share_the_sessions(
    open_studio: Callable[..., Studio], settings: Settings
) -> None:
    settings.LOOM_MAX_SESSIONS = 6
    studio = open_studio(builds, max_sessions=6)
    for number in range(6):
        studio.bead(f"T{number}")
    assert room_of(studio.project_row()) == 6 - len(in_progress(studio))
    dispatch(studio.project.pk)
    assert len(in_progress(studio)) == 6  # alone it takes what there is
    Bead.objects.filter(project=studio.project).update(status=Bead.Status.OPEN)
    other = project_create(organization=studio.organization, name="Other", max_sessions=6)
    bead_create(project=other, title="Mine", role="engineering-manager")
    Bead.objects.filter(project=other).update(status=Bead.Status.OPEN)
    assert (room_of(studio.project_row()), room_of(other)) == (3, 3)
    Bead.objects.filter(project=studio.project).update(status=Bead.Status.IN_PROGRESS)
    assert (room_of(studio.project_row()), room_of(other)) == (0, 0)  # nothing is taken away


def test_who_delegates_may_wait_for_the_work(open_studio: Callable[..., Studio]) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind != "work" or title != "Ask":
            return builds(kind, title, messages)
        if replies(messages) == 0:
            given = {"role": "qa-engineer", "title": "Helper", "description": "Help.", "wait": True}
            return [("delegate", given)]
        heard.append(str(messages[-1]["content"]))
        return builds(kind, title, messages)

    studio = quick(open_studio(model))
    studio.bead("Ask")
    studio.run()
    helper = Bead.objects.get(title="Helper")
    assert (helper.status, helper.role) == ("closed", "qa-engineer")
    assert helper.key in heard[0]
    assert helper.closed_at is not None
    assert Bead.objects.get(title="Ask").status == "closed"


def test_nobody_waits_for_work_that_nobody_is_free_to_do(open_studio: Callable[..., Studio]) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "work" and replies(messages) == 0:
            return [("delegate", {"role": "qa", "title": "Help me", "description": "Help.", "wait": True})]
        heard.append(str(messages[-1]["content"]))
        return builds(kind, title, messages)

    studio = quick(open_studio(model, max_sessions=1))
    studio.bead("Ask")
    studio.run()
    assert "Nobody would be free" in heard[0]
    assert not Bead.objects.filter(title="Help me").exists()


def test_a_message_reaches_a_colleague_at_work_in_the_next_prompt_once(
    open_studio: Callable[..., Studio],
) -> None:
    prompts: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if title == "Hear" and kind == "work":
            prompts.append(str(messages))
            if replies(messages) < 3:
                return [("read_file", {"path": "calc/__init__.py", "offset": replies(messages)})]
        told = {"to_role": "QA engineer", "subject": "Mind it", "body": "Beware the dog."}
        if title == "Tell" and replies(messages) == 0:
            return [("send_message", told)]
        return builds(kind, title, messages)

    studio = quick(open_studio(model))
    studio.bead("Tell")
    studio.bead("Hear", role="qa-engineer")
    studio.run()
    assert prompts[-1].count("Beware the dog.") == 1
    message = Message.objects.get(body="Beware the dog.")
    assert message.delivered_to is not None
    assert (message.sender, message.delivered_to.bead) == (
        "Engineering manager",
        Bead.objects.get(title="Hear"),
    )


@pytest.mark.parametrize("approval", [Project.Approval.ASK, Project.Approval.AUTO])
def test_a_question_goes_to_people_where_people_approve(
    open_studio: Callable[..., Studio], approval: str
) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "decide":
            return [("decide", {"choice": "blue", "rationale": "Nice."})]
        if kind == "work" and replies(messages) == 0:
            return [("ask_question", {"question": "Which color?"})]
        heard.append(str(messages[-1]["content"]))
        return builds(kind, title, messages)

    studio = quick(open_studio(model))
    Project.objects.filter(pk=studio.project.pk).update(approval=approval)
    studio.bead("Paint")
    studio.run()
    decision = Decision.objects.get(question="Which color?")
    assert decision.needs_person == (approval == Project.Approval.ASK)
    if decision.needs_person:
        assert heard == []  # it waits, however long that takes
        decision_decide(decision=decision, decider="ann", choice="red")
        studio.run()
    assert heard[0].startswith(f"Decision answered: {'red' if decision.needs_person else 'blue'}")


def test_what_an_agent_asks_goes_up_its_reporting_line(open_studio: Callable[..., Studio]) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "decide":
            return [("decide", {"choice": "a", "rationale": "So."})]
        if kind == "work" and replies(messages) == 0:
            return [("request_decision", {"question": "A or b?", "options": ["a", "b"]})]
        return builds(kind, title, messages)

    studio = quick(open_studio(model))
    position_update(project=studio.project, role_name="engineering-manager", reports_to="product-manager")
    studio.bead("Choose")
    studio.run()
    decision = Decision.objects.get(question="A or b?")
    (session,) = studio.sessions(Session.Kind.DECIDE)
    assert (decision.asked_of, session.agent.role) == ("product-manager", "product-manager")
    Decision.objects.filter(pk=decision.pk).update(status="open", asked_of="qa-engineer")
    Persona.objects.filter(role="qa-engineer").update(metadata={"autonomy": "supervised"})
    assert decision_roles(decision_id=decision.pk)["roles"] == ["engineering-manager"]
