"""Conversations as clients of the original know them: the messages of a session, whoever had it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import F

from apps.agents.models import Session, Turn
from apps.pairing.services import LASTS

TURNS, MOST_TURNS = 200, 1_000  # that one look at a conversation shows
LISTED, LISTED_CHARS = 20, 2_000  # of each conversation in a list: its newest messages, cut
SHOWN_CHARS = 100_000


def conversation_page(session: Session, *, limit: int = TURNS, before: int | None = None) -> dict[str, Any]:
    """A conversation with its newest turns (of those with numbers below `before`), its first words with the
    first. `older` in `metadata` is what to give as `before` to see those that came earlier.
    """
    rows = session.turns.filter(number__lt=before) if before is not None else session.turns.all()
    turns = list(rows.order_by("-number")[: limit + 1])
    older = turns[limit - 1].number if len(turns) > limit else None
    body = conversation_body(session, turns[:limit][::-1], begins=older is None)
    body["metadata"]["older"] = older
    return body


def conversation_body(
    session: Session, turns: Iterable[Turn], *, begins: bool = True, whole: bool = True
) -> dict[str, Any]:
    """The original's ConversationContext; `metadata` says what it is about and how it ended."""
    messages = list(_messages(session, turns, begins))
    if not whole:
        messages = [
            {**message, "content": message["content"][:LISTED_CHARS]} for message in messages[-LISTED:]
        ]
    return {
        "session_id": str(session.pk),
        "bead_id": session.bead.key if session.bead is not None else "",
        "project_id": str(session.project_id),
        "messages": messages,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "expires_at": session.updated_at + LASTS,
        "token_count": session.prompt_tokens + session.completion_tokens,
        "metadata": {
            "kind": session.kind,
            "status": session.status,
            "reason": session.reason,
            "agent_id": str(session.agent_id),
            "agent_name": session.agent.name,
            "turn_count": session.turn_count,
            "cost_microusd": session.cost_microusd,
        },
        "entity_metadata": {"schema_version": "1.0"},
    }


def newest_turns(sessions: Iterable[Session]) -> defaultdict[int, list[Turn]]:
    """The newest turns of each session, in order, by its id; in one query."""
    rows = Turn.objects.filter(session__in=list(sessions), number__gt=F("session__turn_count") - LISTED)
    found: defaultdict[int, list[Turn]] = defaultdict(list)
    for turn in rows.order_by("session", "number"):
        found[turn.session_id].append(turn)
    return found


def _messages(session: Session, turns: Iterable[Turn], begins: bool) -> Iterator[dict[str, Any]]:
    for message in session.opening if begins else ():
        yield _message(message["role"], str(message.get("content", "")), session.created_at)
    for turn in turns:
        yield _message("assistant", _said(turn), turn.created_at, turn.completion_tokens)
        for result in turn.results or ():
            at = turn.acted_at or turn.created_at
            if "say" in result:
                yield _message("user", str(result["say"]), at)
            else:
                yield _message("tool", f"{result.get('name', '')}\n{result.get('text', '')}".strip(), at)


def _message(role: str, content: str, at: Any, tokens: int = 0) -> dict[str, Any]:
    shown = {"role": role, "content": content[:SHOWN_CHARS], "timestamp": at}
    return {**shown, "token_count": tokens} if tokens else shown


def _said(turn: Turn) -> str:
    """What was said, and what was asked for as JSON below it."""
    content = str(json.loads(turn.reply).get("content") or "")
    if not turn.actions:
        return content
    asked = [{"type": one["name"], **one["arguments"]} for one in turn.actions]
    return f"{content}\n{json.dumps({'actions': asked}, ensure_ascii=False)}".strip()
