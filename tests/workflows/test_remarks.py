"""What people say about a bead reaches the agent at work on it: in its next prompt, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_django import Settings

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set
from apps.agents.models import Message
from apps.beads.comments import Spot, comment_add
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_close, bead_reopen
from apps.decisions.models import Decision
from apps.events import bus
from apps.events.models import Event
from apps.workflows.remarks import remark_pass_on
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write
from tests.workflows.walks import quick

Messages = list[dict[str, Any]]
Open = Callable[..., Studio]


def person(studio: Studio, role: str = Role.USER) -> User:
    made = User.objects.create_user(username="ada", password="a long password")
    membership_set(user=made, organization=studio.organization, role=role)
    return made


def say(author: User, content: str, spot: Spot | None = None) -> None:
    """On the one bead there is."""
    comment_add(bead=Bead.objects.select_related("project").get(), author=author, content=content, spot=spot)


def heard(messages: Messages, words: str) -> int:
    return sum(str(message["content"]).count(words) for message in messages)


def test_a_comment_on_a_line_keeps_the_change_from_main_until_its_author_heard_it(open_studio: Open) -> None:
    said: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            if not said:
                said.append("now")
                say(author, "Greet the world.", Spot("hello.txt", 2, claim=1))
            return APPROVE
        if heard(messages, "Greet the world."):
            told.append(str(messages[-1]["content"]))
            return [write("hello.txt", "one\nhello, world\n"), done("Greeted.")]
        return [write("hello.txt", "one\nhello\n"), done("Hello.")]

    told: list[str] = []
    studio = quick(open_studio(model))
    author, bead = person(studio), studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert studio.main_file("hello.txt") == "one\nhello, world\n"
    (words,) = told
    assert "Message from ada: Comment on" in words
    assert "About hello.txt, line 2, claim 1:" in words
    assert "> +one\n> +hello   <- this line" in words
    assert "Nothing is merged yet" in words
    (session,) = studio.sessions("work")
    assert session.reason == "merged", "the author itself went on"
    assert Message.objects.get().delivered_to_id == session.pk


def test_who_is_at_work_hears_it_in_the_next_prompt_once(open_studio: Open) -> None:
    counts: list[int] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        counts.append(heard(messages, "Use tabs."))
        if replies(messages) == 0:
            say(author, "@agent Use tabs.")
            say(author, "@bob A word among people.")
            bus.deliver_all(list(Event.objects.filter(kind="comment.created")))  # as after a crash: twice
        if replies(messages) < 2:
            return [write(f"{replies(messages)}.txt", "x")]
        return [done()]

    studio = quick(open_studio(model))
    author, bead = person(studio), studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert counts == [0, 1, 1]
    assert Message.objects.count() == 1


def test_a_comment_on_work_that_waits_has_its_author_go_on(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            met = bool(heard(messages, "b/said.txt"))
            verdict = "approve" if met else "reject"
            criteria = [{"criterion": "It works.", "met": met}]
            return [("submit_review", {"verdict": verdict, "comments": "No.", "criteria": criteria})]
        if heard(messages, "Write said.txt"):
            return [write("said.txt", "x"), done("Said.")]
        return [write(f"{replies(messages)}.txt", "x"), done("Again.")]

    studio = quick(open_studio(model))
    author, bead = person(studio), studio.bead()
    studio.run()
    question = studio.open_question()
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED
    say(author, "Write said.txt", Spot("0.txt", 1))
    studio.run()
    question.refresh_from_db()
    assert (question.choice, question.decider) == ("retry", "ada")
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert not Decision.objects.open().exists()


def test_a_stopped_bead_is_given_to_its_author_and_a_closed_one_stays_closed(
    open_studio: Open, settings: Settings
) -> None:
    settings.LOOM_MAX_SESSIONS = 0
    studio = open_studio(lambda kind, title, messages: APPROVE)
    author, bead = person(studio), studio.bead()
    bead_close(bead=bead, reason="Not wanted.")
    say(author, "@agent Too late?")
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert Message.objects.get().delivered_at is None, "told if it is opened again"
    bead_reopen(bead=bead)
    bead_block(bead=bead, reason="Held by bob.")
    say(author, "@engineering-manager Go on.")
    assert studio.refreshed(bead).status == Bead.Status.OPEN
    remark_pass_on(comment_id=10**9)  # one that is gone
