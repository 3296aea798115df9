"""The repository of a project: files, git and its key; these projects have none."""

from __future__ import annotations

from tests.tenancy.table import Row, one

PROJECT = {"pk": "project"}
ASKED = "project_id={project}"
READERS, WRITERS = ("viewer", "user", "admin", "key", "shared"), ("user", "admin", "key", "shared")
NO_REPOSITORY = dict.fromkeys(READERS, 404)
NO_DRAFT = dict.fromkeys(WRITERS, 404)
ROWS: dict[str, Row] = {
    "GET /api/v1/projects/{pk}/files/read": one(PROJECT, query="path=a.py", expect=NO_REPOSITORY),
    "GET /api/v1/projects/{pk}/files/tree": one(PROJECT, expect=NO_REPOSITORY),
    "GET /api/v1/projects/{pk}/files/search": one(PROJECT, query="query=links", expect=NO_REPOSITORY),
    "POST /api/v1/projects/{pk}/files/patch": one(PROJECT, body={"patch": "--- a"}, expect=NO_DRAFT),
    "GET /api/v1/projects/git/status": one(query=ASKED),
    "GET /api/v1/projects/git/log": one(query=ASKED, expect=NO_REPOSITORY),
    "GET /api/v1/projects/git/diff": one(query=ASKED, expect=NO_REPOSITORY),
    "GET /api/v1/projects/git/branches": one(query=ASKED, expect=NO_REPOSITORY),
    "POST /api/v1/projects/git/sync": one(query=ASKED),
    "POST /api/v1/projects/git/push": one(query=ASKED),
    "POST /api/v1/projects/git/commit": one(
        query=ASKED,
        body={"message": "Links"},
        expect={**NO_DRAFT, "key": 403},  # it lacks beads:write
    ),
    "GET /api/v1/projects/{pk}/git-key": one(PROJECT, expect=NO_REPOSITORY),
    "POST /api/v1/projects/{pk}/git-key": one(PROJECT),
}
