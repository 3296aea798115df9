"""The keys of all providers, for masking: no process shows one, also if it never uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from apps.core.errors import LoomError
from apps.core.masking import secrets_source
from apps.providers.keys import unseal
from apps.providers.models import Provider


@secrets_source
def provider_keys() -> Iterator[str]:
    for sealed in Provider.objects.exclude(sealed_key="").values_list("sealed_key", flat=True):
        with suppress(LoomError):  # sealed with a key that we no longer have: nobody can show it
            yield unseal(sealed)
