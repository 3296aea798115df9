"""Writes to organizations, users and memberships."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from apps.accounts.models import Membership, Organization, Role, User
from apps.core.errors import BadInput
from apps.events.bus import emit

DEFAULT_ORGANIZATION = "local"


@transaction.atomic
def organization_ensure(*, name: str) -> Organization:
    """The organization of that name, created if missing."""
    slug = slugify(name)[:60]
    if not slug:
        raise BadInput(f"{name!r} is no name for an organization.", hint="Use letters or digits.")
    organization, created = Organization.objects.get_or_create(
        slug=slug, defaults={"name": name.strip()[:200]}
    )
    if created:
        emit(
            "organization.created", organization_id=organization.pk, subject=f"organization:{slug}", name=name
        )
    return organization


@transaction.atomic
def membership_set(*, user: User, organization: Organization, role: str, actor: str = "") -> Membership:
    if role not in Role.values:
        raise BadInput(f"{role!r} is no role.", hint="Use one of: " + ", ".join(Role.values) + ".")
    membership, _ = Membership.objects.update_or_create(
        user=user, organization=organization, defaults={"role": role}
    )
    emit("membership.set", organization_id=organization.pk, subject=f"user:{user.pk}", actor=actor, role=role)
    return membership


@transaction.atomic
def membership_remove(*, membership: Membership, actor: str = "") -> None:
    """Take a person out of an organization; the account stays."""
    removed, _ = Membership.objects.filter(pk=membership.pk).delete()
    if removed:
        emit(
            "membership.removed",
            organization_id=membership.organization_id,
            subject=f"user:{membership.user_id}",
            actor=actor,
            role=membership.role,
        )


@transaction.atomic
def admin_ensure() -> str | None:
    """Create the first administrator; the generated password, or None if there is one already."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(15)
    try:
        with transaction.atomic():
            user = User.objects.create_superuser("admin", email="admin@localhost", password=password)
    except IntegrityError:  # another process starts for the first time too, or somebody took the name
        return None
    organization = organization_ensure(name=DEFAULT_ORGANIZATION)
    membership_set(user=user, organization=organization, role=Role.ADMIN, actor="first start")
    return password
