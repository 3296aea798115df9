"""Who asks: a token or an API key in the request's headers, else the browser's session.

The person found carries `access`, which narrows what they see and may do to what the credential reaches.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.request import Request

from apps.accounts.key_services import KEY_MARK, key_digest, key_prefix, key_used
from apps.accounts.models import ApiKey, BrowserSession, Login, Organization, User
from apps.accounts.tokens import (
    ACCESS,
    STREAM,
    STREAM_SECONDS,
    BadToken,
    sealed,
    token_read,
    token_sign,
    unsealed,
)
from apps.core import http
from apps.core.origin import address_of
from apps.core.tenancy import Access, access_of

LOGIN, KEY, SESSION = "login:", "key:", "session:"
USED_EVERY = timedelta(minutes=1)  # how exact an API key's `last_used_at` is


class HeaderAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token or API key>`, or `X-API-Key`; needs no CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        person = person_from(request.headers, address=address_of(request.META))
        return (person, access_of(person).credential) if person is not None else None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="loom"'


class SessionAuthentication(http.SessionAuthentication):
    """The session of the browser, which must send the CSRF token with what it changes."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found: tuple[Any, Any] | None = super().authenticate(request)
        if found is not None:
            organization_choose(found[0], request.headers.get("X-Organization", ""))
        return found


def person_from(headers: Mapping[str, str], *, address: str = "") -> User | None:
    """Whose token or key these headers carry; None without one, AuthenticationFailed if it is not good.

    A scheme that is not ours (a proxy's Basic) is left alone.
    """
    scheme, _, given = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        given = headers.get("X-API-Key", "")
    if not (given := given.strip()):
        if scheme.lower() == "bearer":
            raise AuthenticationFailed("The Authorization header holds no token.")
        return None
    person = _key_owner(given, address) if given.startswith(KEY_MARK) else _token_owner(given)
    organization_choose(person, headers.get("X-Organization", ""))
    return person


def organization_choose(person: User, named: str) -> None:
    """Narrow the person to one of their organizations, by id or slug; NotFound if it is none of theirs."""
    if not named:
        return
    field = "pk" if named.isascii() and named.isdigit() and len(named) < 19 else "slug"
    found = Organization.objects.for_user(person).filter(**{field: named}).first()
    if found is None:
        raise NotFound(f"There is no organization {named[:80]!r}.")
    _narrow(person, replace(access_of(person), organization_id=found.pk))


def person_renew(person: User) -> User | None:
    """The same person read anew, for what outlives its request; None if their access has ended meanwhile."""
    access = access_of(person)
    if access.credential.startswith(KEY):
        key = ApiKey.objects.valid().select_related("user").filter(pk=access.credential[len(KEY) :]).first()
        found = key.user if key is not None else None
    elif access.credential.startswith(LOGIN):
        login = (
            Login.objects.valid().select_related("user").filter(pk=access.credential[len(LOGIN) :]).first()
        )
        found = login.user if login is not None else None
    elif _session_ended(access):
        found = None
    else:
        # A session ends with the password it began with.
        found = User.objects.filter(pk=person.pk, is_active=True, password=person.password).first()
    return _narrow(found, access) if found is not None else None


def _session_ended(access: Access) -> bool:
    if not access.credential.startswith(SESSION):
        return False
    key = unsealed(access.credential.removeprefix(SESSION))
    return not BrowserSession.objects.filter(session_key=key, expire_date__gt=timezone.now()).exists()


def stream_token(person: User, *, session_key: str = "") -> str:
    """Opens a stream in the person's name within STREAM_SECONDS, as EventSource sends no headers.

    Of a browser's session, which is named here but cannot be read out, the stream ends with that session.
    """
    access = access_of(person)
    if session_key and not access.credential:
        access = replace(access, credential=f"{SESSION}{sealed(session_key)}")
    scopes = sorted(access.scopes) if access.scopes is not None else None
    return token_sign(
        STREAM,
        STREAM_SECONDS,
        user_id=person.pk,
        password=_fingerprint(person),
        access={**asdict(access), "scopes": scopes},
    )


def stream_person(token: str) -> User | None:
    """Whose stream token this is; None if it is not good, or their access has ended."""
    try:
        claims = token_read(token, STREAM)
    except BadToken:
        return None
    given = claims["access"]
    listed = given.pop("scopes")
    scopes = frozenset(listed) if listed is not None else None
    person = User.objects.filter(pk=claims["user_id"]).first()
    if person is None or not hmac.compare_digest(str(claims.get("password")), _fingerprint(person)):
        return (
            None  # the password was changed meanwhile, and with it whoever asked for the token was sent off
        )
    return person_renew(_narrow(person, Access(**given, scopes=scopes)))


def _fingerprint(person: User) -> str:
    return salted_hmac("loom.accounts.stream", person.password, algorithm="sha256").hexdigest()


def _token_owner(token: str) -> User:
    try:
        claims = token_read(token, ACCESS)
        login_id = uuid.UUID(str(claims.get("sid")))
    except (BadToken, ValueError) as error:
        raise AuthenticationFailed(str(error)) from None
    login = Login.objects.valid().select_related("user").filter(pk=login_id).first()
    if login is None:
        raise AuthenticationFailed("The login of this token has ended. Log in again.")
    return _narrow(login.user, Access(f"{LOGIN}{login.pk}", organization_id=login.organization_id))


def _key_owner(given: str, address: str) -> User:
    key = ApiKey.objects.select_related("user").filter(prefix=key_prefix(given)).first()
    digest = key.digest if key is not None else ""
    if key is None or not hmac.compare_digest(digest, key_digest(given)):
        raise AuthenticationFailed("There is no such API key.")
    now = timezone.now()
    if key.revoked_at is not None or not key.user.is_active:
        raise AuthenticationFailed("This API key was revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        raise AuthenticationFailed("This API key has expired.")
    if key.last_used_at is None or key.last_used_at < now - USED_EVERY:
        key_used(key=key, address=address)
    reach = Access(
        f"{KEY}{key.pk}", key.organization_id, key.project_id, frozenset(key.scopes), grants=key.grants
    )
    return _narrow(key.user, reach)


def _narrow(person: User, access: Access) -> User:
    person.access = access
    if access.is_key:
        person.is_superuser = False  # of this object only: a key never reaches all organizations
    return person
