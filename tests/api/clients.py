"""People of an organization at the API."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_set


def person(name: str, organization: Organization, role: str = Role.USER) -> User:
    user = User.objects.create_user(username=name)
    membership_set(user=user, organization=organization, role=role)
    return user


def client_of(name: str | User, organization: Organization, role: str = Role.USER) -> Client:
    client = Client()
    client.force_login(name if isinstance(name, User) else person(name, organization, role))
    return client


def send(client: Client, method: str, at: str, body: Any = None, **headers: str) -> Any:
    """A request to /api/v1/; headers as keywords: `if_match="..."`."""
    raw = "" if body is None else json.dumps(body)
    return client.generic(method.upper(), f"/api/v1/{at}", raw, "application/json", headers=headers)
