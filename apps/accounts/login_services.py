"""Writes to logins of programs: beginning one, renewing its tokens, ending it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts.models import BrowserSession, Login, Membership, Organization, Role, User
from apps.accounts.permissions import permissions_of
from apps.accounts.tokens import ACCESS, REFRESH, BadToken, token_read, token_sign
from apps.core.errors import NotFound, Unauthenticated
from apps.core.origin import origin_current
from apps.events.bus import emit

BATCH = 500
MOST_TRIMMED = 10_000  # of each kind at once
KEPT = timedelta(days=30)  # a login after its end, for people who look back; events tell of it longer
ROLES = (Role.ADMIN, Role.USER, Role.VIEWER, Role.SERVICE)  # the one that allows most first


@dataclass(frozen=True)
class Tokens:
    """What a program gets; the lives are in seconds."""

    access: str
    access_seconds: int
    refresh: str
    refresh_seconds: int


def organization_named(person: User, named: str) -> Organization | None:
    """One of the person's organizations, by id or slug; without a name the only one they have, or none."""
    mine = Organization.objects.for_user(person)
    if not named:
        member_of = list(mine.filter(memberships__user=person)[:2])
        return member_of[0] if len(member_of) == 1 and not person.is_superuser else None
    is_number = named.isascii() and named.isdigit() and len(named) < 19
    found = mine.filter(**{"pk" if is_number else "slug": named}).first()
    if found is None:
        raise NotFound(f"There is no organization {named[:80]!r}.")
    return found


@transaction.atomic
def tokens_give(*, person: User, organization: Organization | None = None) -> Tokens:
    """Begin a login of somebody who has shown who they are."""
    origin, now = origin_current(), timezone.now()
    login = Login.objects.create(
        user=person,
        organization=organization,
        address=origin.address if origin else "",
        user_agent=origin.user_agent if origin else "",
        expires_at=now + timedelta(seconds=settings.LOOM_REFRESH_SECONDS),
    )
    User.objects.filter(pk=person.pk).update(last_login=now)
    _tell("login.succeeded", login)
    return _tokens(login)


def tokens_renew(*, refresh: str) -> Tokens:
    """New tokens for the newest refresh token of a login; one that was used before ends the login."""
    try:
        claims = token_read(refresh, REFRESH)
    except BadToken as error:
        raise Unauthenticated(str(error)) from None
    login_id, rotation = uuid.UUID(claims["sid"]), claims["rotation"]
    with transaction.atomic():
        renewed = (
            Login.objects.valid()
            .filter(pk=login_id, rotation=rotation)
            .update(rotation=F("rotation") + 1, refreshed_at=timezone.now())
        )
        login = Login.objects.select_related("user", "organization").filter(pk=login_id).first()
        if renewed and login is not None:
            _tell("login.refreshed", login)
            return _tokens(login)
        if login is not None and login.rotation != rotation:
            _end(login, "refresh token used twice")
    raise Unauthenticated("The login of this token has ended. Log in again.")


@transaction.atomic
def login_switch(*, login_id: uuid.UUID | str, organization: Organization | None) -> Tokens:
    """New tokens of the same login for another organization, or for all of them.

    Not a login of its own: that would outlive the one whose token was shown.
    """
    switched = (
        Login.objects.valid()
        .filter(pk=login_id)
        .update(organization=organization, rotation=F("rotation") + 1, refreshed_at=timezone.now())
    )
    if not switched:
        raise Unauthenticated("The login of this token has ended. Log in again.")
    login = Login.objects.select_related("user", "organization").get(pk=login_id)
    _tell("login.switched", login)
    return _tokens(login)


@transaction.atomic
def login_end(*, login_id: uuid.UUID | str, reason: str = "logout") -> bool:
    """End a login with all its tokens; False if it had ended already."""
    login = Login.objects.select_related("user").filter(pk=login_id).first()
    return login is not None and _end(login, reason)


@transaction.atomic
def logins_end(*, user: User, reason: str) -> int:
    """End all logins of a person, such as after a change of the password; how many."""
    open_ones = Login.objects.select_related("user").filter(user=user, ended_at=None)
    return sum(_end(login, reason) for login in open_ones)


@transaction.atomic
def everywhere_end(*, user: User, keep: str = "") -> int:
    """Sign a person out of all programs and browsers but the one with the session `keep`; how many."""
    count, browsers = (
        logins_end(user=user, reason="signed out everywhere"),
        sessions_end(user=user, keep=keep),
    )
    if browsers:
        _tell_browsers(user, browsers, "signed out everywhere")
    return count + browsers


@transaction.atomic
def session_end(*, user: User, mark: str) -> bool:
    """Sign a person out of one browser; False if it was signed out already, or is not theirs."""
    ended = [row.pk for row in BrowserSession.objects.alive(user) if constant_time_compare(row.mark, mark)]
    if not BrowserSession.objects.filter(pk__in=ended).delete()[0]:
        return False
    _tell_browsers(user, 1, "ended by its owner")
    return True


def sessions_end(*, user: User, keep: str = "") -> int:
    """End a person's browser sessions but `keep`; how many."""
    return BrowserSession.objects.alive(user).exclude(session_key=keep).delete()[0]


def _tell_browsers(user: User, count: int, reason: str) -> None:
    emit(
        "login.ended",
        organization_id=user.memberships.values_list("organization_id", flat=True).first(),
        subject=f"user:{user.pk}",
        actor=str(user),
        reason=reason,
        browsers=count,
    )


def logins_trim() -> int:
    """Delete sessions of browsers that have run out, and logins of programs a while later; how many."""
    now = timezone.now()
    old: tuple[Any, ...] = (
        BrowserSession.objects.filter(expire_date__lte=now).order_by("expire_date"),
        Login.objects.filter(expires_at__lte=now - KEPT).order_by("expires_at"),
    )
    count = 0
    for rows in old:
        doomed = list(rows.values_list("pk", flat=True)[:MOST_TRIMMED])
        for start in range(0, len(doomed), BATCH):
            count += rows.model.objects.filter(pk__in=doomed[start : start + BATCH]).delete()[0]
    return count


def _end(login: Login, reason: str) -> bool:
    ended = Login.objects.filter(pk=login.pk, ended_at=None).update(
        ended_at=timezone.now(), end_reason=reason
    )
    if ended:
        _tell("login.ended", login, reason=reason)
    return bool(ended)


def _tell(kind: str, login: Login, **data: Any) -> None:
    emit(
        kind,
        organization_id=login.organization_id,
        subject=f"user:{login.user_id}",
        actor=str(login.user),
        login=str(login.pk),
        **data,
    )


def role_of(user: User, organization: Organization | None = None) -> str:
    """The role in an organization, else the most that the person has anywhere; superusers are admins."""
    if user.is_superuser:
        return Role.ADMIN
    held = Membership.objects.filter(user=user)
    if organization is not None:
        held = held.filter(organization=organization)
    roles = set(held.values_list("role", flat=True))
    return next((role for role in ROLES if role in roles), Role.VIEWER)


def _tokens(login: Login) -> Tokens:
    user, role = login.user, role_of(login.user, login.organization)
    access = token_sign(
        ACCESS,
        settings.LOOM_TOKEN_SECONDS,
        sid=str(login.pk),
        user_id=str(user.pk),
        username=user.username,
        role=role,
        permissions=permissions_of(role),
        organization=login.organization.slug if login.organization else None,
        jti=uuid.uuid4().hex,
    )
    left = round((login.expires_at - timezone.now()).total_seconds())
    refresh = token_sign(REFRESH, left, sid=str(login.pk), rotation=login.rotation)
    return Tokens(access, settings.LOOM_TOKEN_SECONDS, refresh, left)
