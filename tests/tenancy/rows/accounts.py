"""Logging in, one's own account, and what administrators do with those of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.accounts.invitation_services import invitation_create
from apps.accounts.models import ApiKey, Login
from apps.accounts.services import group_create, group_member_add
from apps.projects.sharing import share_set
from tests.tenancy.table import Row, everybody, many, one, organization, own

OTHERS = {"pk": "colleague"}
ORGANIZATION = {"pk": "organization"}
KEYS_REFUSED = {"key": 403, "other key": 403}
SIGNED_OUT = {"key": 302, "other key": 302, "anonymous": 302}
ROWS: dict[str, Row] = {
    "GET /api/v1/health": everybody(),
    "POST /api/v1/auth/login": everybody(
        body={"username": "nobody", "password": "wrong"}, expect={"all": 401}
    ),
    "POST /api/v1/auth/refresh": everybody(body={"refresh_token": "x"}, expect={"all": 401}),
    "GET /api/v1/auth/me": own(),
    "POST /api/v1/auth/logout": own(),
    "POST /api/v1/auth/switch": own(body={"organization": ""}),
    "POST /api/v1/auth/change-password": own(
        body={"current_password": "wrong", "new_password": "a long enough one"},
        expect={"all": 401, **KEYS_REFUSED},
    ),
    "GET /api/v1/auth/users": many(expect={"shared": 403}, common=True),
    "POST /api/v1/auth/users": organization(
        body={"username": "new", "password": "a long enough one", "organization": "zqshared"}
    ),
    "GET /api/v1/auth/users/{pk}": organization(OTHERS),
    "PATCH /api/v1/auth/users/{pk}": organization(OTHERS, body={"email": "a@example.org"}),
    "DELETE /api/v1/auth/users/{pk}": organization(OTHERS),
    "POST /api/v1/auth/users/{pk}/reset-password": organization(OTHERS),
    "GET /api/v1/auth/api-keys": own(),
    "POST /api/v1/auth/api-keys": own(
        body={"name": "x", "permissions": ["beads:read"], "organization": "zqshared"},
        expect={"stranger": 404, "removed": 404, "shared": 404, **KEYS_REFUSED},
    ),
    "GET /api/v1/auth/api-keys/{pk}": own(
        {"pk": "api_key"}, expect=dict.fromkeys(("stranger", "removed", "viewer", "user", "shared"), 404)
    ),
    "DELETE /api/v1/auth/api-keys/{pk}": own(
        {"pk": "api_key"},
        expect={**dict.fromkeys(("stranger", "removed", "viewer", "user", "shared"), 404), **KEYS_REFUSED},
    ),
    "GET /api/v1/auth/invitations": many(),
    "POST /api/v1/auth/invitations": organization(body={"role": "viewer", "organization": "zqshared"}),
    "GET /api/v1/auth/invitations/{pk}": organization({"pk": "invitation"}),
    "DELETE /api/v1/auth/invitations/{pk}": organization({"pk": "invitation"}),
    "POST /api/v1/auth/invitations/accept": own(
        body={"token": "x"}, expect={"all": 404, "anonymous": 401, **KEYS_REFUSED}
    ),
    "POST /api/v1/auth/invitations/register": everybody(
        body={"token": "x", "username": "new", "password": "a long enough one"}, expect={"all": 404}
    ),
    "GET /api/v1/organizations": many(common=True),
    "POST /api/v1/organizations": own(
        body={"name": "Mine"},
        expect=dict.fromkeys(
            ("stranger", "removed", "viewer", "user", "admin", "shared", "key", "other key"), 403
        ),
    ),
    "GET /api/v1/organizations/{pk}": organization(ORGANIZATION),
    "PATCH /api/v1/organizations/{pk}": organization(ORGANIZATION, body={"name": "Other"}),
    "GET /api/v1/organizations/{pk}/members": organization(ORGANIZATION),
    "GET /api/v1/organizations/{pk}/members/{user_id}": organization(
        {**ORGANIZATION, "user_id": "colleague"}
    ),
    "GET /api/v1/organizations/{pk}/groups/{group_id}": organization({**ORGANIZATION, "group_id": "group"}),
    "PATCH /api/v1/organizations/{pk}/members/{user_id}": organization(
        {**ORGANIZATION, "user_id": "colleague"}, body={"role": "viewer"}
    ),
    "DELETE /api/v1/organizations/{pk}/members/{user_id}": organization(
        {**ORGANIZATION, "user_id": "colleague"}
    ),
    "GET /api/v1/organizations/{pk}/groups": organization(ORGANIZATION),
    "POST /api/v1/organizations/{pk}/groups": organization(ORGANIZATION, body={"name": "Writers"}),
    "DELETE /api/v1/organizations/{pk}/groups/{group_id}": organization(
        {**ORGANIZATION, "group_id": "group"}
    ),
    "POST /api/v1/organizations/{pk}/groups/{group_id}/members": organization(
        {**ORGANIZATION, "group_id": "group"}, body={"user_id": "@colleague"}
    ),
    "DELETE /api/v1/organizations/{pk}/groups/{group_id}/members/{user_id}": organization(
        {**ORGANIZATION, "group_id": "group", "user_id": "colleague"}
    ),
    "GET /api/v1/projects/{pk}/shares": one({"pk": "project"}),
    "POST /api/v1/projects/{pk}/shares": one({"pk": "project"}, body={"username": "zqshared-viewer"}),
    "DELETE /api/v1/projects/{pk}/shares/{whom}": one({"pk": "project", "whom": "share"}),
    "GET /api/v1/audit": many(common=True),
    "GET /invitations/{token}/": everybody({"token": "x"}, expect={"all": 404}),
    "POST /invitations/{token}/": everybody({"token": "x"}, expect={"all": 404}),
    "GET /account/password/": own(expect={"key": 302, "other key": 302, "anonymous": 302}),
    "POST /account/password/": own(
        body={"current": "x", "new": "y"},
        expect={"all": 400, "key": 302, "other key": 302, "anonymous": 302},
    ),
    "GET /account/email/{token}/": own({"token": "=x"}, expect={"all": 404, **SIGNED_OUT}),
    "POST /account/email/{token}/": own({"token": "=x"}, expect={"all": 404, **SIGNED_OUT}),
    "POST /account/organization/": own(expect={"all": 302}),
}


def grow(tenancy: Any) -> None:
    ids, people = tenancy.ids, tenancy.people
    group = group_create(organization=tenancy.organization, name="zqhidden people")
    group_member_add(people=group, user=people["viewer"])
    invitation, _ = invitation_create(
        organization=tenancy.organization, role="user", by=tenancy.boss, email="zqhidden@example.org"
    )
    share_set(project=tenancy.shared.project, to=people["viewer"], role="viewer")
    share_set(project=tenancy.hidden.project, to=people["viewer"], role="viewer")
    ids["membership"] = people["viewer"].memberships.get().pk
    ids["colleague"] = people["viewer"].pk
    ids["group"], ids["invitation"] = group.pk, invitation.pk
    ids["share"] = tenancy.hidden_ids["share"] = f"user-{people['viewer'].pk}"
    ids["api_key"] = ApiKey.objects.filter(user=people["key"]).order_by("pk").values_list("pk", flat=True)[0]
    ids["login"] = Login.objects.create(user=tenancy.boss, expires_at=timezone.now() + timedelta(days=1)).pk
    for name in ("colleague", "membership", "group", "invitation", "api_key", "login"):
        tenancy.hidden_ids[name] = ids[name]
