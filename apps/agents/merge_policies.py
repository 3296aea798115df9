"""Changing a project's rules of merging."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents.merge_models import MOST, MergePolicy
from apps.core.errors import BadInput
from apps.events.bus import emit
from apps.projects.models import Project
from apps.providers.keys import seal

CHOICES: dict[str, list[str]] = {
    "strategy": MergePolicy.Strategy.values,
    "tampering": MergePolicy.Tampering.values,
    "overlap": MergePolicy.Overlap.values,
}
PLAIN = {"batch_size", "remote", "username", "credential", "public_key"}
_REMOTE = re.compile(r"(?:https?|ssh)://[^\s/]+/\S+|[\w.-]+@[\w.-]+:(?!//)\S+")
_SECRET = re.compile(r"^\w+://[^/@\s]*:[^/@\s]+@")


@transaction.atomic
def merge_policy_set(*, project: Project, actor: str = "", **changes: Any) -> MergePolicy:
    """Change what is given; `credential` is kept encrypted and never comes back.

    `public_key` is that of a pair made here; another credential has none.
    """
    if unknown := sorted(set(changes) - set(CHOICES) - PLAIN):
        raise BadInput(f"{', '.join(unknown)} is no rule of merging.")
    Project.objects.locked(project.pk)
    policy, _ = MergePolicy.objects.get_or_create(project=project)
    fields = _checked({**changes})
    for name, value in fields.items():
        setattr(policy, name, value)
    if policy.strategy == MergePolicy.Strategy.BRANCH_PR and not policy.remote:
        raise BadInput("branch-pr needs a remote to push branches to.", details={"field": "remote"})
    MergePolicy.objects.filter(pk=policy.pk).update(**fields, updated_at=timezone.now())
    emit(
        "project.merge_policy",
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
        fields=sorted(changes),
    )
    return policy


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    for name, allowed in CHOICES.items():
        if name in changes and changes[name] not in allowed:
            raise BadInput(f"{name} is one of: {', '.join(allowed)}.", details={"field": name})
    size = changes.get("batch_size", 1)
    if not isinstance(size, int) or not 1 <= size <= MOST:
        raise BadInput(f"batch_size goes from 1 to {MOST}.", details={"field": "batch_size"})
    if "remote" in changes:
        changes["remote"] = remote_checked(str(changes["remote"]))
    if "credential" in changes:
        changes["credential_sealed"] = seal(str(changes.pop("credential")).strip())
        changes.setdefault("public_key", "")
    return changes


def remote_checked(address: str) -> str:
    """An address that git may be given; BadInput for one with a password in it, or on this machine."""
    address = address.strip()
    if _SECRET.match(address):
        raise BadInput(
            "The address holds a password.", hint="Give it as credential; it is kept encrypted then."
        )
    local = settings.LOOM_LOCAL_REMOTES and address.startswith(("/", "file:///"))
    if address and not local and not _REMOTE.fullmatch(address):
        raise BadInput(
            f"{address[:200]!r} is no address of a repository.",
            hint="Use https://host/path, ssh://host/path or user@host:path.",
            details={"field": "remote"},
        )
    return address
