"""The overview: figures, beads before the CEO, and what is asked of Loom."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role, User
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_claim, bead_close
from apps.decisions.models import Decision
from apps.pairing.models import Exchange, Piece
from apps.workflows.escalation import bead_escalate
from tests.dashboard.test_every_page import send
from tests.dashboard.test_home import read, spend, words
from tests.world import World, client_of


def test_figures_and_beads_before_the_ceo(reader: Client, stranger: Client, world: World) -> None:
    first, second = world.beads
    bead_claim(bead=first, agent="Engineer")
    bead_close(bead=first, reason="Merged.", commit="a" * 40)
    spend(world, 1_140_000)
    bead_block(bead=second, reason="The tax rate is not known.")
    page = words(read(reader, "/overview/"))
    assert "Merged in 7 days 1" in page
    assert "Spent in 7 days $1.14" in page
    assert "The tax rate is not known" in page
    bead_escalate(bead=second, reason="Nobody knows it.")
    html = read(reader, "/overview/")
    assert "1 waits for you" in words(html)
    assert "Nobody knows it" in html
    assert "Nobody knows it" not in read(stranger, "/overview/")
    asked = Decision.objects.get(kind=Decision.Kind.ESCALATION)
    given = {"choice": "deny", "rationale": "Use 19 %.", "next": "/overview/"}
    assert reader.post(reverse("decision-answer", args=[asked.pk]), given).status_code == 302
    asked.refresh_from_db()
    assert (asked.choice, asked.rationale) == ("deny", "Use 19 %.")


def test_loom_is_asked_and_answers_in_pieces(reader: Client, world: World) -> None:
    asked = reader.post(
        "/overview/ask/", {"text": "What holds us up?", "project": world.project.pk}, follow=True
    )
    assert "Loom reads your projects" in asked.content.decode()
    exchange = Exchange.objects.get()
    assert exchange.person == User.objects.get(username="ann")
    seen = asked.context["seen"]
    assert reader.get("/overview/", headers={"X-Loom-Seen": seen}).status_code == 204
    Piece.objects.create(exchange=exchange, seq=1, kind="chunk", data={"text": "Part **one** <b>"})
    Exchange.objects.filter(pk=exchange.pk).update(pieces_count=1)
    # What comes is streamed, not asked for again and again; who opens the page later has what there is.
    assert reader.get("/overview/", headers={"X-Loom-Seen": seen}).status_code == 204
    again = read(reader, "/overview/")
    assert "Part **one** &lt;b&gt;" in again
    assert f'data-stream="/api/v1/repl/{exchange.pk}/stream"' in again
    assert "is stopped" in send(reader, "ceo-stop", exchange.pk)
    assert "Stopped." in read(reader, "/overview/")


def test_an_order_becomes_a_bead_and_what_cannot_be_asked_is_kept(reader: Client, world: World) -> None:
    ordered = {"text": "Engineering Manager: count the visits", "project": str(world.project.pk)}
    page = words(reader.post("/overview/ask/", ordered, follow=True).content.decode())
    assert "is filed: count the visits" in page
    assert Bead.objects.latest("pk").role == "engineering-manager"
    refused = reader.post("/overview/ask/", {"text": "x" * 9000})
    assert refused.status_code == 400
    assert "x" * 9000 in refused.content.decode()
    viewer = client_of(world, Role.VIEWER, "vic")
    assert viewer.post("/overview/ask/", ordered).status_code == 404
    assert "not ask" in read(viewer, "/overview/")
