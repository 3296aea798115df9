"""Conversations, pair programming and chat."""

from __future__ import annotations

from typing import Any

from apps.agents.models import Session
from apps.pairing.models import Exchange, Piece
from tests.tenancy.table import Row, many, one
from tests.world import World

TALK = {"pk": "talk"}
SAID = {"agent_id": "@agent", "bead_id": "@bead_key", "message": "Hi", "stream": False}
CHAT = {"project_id": "@project", "messages": [{"role": "user", "content": "Hi"}]}
ORDER = {"message": "engineering manager: do it", "project_id": "@project"}
ALONE = dict.fromkeys(("viewer", "user", "admin", "key", "shared"), 404)  # a question is its asker's alone
ROWS: dict[str, Row] = {
    "POST /api/v1/pair": one(body=SAID),
    "GET /api/v1/pair/{pk}": one(TALK),
    "GET /api/v1/pair/{pk}/stream": one(TALK),
    "POST /api/v1/pair/{pk}/stop": one(TALK),
    "POST /api/v1/pair/{pk}/claim": one(TALK, expect={"key": 403}),  # it lacks beads:write
    "POST /api/v1/pair/{pk}/reject": one(TALK, expect={"key": 403}),
    "POST /api/v1/chat/completions": many(body={"messages": []}),  # else it waits for a worker
    "POST /api/v1/chat/completions/stream": one(body=CHAT),
    "POST /api/v1/repl": one(body=ORDER, expect={"key": 403}),  # it lacks beads:write; a question would wait
    "GET /api/v1/repl/{pk}": one({"pk": "question"}, expect=ALONE),
    "GET /api/v1/repl/{pk}/stream": one({"pk": "question"}, expect=ALONE),
    "GET /api/v1/conversations": many(query="project_id={project}", common=True),
    "GET /api/v1/conversations/{pk}": one(TALK),
    "DELETE /api/v1/conversations/{pk}": one(TALK),
    "POST /api/v1/conversations/{pk}/reset": one(TALK),
    "GET /api/v1/beads/{key}/conversation": one({"key": "bead_key"}),
}


def grow(tenancy: Any) -> None:
    def talk(world: World) -> int:
        session = Session.objects.create(
            project=world.project,
            bead=world.beads[0],
            agent=world.agent,
            kind=Session.Kind.PAIR,
            origin=f"talk:{world.project.pk}",
            opening=[{"role": "system", "content": "Talk of links."}],
        )
        exchange = Exchange.objects.create(
            organization=world.organization,
            project=world.project,
            session=session,
            person=world.staff,
            text="About links",
            status=Exchange.Status.DONE,
            answer="So links.",
            pieces_count=1,
        )
        Piece.objects.create(exchange=exchange, seq=1, kind="chunk", data={"text": "So links."})
        return session.pk

    def question(world: World) -> int:
        return Exchange.objects.create(
            organization=world.organization,
            project=world.project,
            person=world.staff,
            text="How are links?",
            request={"purpose": "repl"},
            status=Exchange.Status.DONE,
            answer="So links.",
        ).pk

    tenancy.add("talk", talk)
    tenancy.add("question", question)
