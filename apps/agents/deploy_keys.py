"""Deploy keys: a pair made here for one project's remote. Only the public half is ever shown."""

from __future__ import annotations

import re
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction

from apps.agents.merge_models import MergePolicy, policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project

_SSH = re.compile(r"ssh://|[\w.-]+@[\w.-]+:")


def auth_method(policy: MergePolicy) -> str:
    """How the remote is reached, in the contract's words."""
    if _SSH.match(policy.remote):
        return "ssh"
    if not policy.credential_sealed:
        return "none"
    return "basic" if policy.username else "token"


def deploy_key_of(project: Project) -> dict[str, Any]:
    policy = policy_of(project.pk)
    if not policy.public_key:
        raise NotFound(f"{project.name} has no deploy key yet.", hint="POST makes one.")
    return _body(policy, rotated=False)


@transaction.atomic
def deploy_key_make(*, project: Project, actor: str = "") -> dict[str, Any]:
    """A new pair instead of the old credential: from now on fetches and pushes use it."""
    policy = policy_of(project.pk)
    if policy.remote and auth_method(policy) != "ssh":
        raise BadInput(
            "The remote is not reached by SSH, so a deploy key is of no use.",
            hint="Set it to ssh://host/path or user@host:path (PATCH merge-policy) first.",
        )
    had_one = bool(policy.public_key)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    policy = merge_policy_set(
        project=project,
        actor=actor,
        credential=private.decode(),
        public_key=f"{public.decode()} loom-{project.slug}",
    )
    return _body(policy, rotated=had_one)


def _body(policy: MergePolicy, *, rotated: bool) -> dict[str, Any]:
    return {
        "project_id": str(policy.project_id),
        "auth_method": auth_method(policy) if policy.remote else "ssh",
        "public_key": policy.public_key,
        "rotated": rotated,
    }
