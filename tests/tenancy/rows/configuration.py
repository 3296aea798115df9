"""An organization's configuration; a project that is shared does not show it."""

from __future__ import annotations

from tests.tenancy.table import Row, many

ROWS: dict[str, Row] = {
    "GET /api/v1/config": many(),
    "PUT /api/v1/config": many(body={"loom": 1}),
    "GET /api/v1/config/export.yaml": many(),
    "POST /api/v1/config/import.yaml": many(body={"loom": 1}),
}
