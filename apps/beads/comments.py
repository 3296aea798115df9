"""Writes to the comments of beads."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Lower
from django.utils import timezone

from apps.accounts.models import User
from apps.beads.models import Bead, Comment
from apps.core.errors import BadInput, Forbidden
from apps.events.bus import Fact, emit_all

COMMENT_CHARS = 20_000
MOST_MENTIONS = 50
MENTION = re.compile(r"(?<![\w@./+-])@([\w][\w.+-]{0,149})")


def names_in(text: str) -> list[str]:
    """What stands after an @, in small letters and in the order of the text."""
    names = [found.rstrip(".-+").lower() for found in MENTION.findall(text)]
    return list(dict.fromkeys(names))[:MOST_MENTIONS]


def mentions_in(text: str, organization_id: int) -> list[User]:
    """Members whose names stand after an @, in the order of the text."""
    wanted = names_in(text)
    if not wanted:
        return []
    members = User.objects.filter(memberships__organization_id=organization_id, is_active=True)
    found = members.annotate(lower=Lower("username")).filter(lower__in=wanted)
    known = {user.username.lower(): user for user in found}
    return [known[name] for name in wanted if name in known]


@dataclass(frozen=True)
class Spot:
    """A line of a bead's change: of the file as it was (`old`) or as the claim has it (`new`)."""

    path: str
    line: int
    side: str = Comment.Side.NEW
    claim: int | None = None


@transaction.atomic
def comment_add(
    *, bead: Bead, author: User, content: str, parent: Comment | None = None, spot: Spot | None = None
) -> Comment:
    """Agents are told what is said about a line of their change, or to them after an @."""
    content = _checked(content)
    if parent is not None and parent.bead_id != bead.pk:
        raise BadInput("A reply belongs to a comment on the same bead.", details={"field": "parent_id"})
    mentioned = mentions_in(content, bead.project.organization_id)
    comment = Comment.objects.create(
        bead=bead,
        parent=parent,
        author=author,
        author_name=author.get_username(),
        content=content,
        mentions=[user.username for user in mentioned],
        **(asdict(spot) if spot else {}),
    )
    _tell(comment, "comment.created", mentioned)
    return comment


@transaction.atomic
def comment_edit(*, comment: Comment, actor: User, content: str) -> Comment:
    """Only its author changes a comment; who is mentioned anew is told."""
    _require_author(comment, actor)
    content = _checked(content)
    mentioned = mentions_in(content, comment.bead.project.organization_id)
    fresh = [user for user in mentioned if user.username not in comment.mentions]
    comment.content, comment.edited = content, True
    comment.mentions = [user.username for user in mentioned]
    Comment.objects.filter(pk=comment.pk).update(
        content=content, edited=True, mentions=comment.mentions, updated_at=timezone.now()
    )
    _tell(comment, "comment.updated", fresh)
    return comment


@transaction.atomic
def comment_delete(*, comment: Comment, actor: User, as_administrator: bool = False) -> None:
    """With its replies; by its author, or by an administrator of the organization."""
    if not as_administrator:
        _require_author(comment, actor)
    _tell(comment, "comment.deleted", [], actor=actor)
    comment.delete()


def _checked(content: str) -> str:
    content = content.strip()
    if not content:
        raise BadInput("A comment needs some text.", details={"field": "content"})
    if len(content) > COMMENT_CHARS:
        raise BadInput(f"A comment has {COMMENT_CHARS:,} characters at most.", details={"field": "content"})
    return content


def _require_author(comment: Comment, actor: User) -> None:
    if comment.author_id != actor.pk:
        raise Forbidden("Only its author changes a comment.")


def _tell(comment: Comment, kind: str, mentioned: list[User], *, actor: User | None = None) -> None:
    bead = comment.bead
    about = {
        "comment_id": str(comment.pk),
        "bead_id": bead.key,
        "author_id": str(comment.author_id or ""),
        "author_username": comment.author_name,
        "content": comment.content,
    }
    told: list[tuple[str, dict[str, Any]]] = [(kind, {**about, "mentions": comment.mentions})]
    told += [
        (
            "mention.created",
            {
                **about,
                "mention_id": f"{comment.pk}-{user.pk}",
                "mentioned_id": str(user.pk),
                "username": user.username,
            },
        )
        for user in mentioned
    ]
    emit_all(
        Fact(
            name,
            organization_id=bead.project.organization_id,
            project_id=bead.project_id,
            bead_id=bead.pk,
            subject=f"bead:{bead.key}",
            actor=actor.get_username() if actor else comment.author_name,
            data=data,
        )
        for name, data in told
    )
