"""Decisions and beads put before the CEO."""

from __future__ import annotations

from tests.tenancy.table import Row, everybody, many, one

PK = {"pk": "decision"}
PROJECT = {"pk": "project"}
QUESTION = {
    "question": "Which?",
    "options": [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}],
    "project_id": "@project",
}
ROWS: dict[str, Row] = {
    "GET /api/v1/decisions": many(),
    "POST /api/v1/decisions": one(body=QUESTION),
    "GET /api/v1/decisions/{pk}": one(PK),
    "PUT /api/v1/decisions/{pk}": one(PK, body={"decision": "hash", "rationale": "Safer."}),
    "POST /api/v1/decisions/{pk}/decide": one(PK, body={"decision": "hash", "rationale": "Safer."}),
    "GET /api/v1/decisions/{pk}/votes": one(PK),
    "POST /api/v1/decisions/{pk}/votes": one(PK, body={"choice": "hash"}),
    "POST /api/v1/webhooks/openclaw": everybody(
        body={"text": "yes"}, expect={"all": 404}
    ),  # no secret is made
    "GET /api/v1/openclaw/status": many(common=True),
    "POST /api/v1/projects/{pk}/openclaw-secret": one(PROJECT),
    "DELETE /api/v1/projects/{pk}/openclaw-secret": one(PROJECT),
    "POST /api/v1/beads/{key}/escalate": one({"key": "bead_key"}, body={"reason": "Hard."}),
}
