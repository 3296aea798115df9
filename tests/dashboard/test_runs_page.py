"""Runs across projects: what each does and is about, in words."""

from __future__ import annotations

from django.test import Client

from apps.decisions.services import decision_request
from tests.dashboard.test_home import read
from tests.world import World


def test_a_run_is_told_by_what_it_does_and_is_about(reader: Client, stranger: Client, world: World) -> None:
    decision_request(project=world.project, question="Which **port**?", requester="Engineer")
    page = read(reader, "/runs/")
    assert "Deadline of a decision</a>" in page
    assert "Which port?</a>" in page, "not only that it is a decision"
    assert '<option value="decision.deadline">Deadline of a decision</option>' in page
    assert "Which port?" not in read(stranger, "/runs/")
