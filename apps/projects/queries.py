"""Which projects somebody may read, for lists of what hangs off them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apps.accounts.models import User
from apps.accounts.permissions import rows_with
from apps.core.lookup import PLACE, Statement
from apps.core.tenancy import Access, access_of
from apps.projects.models import Project

FEW = 100


def projects_readable(user: Any, permission: str) -> list[int] | None:
    """Ids of the projects in which the person holds the permission; None where these are many."""
    if not isinstance(user, User) or not user.is_active:
        return []
    statement = _statement(access_of(user), permission, user.is_superuser)
    found = [row[0] for row in statement.fetch(user.pk)] if statement else []
    return found if len(found) <= FEW else None


@lru_cache(maxsize=256)
def _statement(access: Access, permission: str, is_superuser: bool) -> Statement | None:
    """Built once: the ORM takes many times as long to build it as the database to run it."""
    anybody = User(pk=PLACE, is_active=True, is_superuser=is_superuser)
    anybody.access = access
    rows = rows_with(anybody, permission, Project.objects.for_user(anybody), "organization_id")
    return Statement.of(rows.order_by("pk").values("pk")[: FEW + 1])
