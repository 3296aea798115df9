"""Writes to invitations: links by which people join an organization."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Invitation, Membership, Organization, Role, User
from apps.accounts.services import membership_set
from apps.accounts.user_services import user_create
from apps.core.errors import BadInput, Conflict, Forbidden, NotFound
from apps.events.bus import emit

LIFE = 7 * 24 * 3600  # seconds
MOST_SECONDS = 90 * 24 * 3600


@transaction.atomic
def invitation_create(
    *, organization: Organization, role: str, by: User, email: str = "", expires_in: int = LIFE
) -> tuple[Invitation, str]:
    """An invitation and the token of its link, which is not kept. `expires_in` is in seconds."""
    if role not in Role.values:
        raise BadInput(f"{role!r} is no role.", hint="Use one of: " + ", ".join(Role.values) + ".")
    if not 60 <= expires_in <= MOST_SECONDS:
        raise BadInput("An invitation is good for a minute to 90 days.", details={"field": "expires_in"})
    email = email.strip().lower()
    try:
        if email:
            validate_email(email)
    except ValidationError as error:
        raise BadInput(" ".join(error.messages), details={"field": "email"}) from None
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        organization=organization,
        email=email,
        role=role,
        digest=_digest(token),
        invited_by=by,
        expires_at=timezone.now() + timedelta(seconds=expires_in),
    )
    _tell("invitation.created", invitation, str(by), email=email, role=role)
    return invitation, token


@transaction.atomic
def invitation_revoke(*, invitation: Invitation, actor: str = "") -> bool:
    """Make the link good for nothing; False if it was already."""
    revoked = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if revoked:
        _tell("invitation.revoked", invitation, actor)
    return bool(revoked)


def invitation_find(token: str) -> Invitation:
    """The open invitation of a link; NotFound if it was used, revoked, is too old or never was."""
    rows = Invitation.objects.select_related("organization")
    found: Invitation | None = rows.filter(digest=_digest(token)).first()
    if found is None or found.state != "open":
        raise NotFound(
            "This invitation is not open any more.", hint="Ask whoever sent it to you for another one."
        )
    return found


@transaction.atomic
def invitation_accept(*, token: str, user: User) -> Membership:
    """Join with an account that one has; a member keeps the role they have."""
    invitation = invitation_find(token)
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # of two links of theirs the first counts
    if Membership.objects.filter(user=user, organization=invitation.organization).exists():
        raise Conflict(f"You are a member of {invitation.organization} already.")
    if invitation.email and invitation.email != user.email.lower():
        raise Forbidden(
            "This invitation is for another e-mail address than that of your account.",
            hint="Ask for one to your address, or for one without an address.",
        )
    _use(invitation, user)
    return membership_set(
        user=user, organization=invitation.organization, role=invitation.role, actor=str(user)
    )


@transaction.atomic
def invitation_register(*, token: str, username: str, password: str) -> User:
    """Join with a new account."""
    invitation = invitation_find(token)
    user = user_create(
        username=username,
        password=password,
        organization=invitation.organization,
        role=invitation.role,
        email=invitation.email,
        actor=username,
    )
    _use(invitation, user)
    return user


def _use(invitation: Invitation, user: User) -> None:
    used = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        accepted_at=timezone.now(), accepted_by=user
    )
    if not used:  # somebody was quicker with the same link
        raise Conflict("This invitation was used already.")
    _tell("invitation.accepted", invitation, str(user), role=invitation.role)


def _tell(kind: str, invitation: Invitation, actor: str, **data: str) -> None:
    emit(
        kind,
        organization_id=invitation.organization_id,
        subject=f"invitation:{invitation.pk}",
        actor=actor,
        email=data.get("email", invitation.email),
        role=data.get("role", invitation.role),
    )


def _digest(token: str) -> str:
    """A plain hash: a token has 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
