"""A bead that cannot go on becomes a question for a person, and nothing but the answer starts it again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.agents.models import Session
from apps.agents.safety import MAX_DESCENT, MAX_OFFSPRING, bead_stop, go_ahead_at, hops, rest_of
from apps.agents.services import agent_acquire, agent_release
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_reopen
from apps.core.errors import BadInput, Conflict
from apps.engine import leases, runner
from apps.engine.models import Run
from apps.events import bus
from apps.events.models import Event
from apps.providers.models import Call
from apps.workflows.dispatch import dispatch, dispatch_all
from tests.workflows.stuck import Messages, Open, good, helpless, retry
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

# -- nothing re-arms it ----------------------------------------------------------------------------


def test_nothing_but_the_answer_starts_a_stuck_bead_again(open_studio: Open) -> None:
    studio = open_studio(helpless)
    bead = studio.bead()
    studio.run()
    question, calls = studio.open_question(), Call.objects.count()
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED

    # The sweeps, late and often.
    Event.objects.update(created_at=timezone.now() - timedelta(hours=1))
    Run.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    for _ in range(3):
        assert dispatch_all(timedelta()) == dispatch(studio.project.pk) == 0
        runner.sweep()
        bus.sweep()
        studio.run()
    # Every event of its life, told a second time.
    bus.deliver_all(list(Event.objects.order_by("id")))
    studio.run()
    # A worker that stops, and one that starts.
    leases.stop()
    studio.run()
    leases.resume()
    studio.run()
    # Others' work: a neighbor is done, and frees a place.
    bead_close(bead=studio.bead("Neighbor", status=Bead.Status.DEFERRED), reason="Not needed.")
    studio.run()
    # Reopening it by hand is refused: its question is open.
    with pytest.raises(Conflict, match="waits for an answer"):
        bead_reopen(bead=bead)

    assert (Call.objects.count(), studio.refreshed(bead).status) == (calls, Bead.Status.BLOCKED)
    assert studio.open_question() == question
    studio.model = good
    retry(question)
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_the_question_tells_what_was_tried_and_what_it_cost(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if replies(messages) == 0:
            return [write("half.txt", "x\n")]
        return "I am not sure what to do."

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    told = studio.open_question().context
    sessions = studio.sessions("work")
    assert f"{bead.key} Subtract: {len(sessions)} sessions, {hops(bead.pk)} hand-overs" in told
    assert "$0.0" in told
    assert "$0.0000" not in told
    for session in sessions:
        assert f"Session {session.pk}, work by {session.agent.name}: no action" in told
    assert "write_file 1x; it changed half.txt." in told
    assert "Its last invalid reply:" in told


# -- hops ------------------------------------------------------------------------------------------


def test_the_hop_limit_stops_a_bead_before_another_call_is_paid(
    open_studio: Open, settings: Settings
) -> None:
    settings.LOOM_MAX_HOPS = 3
    studio = open_studio(good)
    bead = studio.bead(status=Bead.Status.DEFERRED)
    _sessions(studio, bead, 3, reason="merged")
    bead_reopen(bead=bead)
    studio.run()

    question = studio.open_question()
    assert "changed hands 4 times; 3 are allowed" in question.question
    assert not Call.objects.exists()
    retry(question)
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED, "a person's go-ahead counts anew"
    assert (hops(bead.pk), hops(bead.pk, go_ahead_at(bead.pk))) == (6, 2)


def test_hops_are_sessions_rejections_and_failed_merges(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            if "Round: 1" in messages[1]["content"]:
                return [("submit_review", {"verdict": "reject", "comments": "More."})]
            return APPROVE
        return [write(f"{replies(messages)}.txt", "x\n"), done()]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    # author, reviewer, back to the author, second reviewer
    assert (studio.refreshed(bead).status, hops(bead.pk)) == (Bead.Status.CLOSED, 4)


def _sessions(studio: Studio, bead: Bead, count: int, *, reason: str, minutes: float = 60) -> None:
    """Earlier sessions on a bead, ended so long ago."""
    agent = agent_acquire(project=studio.project, role=bead.role)
    for number in range(count):
        Session.objects.create(
            project=studio.project, bead=bead, agent=agent, kind="work", status="ended", reason=reason,
            origin=f"earlier:{bead.pk}:{number}",
            opening=[{"role": "system", "content": ""}, {"role": "user", "content": ""}],
            ended_at=timezone.now() - timedelta(minutes=minutes),
        )  # fmt: skip
    agent_release(agent_id=agent.pk)


# -- circles ---------------------------------------------------------------------------------------


def test_edits_back_and_forth_end_the_session_and_a_fresh_one_hears_of_it(open_studio: Open) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        task = str(messages[1]["content"])
        if "## Earlier sessions on this bead" in task:
            heard.append(task)
            return [write("a.txt", "good\n"), done()]
        return [write("a.txt", "A\n" if replies(messages) % 2 else "B\n")]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    first, second = studio.sessions("work")
    assert (first.reason, second.reason) == ("ping_pong", "merged")
    assert first.turn_count <= 9
    assert "ping pong" in heard[0]
    assert "it changed a.txt" in heard[0]
    assert "nothing of theirs is in it" in heard[0]
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_author_and_reviewer_who_disagree_about_the_same_files_get_a_person(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return [("submit_review", {"verdict": "reject", "comments": "No."})]
        if replies(messages) == 0:
            return [write("a.txt", "A\n"), done()]
        return [done(f"It is right as it is, {replies(messages)} times.")]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    assert bead_stop(bead.pk) is not None
    assert bead.reviews.count() == 2
    assert "claimed and rejected 2 times" in studio.open_question().question
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED


def test_a_reviewer_may_reject_again_what_did_change(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            if "Round: 3" in messages[1]["content"]:
                return APPROVE
            return [("submit_review", {"verdict": "reject", "comments": "More."})]
        return [write("a.txt", "x" * replies(messages)), done()]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_work_is_not_delegated_in_circles(open_studio: Open) -> None:
    """Two roles that each think that the other should do it."""
    refused: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if replies(messages) == 0:
            other = "Fix it there" if title == "Fix it here" else "Fix it here"
            role = "qa-engineer" if other == "Fix it there" else "engineering-manager"
            return [("delegate", {"role": role, "title": other, "description": "Yours."})]
        refused.extend(part for part in [last(messages)] if "came from you" in part)
        return [write(f"{title}.txt", "x\n"), done()]

    studio = open_studio(model)
    studio.bead("Fix it here")
    studio.run()
    assert list(Bead.objects.order_by("id").values_list("title", flat=True)) == [
        "Fix it here",
        "Fix it there",
    ]
    assert len(refused) == 1
    assert not Bead.objects.exclude(status=Bead.Status.CLOSED).exists()


def test_a_chain_of_new_work_comes_to_an_end(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if replies(messages) == 0:
            more = {"title": f"{title} deeper", "role": "qa-engineer", "acceptance": ["Deep."]}
            return [("create_bead", more), ("remember", {"note": "This goes deep."})]
        return [write(f"{len(title)}.txt", "x\n"), done()]

    studio = open_studio(model)
    studio.bead("Dig")
    studio.run()
    assert Bead.objects.count() == MAX_DESCENT + 1
    assert not Bead.objects.exclude(status=Bead.Status.CLOSED).exists()


def test_one_bead_does_not_flood_the_project(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        number = replies(messages)
        if title != "Flood":
            return [("ask_question", {"question": "What is it about?"})]
        if number > 2:
            return [("ask_question", {"question": "Was that too much?"})]
        return [("create_bead", {"title": f"Drop {number} {'x' * n}", "role": ROLE}) for n in range(8)]

    studio = open_studio(model, max_sessions=1)
    studio.bead("Flood")
    studio.run()
    assert Bead.objects.count() == MAX_OFFSPRING + 1


ROLE = "engineering-manager"


# -- rest ------------------------------------------------------------------------------------------


def test_each_failure_doubles_the_rest_and_a_go_ahead_ends_it(open_studio: Open, settings: Settings) -> None:
    settings.LOOM_REST_SECONDS = 10
    studio = open_studio(good)
    bead = studio.bead(status=Bead.Status.DEFERRED)
    assert rest_of(bead.pk) == 0
    for count, rest in ((1, 10), (2, 20), (4, 80), (30, 900)):
        Session.objects.all().delete()
        _sessions(studio, bead, count, reason="turn_limit", minutes=0)
        assert rest_of(bead.pk) == pytest.approx(rest, abs=2)
    Session.objects.update(reason="merged")
    assert rest_of(bead.pk) == 0


def test_the_rest_is_a_row_not_a_sleeping_worker(open_studio: Open, settings: Settings) -> None:
    settings.LOOM_REST_SECONDS = 3600
    studio = open_studio(good)
    bead = studio.bead(status=Bead.Status.DEFERRED)
    _sessions(studio, bead, 1, reason="repetition", minutes=0)
    bead_reopen(bead=bead)
    studio.run()
    run = Run.objects.get(flow="bead.work")
    assert (run.status, Call.objects.count()) == (Run.Status.WAITING, 0)
    assert run.wake_at is not None
    # The clock moves on: the failure is an hour old, and the run is due.
    Session.objects.filter(status="ended").update(ended_at=timezone.now() - timedelta(hours=2))
    run.steps.filter(status="waiting").update(wake_at=timezone.now())
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


# -- poisoned sessions -----------------------------------------------------------------------------


def test_a_conversation_that_the_provider_refuses_is_not_resumed(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        task = str(messages[1]["content"])
        if kind == "review":
            return APPROVE
        if "POISON" in str(messages[2:]):
            raise BadInput("Your input was refused by our filter.")
        if "## Earlier sessions" in task:
            assert "The conversation is refused" in task
            assert "Your worktree holds the files" in task
            return [done("The file is there already.")]
        return [write("a.txt", "POISON\n")]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    first, second = studio.sessions("work")
    assert (first.reason, second.reason) == ("poisoned", "merged")
    assert studio.main_file("a.txt") == "POISON\n", "what it wrote is not lost"
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_a_refusal_of_the_very_first_message_is_a_question_at_once(open_studio: Open) -> None:
    """Every session would be refused: to try others would only cost."""

    def model(kind: str, title: str, messages: Messages) -> Answer:
        raise BadInput("This account may not use this model.")

    studio = open_studio(model)
    studio.bead()
    studio.run()
    assert len(studio.sessions("work")) == 1
    assert "may not use this model" in studio.open_question().question
