"""Decisions and beads put before the CEO."""

from __future__ import annotations

from tests.tenancy.table import Row, many, one

PK = {"pk": "decision"}
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
    "POST /api/v1/beads/{key}/escalate": one({"key": "bead_key"}, body={"reason": "Hard."}),
}
