"""The plan that waits for approval, on the page of its decision."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.beads.models import Bead
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from tests.dashboard.test_every_page import send
from tests.dashboard.test_home import read, words
from tests.world import World

APPROVAL = [{"key": "approve", "label": "Approve"}, {"key": "change", "label": "Send back"}]


def test_a_plan_is_read_cut_and_added_to_before_it_is_approved(reader: Client, world: World) -> None:
    plan = decision_request(
        project=world.project, kind=Decision.Kind.PLAN, question="Approve the plan?", options=APPROVAL,
        needs_person=True,
    )  # fmt: skip
    assert "is added to the plan" in send(reader, "bead-add", world.project.pk, title="Export", priority="2")
    address = reverse("decision", args=[plan.pk])
    page = words(read(reader, address))
    assert "3 stories serve 1 of 2 requirements" in page
    assert "no story serves it" in page
    story = Bead.objects.get(title="Export")
    assert story.status == Bead.Status.DEFERRED
    assert reverse("bead-close", args=[story.key]) in read(reader, address)
    send(reader, "bead-close", story.key, reason="Dropped from the plan.")
    assert "Export" not in words(read(reader, address)).split("The plan")[1]
