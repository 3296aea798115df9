"""A small edition of the campaign of escapes: some attempts of every group, with their controls."""

from __future__ import annotations

import pytest

from apps.agents.sandbox import sandbox_status
from tests.campaigns import escape
from tests.campaigns._escape_room import ATTEMPTS, Attempt, read, shell

pytestmark = pytest.mark.skipif(sandbox_status().kind != "bwrap", reason="no sandbox here")


def test_no_attempt_succeeds_and_every_control_is_noticed() -> None:
    figures = escape.campaign(scale=0.1)
    assert figures["escaped"] == []
    assert figures["blind"] == []
    assert len(figures["groups"]) >= 5
    assert figures["ok"]


def test_there_are_more_than_forty_attempts_with_names_of_their_own() -> None:
    assert len({one.name for one in ATTEMPTS}) == len(ATTEMPTS) >= 60


def test_the_campaign_fails_where_something_gets_out_or_its_control_is_blind() -> None:
    inside = shell("echo escape-canary-90125")
    leaky = Attempt("leaky", "files", inside, read, inside)
    blind = Attempt("blind", "files", shell("true"), read, shell("true"))
    figures = escape.figures([leaky, blind], list(escape.tried([leaky, blind])), least=1)
    assert (figures["escaped"], figures["blind"], figures["ok"]) == (["leaky"], ["blind"], False)
