"""A weave followed in a terminal: what is asked there, and a database that is away for a while."""

from __future__ import annotations

import io
import os
import pty
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import DataError, OperationalError, connections, transaction

from apps.accounts.services import organization_ensure
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.workflows import following
from apps.workflows.following import Follower, answer_read, view_for
from apps.workflows.progress import Progress, events_after
from apps.workflows.terminal import LineView, LiveView, console_make
from apps.workflows.weaving import Wish, prd_read, weave_begin
from tests.core.processes import wait_until


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Project:
    organization_ensure(name="local")
    return weave_begin(Wish(), prd=prd_read(None), out=tmp_path / "out")


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written there was typed at the terminal."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def follower(project: Project, screen: io.StringIO, *, live: bool = True) -> Follower:
    view = (LiveView if live else LineView)(console_make(file=screen, width=120), project.name)
    return Follower(project, view, lambda: None, 0)


def asked(project: Project, **more: object) -> Decision:
    return decision_request(project=project, question="How are addresses kept?", needs_person=True, **more)  # type: ignore[arg-type]


OPTIONS = [{"key": "hash", "label": "Hash"}, {"key": "plain", "label": "Plain"}]


def is_over_soon(project: Project) -> None:
    Run.objects.filter(project_id=project.pk, flow="prd.weave").update(status=Run.Status.DONE)


@pytest.mark.usefixtures("keyboard")
def test_who_is_asked_is_let_go_when_another_has_answered(project: Project, screen: io.StringIO) -> None:
    decision = asked(project, options=OPTIONS)

    def answer() -> None:
        decision_decide(decision=Decision.objects.get(pk=decision.pk), choice="hash", decider="Ann")
        is_over_soon(project)
        connections.close_all()

    elsewhere = threading.Timer(0.6, answer)
    elsewhere.start()
    follower(project, screen).follow()
    elsewhere.join()
    assert "hash/plain, and why: " in screen.getvalue()
    assert "decided meanwhile by Ann" in screen.getvalue()


def test_a_half_written_line_does_not_answer_the_next_question(
    project: Project, screen: io.StringIO, keyboard: int
) -> None:
    first = asked(project, options=OPTIONS)
    os.write(keyboard, b"hash beca")

    def go_on() -> None:
        wait_until(lambda: "and why: " in screen.getvalue())
        with transaction.atomic():  # who looks next sees both
            decision_decide(decision=Decision.objects.get(pk=first.pk), choice="plain", decider="Ann")
            asked(project, origin="another")
        connections.close_all()
        wait_until(lambda: "answer: " in screen.getvalue())
        os.write(keyboard, b"By key.\n")

    elsewhere = threading.Thread(target=go_on)
    elsewhere.start()
    watch = follower(project, screen)
    watch._look()
    watch._look()
    elsewhere.join()
    assert Decision.objects.get(origin="another").choice == "By key."


def test_an_answer_is_its_first_word_only_where_there_are_options(
    project: Project, screen: io.StringIO, keyboard: int
) -> None:
    chosen, free = asked(project, options=OPTIONS), asked(project, origin="another")
    os.write(keyboard, b"\nboth of them\nHASH  it is safer\nKeep no addresses at all.\n")
    watch = follower(project, screen)
    watch._look()
    chosen.refresh_from_db()
    free.refresh_from_db()
    assert (chosen.choice, chosen.rationale) == ("hash", "it is safer")
    assert free.choice == "Keep no addresses at all."
    assert "'both' is none of the options. Choose one of: hash, plain." in screen.getvalue()


@pytest.mark.parametrize(
    ("line", "choice", "why"),
    [
        ("with A full stop, it is polite.", "With a full stop", "it is polite"),
        ("With", "With", ""),
        ("without it", "without", "it"),
        ("withal", "withal", ""),
        ("with? Not sure.", "with?", "Not sure."),
        ("nothing/with", "nothing/with", ""),
        ("with-out", "with-out", ""),
        ("\n", "", ""),
    ],
)
def test_an_option_may_have_several_words(line: str, choice: str, why: str) -> None:
    assert answer_read(line, ["With", "With a full stop", "nothing"]) == (choice, why)


def test_a_database_that_is_away_for_a_while_ends_no_weave(
    project: Project, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = [OperationalError("the server closes the connection\n"), OperationalError("starting up")]

    def read(of: Project, last: int) -> list[Event]:
        if outages:
            raise outages.pop(0)
        is_over_soon(of)
        return [] if last else list(events_after(of, last))

    monkeypatch.setattr(following, "events_after", read)
    follower(project, screen, live=False).follow()
    assert outages == []
    told = screen.getvalue()
    assert told.count("The database is away, trying again: the server closes the connection") == 1
    assert "requirements found" in told


@pytest.mark.parametrize("error", [OperationalError("gone"), DataError("wrong")])
def test_a_database_that_stays_away_or_refuses_ends_it(
    project: Project, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def read(*_: object) -> list[Event]:
        raise error

    monkeypatch.setattr(following, "events_after", read)
    monkeypatch.setattr(following, "AWAY_S", 0.3)
    with pytest.raises(type(error)):
        follower(project, screen, live=False).follow()
    assert ("trying again" in screen.getvalue()) is isinstance(error, OperationalError)


def test_what_is_asked_is_shown_as_it_was_written(screen: io.StringIO) -> None:
    console = console_make(file=screen, width=120, force_terminal=True)
    with LiveView(console, "Routes [/v1]") as view:
        view.say("◆ Is it /items/[id], list[str] or [/etc/hosts]? :bug: \x1b[2Jgone")
        view.show(Progress("planning", [], "[/b] reading", 0, 0, 0, None, [], "", ""), [])
    told = screen.getvalue()
    assert "/items/[id], list[str] or [/etc/hosts]? :bug: [2Jgone" in told
    assert all(words in told for words in ("Routes [/v1]", "[/b] reading"))
    assert "\x1b[2J" not in told


@pytest.mark.parametrize(("term", "kind"), [("xterm", LiveView), ("dumb", LineView)])
def test_a_dumb_terminal_gets_lines(term: str, kind: type) -> None:
    console = console_make(force_terminal=True, _environ={"TERM": term})
    assert type(view_for(console, "Links")) is kind
