"""Beads, projects, providers and their like; what is not built yet shows nothing to anybody."""

from __future__ import annotations

import re
from typing import Any

from apps.accounts.permissions import METHOD_ACTIONS, roles_with
from apps.beads.comments import comment_add
from apps.providers.services import provider_create
from loom_site.api import built
from loom_site.contract import Route, missing
from tests.tenancy.table import Row, everybody, many, one, organization

KEY, PROJECT, PROVIDER = {"key": "bead_key"}, {"pk": "project"}, {"pk": "provider"}
BEAD, ALL = "/api/v1/beads/{key}", "/api/v1/projects"
ONE, COMMENT, MODEL = f"{ALL}/{{pk}}", "/api/v1/comments/{pk}", "/api/v1/providers/{pk}"
NOT_THEIRS = {"viewer": 403, "user": 403, "admin": 403, "key": 403}  # who wrote it is another
NEW = {"organization": "@organization", "name": "New"}
ROWS: dict[str, Row] = {
    "GET /api/v1/beads": many(),
    "GET /api/v1/beads/ready": many(),
    "GET /api/v1/beads/blocked": many(),
    "GET /api/v1/work-graph": many(),
    "POST /api/v1/beads": one(body={"project_id": "@project", "title": "New"}),
    f"GET {BEAD}": one(KEY),
    f"PUT {BEAD}": one(KEY, body={"title": "Other"}),
    f"PATCH {BEAD}": one(KEY, body={"title": "Other"}),
    f"POST {BEAD}/close": one(KEY),
    f"POST {BEAD}/reopen": one(KEY),
    f"GET {BEAD}/comments": one(KEY),
    f"POST {BEAD}/comments": one(KEY, body={"content": "New"}),
    f"GET {COMMENT}": one({"pk": "comment"}),
    f"PATCH {COMMENT}": one(
        {"pk": "comment"}, body={"content": "Other"}, expect={**NOT_THEIRS, "shared": 403}
    ),
    f"DELETE {COMMENT}": one(
        {"pk": "comment"}, expect={"viewer": 403, "user": 403, "admin": 200, "key": 403, "shared": 403}
    ),
    f"GET {ALL}": many(),
    f"POST {ALL}": organization(body=NEW),
    f"POST {ALL}/bootstrap": organization(body={**NEW, "prd_text": "# New\n\n- It works.\n"}),
    f"POST {ALL}/take-over": organization(body={**NEW, "address": "https://git.example.org/x.git"}),
    f"GET {ONE}": one(PROJECT),
    f"PUT {ONE}": one(PROJECT, body={"max_sessions": 2}),
    f"PATCH {ONE}": one(PROJECT, body={"max_sessions": 2}),
    f"DELETE {ONE}": one(PROJECT),
    f"GET {ONE}/state": one(PROJECT),
    f"GET {ONE}/checks": one(PROJECT),
    f"GET {ONE}/prd": one(PROJECT),
    f"GET {ONE}/requirements": one(PROJECT),
    f"GET {ONE}/comments": one(PROJECT),
    f"POST {ONE}/comments": one(PROJECT, body={"comment": "New"}),
    f"POST {ONE}/close": one(PROJECT),
    f"POST {ONE}/reopen": one(PROJECT),
    f"POST {ONE}/agents": one(PROJECT, body={"agent_id": "@agent", "action": "assign"}),
    "GET /api/v1/providers": many(common=True),
    "POST /api/v1/providers": organization(
        body={**NEW, "endpoint": "http://127.0.0.1:9/v1", "model": "small"}
    ),
    f"GET {MODEL}": organization(PROVIDER),
    f"PUT {MODEL}": organization(PROVIDER, body={"quality": 7}),
    f"PATCH {MODEL}": organization(PROVIDER, body={"quality": 7}),
    f"DELETE {MODEL}": organization(PROVIDER),
    f"GET {MODEL}/models": organization(
        PROVIDER, expect=dict.fromkeys(("viewer", "user", "admin", "key"), 502)
    ),
    f"POST {MODEL}/negotiate": organization(PROVIDER, expect=dict.fromkeys(("user", "admin", "key"), 502)),
    f"POST {MODEL}/test": organization(  # a call to a model is never made in a transaction, as this test is
        PROVIDER, body={"organization": "nobody"}, expect=dict.fromkeys(("user", "admin", "key"), 404)
    ),
    "GET /api/v1/routing/policies": many(common=True),
    "GET /api/v1/models/recommended": many(common=True),
    "POST /api/v1/routing/select": organization(body={"organization": "@organization"}),
    "GET /api/schema/": everybody(),
    "GET /api/openapi.yaml": everybody(),
    "GET /api/docs/": everybody(),
    "GET /api/redoc/": everybody(),
    "GET /api/redoc/redoc.js": everybody(),
}


def _unbuilt(route: Route) -> Row:
    """501 for whom the permission lets in."""
    permission = f"{route.resource}:{METHOD_ACTIONS[route.method]}"
    roles = roles_with(permission)
    people = {"stranger": "admin", "removed": "user", "viewer": "viewer", "user": "user", "admin": "admin"}
    expect = {name: 501 if role in roles else 403 for name, role in {**people, "shared": "user"}.items()}
    args = dict.fromkeys(re.findall(r"{(\w+)}", route.path), "1")
    return many(args=args, permission=permission, expect={**expect, "key": 501})


ROWS |= {f"{route.method} /api/v1{route.path}": _unbuilt(route) for route in missing(built)}


def grow(tenancy: Any) -> None:
    """A comment on a bead of each project, and a provider of the organization."""
    tenancy.add(
        "comment",
        lambda world: comment_add(bead=world.beads[0], author=tenancy.boss, content="About links.").pk,
    )
    provider = provider_create(
        name="zqshared model",
        organization_id=tenancy.organization.pk,
        endpoint="http://127.0.0.1:9/v1",
        model="small",
    )
    tenancy.ids["provider"] = tenancy.hidden_ids["provider"] = provider.pk
