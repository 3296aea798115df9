"""What the API says of beads: JSON as the database makes it, without model instances.

A list of a hundred is two short queries; serializers would take several times as long as both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from django.db.models import F, QuerySet, TextField
from django.db.models.functions import Cast
from orjson import Fragment

from apps.beads.models import Bead, Comment, Dependency
from apps.core.lookup import Columns
from apps.core.sql import JsonObject, Rfc3339, direct

BODY = JsonObject(
    id=F("key"),
    **{name: F(name) for name in ("type", "title", "description", "status", "stage", "priority")},
    project_id=Cast("project_id", TextField()),
    **{name: F(name) for name in ("assigned_to", "role")},
    parent=F("parent__key"),
    tags=F("labels"),
    **{name: F(name) for name in ("acceptance", "paths", "context")},
    estimated_time=F("estimated_minutes"),
    **{name: F(name) for name in ("attempts", "blocked_reason", "close_reason", "merged_commit")},
    **{name: Rfc3339(name) for name in ("due_date", "created_at", "updated_at", "started_at", "closed_at")},
)
ROWS = Columns(Bead.objects.values_list("pk", BODY))  # all but the ties
AT_ONCE = 1000  # beads of one statement


def bead_fragments(rows: Sequence[tuple[Any, ...]]) -> list[Fragment]:
    """Beads as JSON, of rows as ROWS has them."""
    ties = ties_of([row[0] for row in rows])
    return [Fragment(f"{text[:-1]},{_tied(ties[pk]) if pk in ties else UNTIED}") for pk, text in rows]


def bead_fragments_of(ids: Sequence[int]) -> list[Fragment]:
    """The beads with these ids, in this order; those that are gone meanwhile are left out."""
    made: list[Fragment] = []
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        rows = ROWS.of(some)
        made += bead_fragments([rows[pk] for pk in some if pk in rows])
    return made


def bead_bodies(ids: Sequence[int]) -> list[dict[str, Any]]:
    """The same to be read here."""
    bodies: list[dict[str, Any]] = orjson.loads(orjson.dumps(bead_fragments_of(ids)))
    return bodies


# All in one statement, written by hand: the ORM would take longer to build three than they run.
TIES = """
SELECT d.kind, d.id, d.bead_id, d.blocker_id, b.key, k.key FROM beads_dependency d
  JOIN beads_bead b ON b.id = d.bead_id JOIN beads_bead k ON k.id = d.blocker_id
  WHERE d.bead_id IN ({ids}) OR d.blocker_id IN ({ids})
UNION ALL SELECT 'child', id, parent_id, id, key, '' FROM beads_bead WHERE parent_id IN ({ids})
UNION ALL SELECT 'requirement', r.position, t.bead_id, r.id, r.key, '' FROM beads_bead_requirements t
  JOIN projects_requirement r ON r.id = t.requirement_id WHERE t.bead_id IN ({ids})
ORDER BY 2
"""
TIED = ("blocked_by", "blocks", "related_to", "children", "requirements")


def _tied(ties: dict[str, list[str]]) -> str:
    """The end of a bead's JSON."""
    return orjson.dumps(ties).decode()[1:]


UNTIED = _tied({name: [] for name in TIED})


def ties_of(ids: Sequence[int]) -> dict[int, dict[str, list[str]]]:
    """Of each bead that has any: keys of those before, after, beside and below it, and of requirements."""
    if not ids:
        return {}
    own, ties = frozenset(ids), dict[int, dict[str, list[str]]]()
    with direct() as cursor:
        cursor.execute(TIES.format(ids=", ".join(["%s"] * len(ids))), [*ids] * 4)
        for kind, _, one, other, key, second in cursor.fetchall():
            for pk, name, tied in _ends(kind, one, other, key, second):
                if pk in own:
                    known = ties.setdefault(pk, {each: [] for each in TIED})[name]
                    known += [tied] if tied not in known else []
    return ties


def _ends(kind: str, one: int, other: int, key: str, second: str) -> tuple[tuple[int, str, str], ...]:
    if kind in {"child", "requirement"}:
        return ((one, "children" if kind == "child" else "requirements", key),)
    waits, holds = ("blocked_by", "blocks") if kind == Dependency.Kind.BLOCKS else ("related_to",) * 2
    return (one, waits, second), (other, holds, key)


def bead_body(bead_id: int) -> dict[str, Any]:
    return bead_bodies([bead_id])[0]


# -- work graph ---------------------------------------------------------------------------------------


def work_graph(beads: QuerySet[Bead]) -> dict[str, Any]:
    """`beads` by key, and `edges`: from the bead that waits, or stands below, to the other one."""
    bodies = bead_bodies(list(beads.order_by("id").values_list("pk", flat=True)))
    known = {body["id"] for body in bodies}
    edges = []
    for body in bodies:
        ends = [(other, "blocks") for other in body["blocked_by"]]
        ends += [(other, "related") for other in body["related_to"] if body["id"] < other]
        ends += [(body["parent"], "parent")] if body["parent"] else []
        edges += [
            {"from": body["id"], "to": other, "relationship": relationship}
            for other, relationship in ends
            if other in known
        ]
    updated = max((body["updated_at"] for body in bodies), default=None)
    return {"beads": {body["id"]: body for body in bodies}, "edges": edges, "updated_at": updated}


# -- comments -----------------------------------------------------------------------------------------


def comment_body(comment: Comment) -> dict[str, Any]:
    return {
        "id": str(comment.pk),
        "bead_id": comment.bead.key,
        "parent_id": str(comment.parent_id) if comment.parent_id else None,
        "author_id": str(comment.author_id or ""),
        "author_username": comment.author_name,
        "content": comment.content,
        "mentions": comment.mentions,
        "path": comment.path,
        "line": comment.line,
        "side": comment.side,
        "claim": comment.claim,
        "edited": comment.edited,
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "replies": [],
    }


def comment_tree(comments: Iterable[Comment]) -> list[dict[str, Any]]:
    """Comments with their replies below them, oldest first."""
    bodies = {str(comment.pk): comment_body(comment) for comment in comments}
    for body in bodies.values():
        if body["parent_id"] in bodies:
            bodies[body["parent_id"]]["replies"].append(body)
    return [body for body in bodies.values() if body["parent_id"] not in bodies]
