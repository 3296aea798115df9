"""Signed tokens (JWT, HS256): what is in them, and reading them back."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.utils import timezone

ISSUER, ALGORITHM = "loom", "HS256"
ACCESS, REFRESH, STREAM = "access", "refresh", "stream"
STREAM_SECONDS = 60


class BadToken(Exception):
    """Not ours, changed, too old or for something else; the text says which."""


def token_sign(use: str, seconds: int, **claims: Any) -> str:
    now = timezone.now()
    stamped = {"iss": ISSUER, "use": use, "iat": now, "exp": now + timedelta(seconds=seconds), **claims}
    return jwt.encode(stamped, _key(settings.SECRET_KEY), algorithm=ALGORITHM)


def token_read(token: str, use: str) -> dict[str, Any]:
    """The claims of a token made for this use; raises BadToken."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            _key(settings.SECRET_KEY),
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iat", "iss"]},
        )
    except jwt.ExpiredSignatureError:
        raise BadToken("The token has expired.") from None
    except jwt.InvalidTokenError:
        raise BadToken("The token is not valid.") from None
    if claims.get("use") != use:
        raise BadToken("The token is for something else.")
    return claims


def sealed(text: str) -> str:
    """The text as nobody can read it but `unsealed`: what is in a token is signed, and no secret."""
    return _cipher(settings.SECRET_KEY).encrypt(text.encode()).decode()


def unsealed(text: str) -> str:
    """What was `sealed`; empty if it was not, or under another key."""
    try:
        return _cipher(settings.SECRET_KEY).decrypt(text.encode()).decode()
    except InvalidToken:
        return ""


@cache
def _cipher(secret: str) -> Fernet:
    return Fernet(urlsafe_b64encode(_key(secret)))


@cache
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"loom.accounts.tokens:" + secret.encode()).digest()
