"""Which rows a person may see: those of the organizations they belong to."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any])


def visible_to(user: Any, rows: Rows, path: str) -> Rows:
    """The rows of the user's organizations; `path` leads from a row to its organization's id.

    Superusers see all, visitors and accounts that were closed see nothing.
    """
    if not user.is_active:
        return rows.none()
    if user.is_superuser:
        return rows
    return rows.filter(**{f"{path}__in": user.memberships.values("organization_id")})
