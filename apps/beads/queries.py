"""Sets of beads that lists ask for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast, Lower

from apps.beads.models import Bead, Dependency
from apps.core.errors import BadInput


def ready_or_not(rows: QuerySet[Bead], wanted: bool) -> QuerySet[Bead]:
    ready = Bead.objects.ready().values("pk")
    return rows.filter(pk__in=ready) if wanted else rows.exclude(pk__in=ready)


def held_up(rows: QuerySet[Bead]) -> QuerySet[Bead]:
    """What waits for a person, and open beads that wait for others."""
    waits = Dependency.objects.filter(bead=OuterRef("pk"), kind=Dependency.Kind.BLOCKS)
    waits = waits.exclude(blocker__status=Bead.Status.CLOSED)
    return rows.filter(Q(status=Bead.Status.BLOCKED) | Q(Exists(waits), status=Bead.Status.OPEN))


def tagged(rows: QuerySet[Bead], tags: Collection[str]) -> QuerySet[Bead]:
    """Beads with any of these labels; by the list's text, as SQLite cannot look into it."""
    narrowed = Q()
    for tag in tags:
        for text in {json.dumps(tag), json.dumps(tag, ensure_ascii=False)}:
            narrowed |= Q(labels_as_text__contains=text)
    return rows.annotate(labels_as_text=Cast("labels", TextField())).filter(narrowed)


def beads_named(project_id: int, keys: Iterable[str], *, field: str) -> list[Bead]:
    """Beads of a project by their keys in any case; BadInput, naming the field, where there is none."""
    wanted = list(dict.fromkeys(key.strip().lower() for key in keys))
    rows = Bead.objects.filter(project_id=project_id).select_related("project").annotate(lower=Lower("key"))
    known = {bead.key.lower(): bead for bead in rows.filter(lower__in=wanted)}
    if unknown := [key for key in wanted if key not in known]:
        raise BadInput(f"This project has no bead {unknown[0][:60]!r}.", details={"field": field})
    return [known[key] for key in wanted]
