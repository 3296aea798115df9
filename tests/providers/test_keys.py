"""API keys at rest: sealed, never shown, readable after a rotation."""

from __future__ import annotations

import pytest
from django.core import serializers

from apps.events.models import Event
from apps.providers.errors import Unauthorized
from apps.providers.keys import seal, unseal
from apps.providers.models import Provider
from apps.providers.services import provider_update
from tests.providers.conftest import MakeProvider

KEY = "sk-live-0123456789abcdef"


def test_a_sealed_key_opens_to_itself_and_shows_nothing() -> None:
    sealed = seal(KEY)
    assert unseal(sealed) == KEY
    assert "0123456789" not in sealed
    assert seal(KEY) != sealed, "equal keys do not look equal"
    assert (seal(""), unseal("")) == ("", "")


def test_an_old_encryption_key_listed_after_the_new_one_still_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    before = seal(KEY)
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "old passphrase")
    old = seal(KEY)
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "new passphrase, old passphrase")
    assert (unseal(old), unseal(before), unseal(seal(KEY))) == (KEY, KEY, KEY)
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "new passphrase")
    with pytest.raises(Unauthorized, match="cannot be read") as caught:
        unseal(old)
    assert "LOOM_ENCRYPTION_KEY" in caught.value.hint


@pytest.mark.parametrize("broken", ["x", "gAAAAAB", "ä", "0" * 100])
def test_what_was_never_sealed_is_refused(broken: str) -> None:
    with pytest.raises(Unauthorized):
        unseal(broken)


def test_the_key_of_a_provider_shows_nowhere(make_provider: MakeProvider) -> None:
    made = make_provider("http://127.0.0.1:9/v1", key=KEY)
    provider_update(provider_id=made.pk, key=KEY + "-new", name="renamed")
    row = Provider.objects.get(pk=made.pk)
    assert row.has_key
    assert row.reveal_key() == KEY + "-new"
    dumped = serializers.serialize("json", [row])
    told = "".join(str(event.data) + event.subject for event in Event.objects.all())
    assert "0123456789" not in dumped + told + repr(row) + str(row) + str(vars(row))


def test_an_empty_key_removes_the_stored_one_and_none_keeps_it(make_provider: MakeProvider) -> None:
    made = make_provider("http://127.0.0.1:9/v1", key=f"  {KEY}\n")
    assert made.reveal_key() == KEY, "pasted white space is not part of a key"
    assert provider_update(provider_id=made.pk, name="still").has_key
    assert not provider_update(provider_id=made.pk, key="").has_key
