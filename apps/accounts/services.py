"""Writes to organizations, users and memberships."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from apps.accounts.models import ApiKey, Invitation, Membership, Organization, PeopleGroup, Role, User
from apps.core.errors import BadInput, Conflict
from apps.core.tenancy import access_of
from apps.events.bus import emit

DEFAULT_ORGANIZATION = "local"


def slug_of(name: str) -> str:
    """An organization is known by how its name is spelled in addresses."""
    return slugify(name)[:60]


@transaction.atomic
def organization_ensure(*, name: str) -> Organization:
    """The organization of that name, created if missing."""
    slug = slug_of(name)
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
def organization_create(*, name: str, owner: User) -> Organization:
    """A new organization with its first administrator; Conflict if there is one of that name."""
    if Organization.objects.filter(slug=slug_of(name)).exists():
        raise Conflict("There is an organization of that name, or one that is spelled alike.")
    organization = organization_ensure(name=name)
    membership_set(user=owner, organization=organization, role=Role.ADMIN, actor=str(owner))
    return organization


@transaction.atomic
def organization_rename(*, organization: Organization, name: str, actor: str = "") -> Organization:
    """Another name; the slug in addresses stays."""
    if not (name := name.strip()[:200]) or not slugify(name):
        raise BadInput(f"{name!r} is no name for an organization.", hint="Use letters or digits.")
    Organization.objects.filter(pk=organization.pk).update(name=name, updated_at=timezone.now())
    emit(
        "organization.renamed",
        organization_id=organization.pk,
        subject=f"organization:{organization.slug}",
        actor=actor,
        name=name,
    )
    organization.refresh_from_db()
    return organization


@transaction.atomic
def membership_set(*, user: User, organization: Organization, role: str, actor: str = "") -> Membership:
    if role not in Role.values:
        raise BadInput(f"{role!r} is no role.", hint="Use one of: " + ", ".join(Role.values) + ".")
    if role != Role.ADMIN:
        admin_keep(organization=organization, without=user)
    membership, _ = Membership.objects.update_or_create(
        user=user, organization=organization, defaults={"role": role}
    )
    if role != Role.ADMIN:
        invitations_end(by=user, organization=organization, actor=actor)
    emit("membership.set", organization_id=organization.pk, subject=f"user:{user.pk}", actor=actor, role=role)
    return membership


@transaction.atomic
def invitations_end(*, by: User, organization: Organization | None = None, actor: str = "") -> None:
    """Close the open links of somebody who may invite nobody any more: they could come back by one."""
    if by.is_superuser and by.is_active:
        return
    links = Invitation.objects.filter(invited_by=by, accepted_at=None, revoked_at=None)
    if organization is not None:
        links = links.filter(organization=organization)
    for link in links.select_for_update(no_key=True):
        Invitation.objects.filter(pk=link.pk).update(revoked_at=timezone.now())
        emit(
            "invitation.revoked",
            organization_id=link.organization_id,
            subject=f"invitation:{link.pk}",
            actor=actor,
            email=link.email,
            role=link.role,
        )


def admin_keep(*, organization: Organization, without: User) -> None:
    """Conflict if this person is the last who can administer the organization; locks out a second try."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    admins = Membership.objects.filter(organization=organization, role=Role.ADMIN)
    is_one = admins.filter(user=without).exists()
    if is_one and not admins.exclude(user=without).filter(user__is_active=True).exists():
        raise Conflict(
            f"{without} is the last administrator of {organization}.",
            hint="Make somebody else an administrator first.",
        )


@transaction.atomic
def membership_remove(*, membership: Membership, actor: str = "") -> None:
    """Take a person out of an organization; the account stays.

    Their keys, groups, open invitations and shares of that organization go.
    """
    admin_keep(organization=membership.organization, without=membership.user)
    removed, _ = Membership.objects.filter(pk=membership.pk).delete()
    if removed:
        mine = {"user_id": membership.user_id, "organization_id": membership.organization_id}
        ApiKey.objects.filter(**mine, revoked_at=None).update(revoked_at=timezone.now())
        groups = PeopleGroup.objects.filter(organization_id=membership.organization_id)
        membership.user.groups.remove(*groups.values_list("group_id", flat=True))
        shares: Any = User._meta.get_field("project_shares").related_model
        shares.objects.filter(
            user=membership.user, content_object__organization=membership.organization
        ).delete()
        invitations_end(by=membership.user, organization=membership.organization, actor=actor)
        emit(
            "membership.removed",
            organization_id=membership.organization_id,
            subject=f"user:{membership.user_id}",
            actor=actor,
            role=membership.role,
        )


@transaction.atomic
def group_create(*, organization: Organization, name: str, actor: str = "") -> PeopleGroup:
    """A group of people of one organization; Conflict if there is one of that name."""
    if not (name := name.strip()[:80]):
        raise BadInput("A group needs a name.", details={"field": "name"})
    try:
        with transaction.atomic():
            group = Group.objects.create(name=f"{organization.slug}/{name}"[:150])
            people = PeopleGroup.objects.create(organization=organization, name=name, group=group)
    except IntegrityError:
        raise Conflict(f"There is a group {name!r} already.", details={"field": "name"}) from None
    _group_tell("group.created", people, actor)
    return people


@transaction.atomic
def group_delete(*, people: PeopleGroup, actor: str = "") -> None:
    """The group and what was shared with it; its people stay."""
    _group_tell("group.deleted", people, actor)
    people.group.delete()


@transaction.atomic
def group_member_add(*, people: PeopleGroup, user: User, actor: str = "") -> None:
    if not Membership.objects.filter(user=user, organization_id=people.organization_id).exists():
        raise BadInput(f"{user} is no member of {people.organization}.")
    people.group.user_set.add(user)
    _group_tell("group.member_added", people, actor, user=str(user))


@transaction.atomic
def group_member_remove(*, people: PeopleGroup, user: User, actor: str = "") -> None:
    people.group.user_set.remove(user)
    _group_tell("group.member_removed", people, actor, user=str(user))


def _group_tell(kind: str, people: PeopleGroup, actor: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=people.organization_id,
        subject=f"group:{people.pk}",
        actor=actor,
        name=people.name,
        **data,
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


@transaction.atomic
def request_tell(*, user: User, method: str, path: str, status: int) -> None:
    """A change through a page or the API, told by itself since nothing else told of it."""
    organization_id = access_of(user).organization_id
    if organization_id is None:
        mine = user.memberships.order_by("pk").values_list("organization_id", flat=True)
        organization_id = mine.first()
    emit(
        "request.made",
        organization_id=organization_id,
        subject=f"user:{user.pk}",
        actor=str(user),
        method=method,
        path=path[:500],
        status=status,
    )
