"""An organization and somebody of it at the API, without anybody who starts to work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from apps.accounts.models import Organization
from apps.accounts.services import organization_ensure
from apps.engine import doorbell
from tests.api.clients import client_of
from tests.silence import nobody_reacts

__all__ = ["nobody_reacts"]


@pytest.fixture(autouse=True)
def quiet_doorbell() -> Iterator[None]:
    doorbell.use(lambda _: None)
    yield
    doorbell.use(None)


@pytest.fixture
def ours(db: None) -> Organization:
    return organization_ensure(name="ours")


@pytest.fixture
def client(ours: Organization) -> Client:
    return client_of("ann", ours)
