"""Provider keys at rest: sealed with LOOM_ENCRYPTION_KEY, or with a key derived from the secret key."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from apps.core.masking import secrets_note
from apps.providers.errors import Unauthorized


def is_sendable(key: str) -> bool:
    """Whether a key can stand in a header; an error about one that cannot would quote it."""
    return key.isascii() and key.isprintable() and " " not in key


def seal(key: str) -> str:
    """Encrypt; an empty key stays empty."""
    secrets_note(key)
    return _box(*_secrets()).encrypt(key.encode()).decode("ascii") if key else ""


def unseal(sealed: str) -> str:
    """Decrypt. Raises Unauthorized if it was sealed with an encryption key we no longer have."""
    key = _unseal(sealed, *_secrets()) if sealed else ""
    secrets_note(key)
    return key


def _secrets() -> tuple[str, ...]:
    """The first one seals, all of them open: LOOM_ENCRYPTION_KEY may list old ones after the new one."""
    given = os.environ.get("LOOM_ENCRYPTION_KEY", "").split(",")
    return (*(secret.strip() for secret in given if secret.strip()), str(settings.SECRET_KEY))


@cache
def _box(*secrets: str) -> MultiFernet:
    return MultiFernet([Fernet(_derived(secret)) for secret in secrets])


@cache
def _unseal(sealed: str, *secrets: str) -> str:
    try:
        return _box(*secrets).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unauthorized(
            "The stored API key cannot be read: it was encrypted with another key.",
            hint="Enter the API key again, or bring back the old LOOM_ENCRYPTION_KEY or LOOM_SECRET_KEY.",
        ) from None


def _derived(secret: str) -> bytes:
    digest = hashlib.sha256(b"loom.providers.keys:" + secret.encode()).digest()
    return base64.urlsafe_b64encode(digest)
