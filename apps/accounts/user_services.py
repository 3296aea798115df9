"""Writes to people's accounts, which may belong to several organizations."""

from __future__ import annotations

import secrets
from typing import Any, Final

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.backends import MAX_PASSWORD, password_confirm
from apps.accounts.login_services import logins_end, sessions_end
from apps.accounts.models import ApiKey, Membership, Organization, Role, User
from apps.accounts.permissions import organizations_with
from apps.accounts.services import admin_keep, invitations_end, membership_set
from apps.core.errors import BadInput, Conflict, Forbidden, Unauthenticated
from apps.core.storable import storable_text
from apps.events.bus import Fact, emit, emit_all

EMAIL_CHANGED: Final = "user.email_changed"


@transaction.atomic
def user_create(
    *,
    username: str,
    password: str | None,
    organization: Organization,
    role: str = Role.USER,
    email: str = "",
    actor: str = "",
) -> User:
    """A new account in an organization; without a password it can be used by API keys only."""
    name = User.normalize_username(storable_text(username).strip())
    user = User(username=name, email=email.strip().lower())
    try:
        User.username_validator(user.username)
        if user.email:
            validate_email(user.email)
    except ValidationError as error:
        raise BadInput(" ".join(error.messages), details={"field": "username"}) from None
    if not 0 < len(user.username) <= 150:
        raise BadInput("A user name has 1 to 150 characters.", details={"field": "username"})
    if User.objects.filter(username__iexact=user.username).exists():  # nobody passes for "Ann" as "ann"
        raise _taken(user)
    if password is not None:
        password_check(password, user)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        raise _taken(user) from None
    membership_set(user=user, organization=organization, role=role, actor=actor)
    user_tell("user.created", user, actor, username=user.username, role=role)
    return user


def _taken(user: User) -> Conflict:
    return Conflict(f"The user name {user.username!r} is taken.", details={"field": "username"})


@transaction.atomic
def user_update(*, user: User, email: str, actor: str = "") -> User:
    """By those who administer the account, or where nobody confirms: in force at once."""
    email, before = email_read(email), user.email
    User.objects.filter(pk=user.pk).update(email=email, pending_email="", updated_at=timezone.now())
    user_tell("user.updated", user, actor, fields=["email"])
    if before not in {"", email}:  # told to no organization: the address is the person's own affair
        emit(
            EMAIL_CHANGED, organization_id=None, subject=f"user:{user.pk}", actor=actor,
            account=user.pk, before=before,
        )  # fmt: skip
    user.refresh_from_db()
    return user


def email_read(text: str) -> str:
    """An address as it is kept; BadInput if it is none."""
    email = text.strip().lower()
    try:
        if email:
            validate_email(email)
    except ValidationError as error:
        raise BadInput(" ".join(error.messages), details={"field": "email"}) from None
    return email


@transaction.atomic
def user_deactivate(*, user: User, actor: str = "") -> bool:
    """Close an account: sessions, logins and keys end at once; False if it was closed."""
    for membership in Membership.objects.filter(user=user, role=Role.ADMIN).select_related("organization"):
        admin_keep(organization=membership.organization, without=user)
    closed = User.objects.filter(pk=user.pk, is_active=True).update(
        is_active=False, updated_at=timezone.now()
    )
    if closed:
        logins_end(user=user, reason="deactivated")
        sessions_end(user=user)  # else they would go on once the account is opened again
        invitations_end(by=user, actor=actor)
        ApiKey.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
        user_tell("user.deactivated", user, actor)
    return bool(closed)


@transaction.atomic
def user_activate(*, user: User, actor: str = "") -> bool:
    """Open a closed account again; its keys stay revoked."""
    opened = User.objects.filter(pk=user.pk, is_active=False).update(
        is_active=True, updated_at=timezone.now()
    )
    if opened:
        user_tell("user.activated", user, actor)
    return bool(opened)


@transaction.atomic
def password_change(*, user: User, current: str, new: str) -> None:
    """By the person; all logins and other sessions end. Raises Unauthenticated if `current` is wrong."""
    if not password_confirm(user, current):
        raise Unauthenticated("The current password is not right.")
    if new == current:
        raise BadInput("This is the password you have.", details={"field": "new_password"})
    _password_set(user, new, actor=str(user), kind="user.password_changed")


@transaction.atomic
def password_reset(*, user: User, new: str | None = None, actor: str = "") -> str:
    """By an administrator; the new password, made up if none is given. All logins and sessions end."""
    password = new if new is not None else secrets.token_urlsafe(15)
    _password_set(user, password, actor=actor, kind="user.password_reset")
    return password


def password_check(password: str, user: User) -> None:
    """BadInput, saying all that is wrong with it, unless the password follows the rules."""
    if len(password) > MAX_PASSWORD:
        raise BadInput(f"A password has {MAX_PASSWORD} characters at most.", details={"field": "password"})
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise BadInput(" ".join(error.messages), details={"field": "password"}) from None


def account_manage_require(*, manager: User, user: User, permission: str) -> None:
    """Forbidden unless the manager holds the permission in all organizations of the account.

    With a new password one could act as its owner elsewhere too.
    """
    if manager.is_superuser:
        return
    theirs = set(Membership.objects.filter(user=user).values_list("organization_id", flat=True))
    if user.is_superuser or user.is_staff or not theirs <= set(organizations_with(manager, permission)):
        raise Forbidden(
            "This account is not yours alone to change: it belongs to another organization too, or is staff.",
            hint="Remove the person from your organization instead.",
        )


def _password_set(user: User, password: str, *, actor: str, kind: str) -> None:
    password_check(password, user)
    user.set_password(password)
    User.objects.filter(pk=user.pk).update(password=user.password, updated_at=timezone.now())
    logins_end(user=user, reason="password changed")
    sessions_end(user=user)  # their old hash ends them too, but they would be listed as signed in
    user_tell(kind, user, actor)


def user_tell(kind: str, user: User, actor: str, **data: Any) -> None:
    """An event about an account, in each organization of the person."""
    organizations: list[int | None] = list(user.memberships.values_list("organization_id", flat=True))
    emit_all(
        Fact(kind, organization_id, subject=f"user:{user.pk}", actor=actor, data=data)
        for organization_id in organizations or [None]
    )
