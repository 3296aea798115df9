"""Writes to API keys."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import ApiKey, Membership, Organization, Role, User
from apps.accounts.permissions import ACTIONS, RESOURCES, matching, permission_require
from apps.core.errors import BadInput, NotFound
from apps.events.bus import emit

KEY_MARK = "loom_"
PREFIX_CHARS, SECRET_BYTES = 8, 32
MOST_SCOPES, MOST_SECONDS = 200, 10 * 365 * 24 * 3600


@transaction.atomic
def key_create(
    *,
    user: User,
    organization: Organization,
    name: str,
    scopes: Collection[str],
    project_id: int | None = None,
    expires_in: int = 0,
    maker: User | None = None,
) -> tuple[ApiKey, str]:
    """A key of `user`, and its text, which is not kept. `expires_in` is in seconds; 0 means never.

    It cannot do more than its owner's role allows; that of a service account, than `maker` may do.
    """
    maker = maker or user
    if not (name := name.strip()):
        raise BadInput("A key needs a name that tells what it is for.", details={"field": "name"})
    if project_id is not None and not organization.projects.filter(pk=project_id).exists():
        raise NotFound(f"There is no project {project_id}.")
    if not 0 <= expires_in <= MOST_SECONDS:
        raise BadInput("expires_in must be from 0 to ten years.", details={"field": "expires_in"})
    asked = scopes_check(scopes)
    grants = Membership.objects.filter(user=user, organization=organization, role=Role.SERVICE).exists()
    for scope in asked:
        if grants or "*" not in scope:  # a pattern stands for what its owner may do at the time
            for permission in matching(scope):
                permission_require(maker, permission, organization.pk, project_id)
    prefix, secret = secrets.token_hex(PREFIX_CHARS // 2), secrets.token_urlsafe(SECRET_BYTES)
    text = f"{KEY_MARK}{prefix}_{secret}"
    key = ApiKey.objects.create(
        user=user,
        organization=organization,
        project_id=project_id,
        name=name[:120],
        prefix=prefix,
        digest=key_digest(text),
        scopes=asked,
        grants=grants,
        expires_at=timezone.now() + timedelta(seconds=expires_in) if expires_in else None,
    )
    _tell("api_key.created", key, str(maker), name=key.name, scopes=asked)
    return key, text


@transaction.atomic
def key_revoke(*, key: ApiKey, actor: str = "") -> bool:
    """End a key at once; False if it had ended already."""
    ended = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    if ended:
        _tell("api_key.revoked", key, actor, name=key.name)
    return bool(ended)


def key_used(*, key: ApiKey, address: str) -> None:
    """Note that a key was used; no event, since what was done with it has one."""
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now(), last_address=address)


def scopes_check(scopes: Collection[str]) -> list[str]:
    """The scopes, sorted, each once; BadInput if one is none."""
    if not scopes or len(scopes) > MOST_SCOPES:
        raise BadInput(
            "Say what the key may do.",
            hint="Send permissions such as beads:read, beads:* or *:read; *:* is all that you may do.",
            details={"field": "permissions"},
        )
    for scope in scopes:
        resource, _, action = scope.partition(":")
        if resource not in (*RESOURCES, "*") or action not in (*ACTIONS, "*"):
            raise BadInput(f"{scope[:80]!r} is no permission.", details={"field": "permissions"})
    return sorted(set(scopes))


def key_prefix(text: str) -> str:
    return text.removeprefix(KEY_MARK).partition("_")[0][:16]


def key_digest(text: str) -> str:
    """A plain hash: the secret has 256 random bits, which no dictionary helps to guess."""
    return hashlib.sha256(text.encode()).hexdigest()


def _tell(kind: str, key: ApiKey, actor: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=key.organization_id,
        project_id=key.project_id,
        subject=f"api_key:{key.pk}",
        actor=actor,
        prefix=key.prefix,
        owner=str(key.user),
        **data,
    )
