"""Status changes by compare-and-swap: of two workers that try, one succeeds and the other is told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Model, QuerySet
from django.utils import timezone


def move(rows: QuerySet[Any], *, to: str, allowed: Collection[str], **fields: Any) -> bool:
    """Set `status` to `to` on the one row of `rows` if it is in `allowed`; False if it was not (any more)."""
    if _has_updated_at(rows.model):
        fields.setdefault("updated_at", timezone.now())
    return rows.filter(status__in=allowed).update(status=to, **fields) == 1


def _has_updated_at(model: type[Model]) -> bool:
    return any(field.name == "updated_at" for field in model._meta.concrete_fields)
