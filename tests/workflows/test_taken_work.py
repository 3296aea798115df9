"""Who may take work over and give it back, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.accounts.models import User
from apps.agents.models import Session
from apps.beads.models import Bead
from apps.workflows.taken_work import MARK, taker_of
from tests.api.clients import client_of, person, send
from tests.workflows.studio import Answer, Studio, done, replies, write

ADD = """\
--- a/calc/__init__.py
+++ b/calc/__init__.py
@@ -1,2 +1,3 @@
 def add(a, b):
     return a + b
+# Added.
"""


def test_work_is_taken_over_by_api_and_agents_go_on_with_its_files(
    open_studio: Callable[..., Studio],
) -> None:
    told: list[int] = []

    def says(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        if replies(messages) and not told:
            told.append(send(client, "POST", f"beads/{bead.key}/take-over", {}).status_code)
            told.append(send(client, "POST", f"beads/{bead.key}/take-over", {}).status_code)
        return [write("calc/half.py", "HALF = 1\n")]

    studio = open_studio(says)
    bead = studio.bead(context={MARK: {"person": "bob", "runs": [0]}})  # of work that ended before it stopped
    assert (taker_of(bead, [0]), taker_of(bead, [1])) == ("bob", "")
    ann, bob = person("ann", studio.organization), person("bob", studio.organization)
    client = client_of(ann, studio.organization)
    studio.run()
    assert told == [202, 409]  # once is enough
    bead.refresh_from_db()
    assert (bead.status, bead.assigned_to, bead.context) == (Bead.Status.IN_PROGRESS, "ann", {})
    assert Session.objects.get().reason == "taken_over"
    for user, way, body, status in (
        (ann, "take-over", {}, 409), (bob, "take-over", {}, 409), (bob, "give-back", {}, 409),
        (ann, "give-back", {"patch": "no patch"}, 400), (ann, "give-back", {"patch": 7}, 400),
        (ann, "give-back", {"patch": ADD.replace("return a + b", "return a * b")}, 400),
    ):  # fmt: skip
        answer = send(client_of(user, studio.organization), "POST", f"beads/{bead.key}/{way}", body)
        assert answer.status_code == status, (way, body, answer.content)
    assert client_of(bob, studio.organization).get(f"/api/v1/beads/{bead.key}/bundle").status_code == 409
    bundle = b"".join(client.get(f"/api/v1/beads/{bead.key}/bundle").streaming_content)  # type: ignore[attr-defined]
    assert bundle.startswith(b"# v2 git bundle")
    assert send(client, "POST", f"beads/{bead.key}/give-back", {}).status_code == 200
    bead.refresh_from_db()
    assert (bead.status, bead.assigned_to) == (Bead.Status.IN_PROGRESS, "Engineering manager")
    assert Session.objects.latest("pk").head_commit == Session.objects.earliest("pk").head_commit != ""


def test_what_nobody_works_on_is_taken_at_once_and_a_patch_is_claimed(
    open_studio: Callable[..., Studio],
) -> None:
    studio = open_studio(lambda kind, title, messages: [done()])
    bead = studio.bead(status="deferred")
    ann: User = person("ann", studio.organization)
    taken = send(client_of(ann, studio.organization), "POST", f"beads/{bead.key}/take-over", {})
    assert (taken.status_code, taken.json()["assigned_to"]) == (200, "ann")
    back = send(
        client_of(ann, studio.organization),
        "POST",
        f"beads/{bead.key}/give-back",
        {"patch": ADD, "summary": "Note"},
    )
    assert back.status_code == 202, back.content
    claim = bead.claims.get()
    assert (claim.summary, studio.hub.read(claim.commit, "calc/__init__.py").decode()[-9:]) == (
        "Note",
        "# Added.\n",
    )
