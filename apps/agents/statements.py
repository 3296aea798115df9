"""The hot statements of a turn as SQL: every turn of every agent pays for them.

Building them through the ORM costs several times what they do. What they write is declared on the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.agents.models import Session, Turn
from apps.core.sql import execute, insert_soon
from apps.core.together import NONE, send

_COUNT_TURN = """
UPDATE agents_session
SET turn_count = %s, prompt_tokens = prompt_tokens + %s, completion_tokens = completion_tokens + %s,
    cost_microusd = cost_microusd + %s, updated_at = %s
WHERE id = %s"""
_SHOW_ACTION = "UPDATE agents_agent SET current_action = %s, last_active_at = %s WHERE id = %s"
_FINISH_TURN = """
UPDATE agents_turn SET results = %s, outcome = %s, "commit" = %s, acted_at = %s
WHERE session_id = %s AND number = %s"""
_KEEP_RESULTS = "UPDATE agents_turn SET results = %s WHERE session_id = %s AND number = %s"
_HANDS_OVER = "SELECT 1 FROM agents_agent WHERE id = %s AND hands_over"

_LETTERS = """
SELECT 1 FROM agents_message WHERE project_id = %s AND delivered_at IS NULL
    AND (session_id IS NULL OR session_id <> %s)
    AND ((bead_id IS NULL AND (to_agent_id = %s OR (to_agent_id IS NULL AND to_role = %s))) OR bead_id = %s)
LIMIT 1"""
_SESSIONS_OF_BEADS = "SELECT bead_id, COUNT(*) FROM agents_session WHERE bead_id IN ({}) GROUP BY bead_id"


def open_turn(session: Session, turn: Turn, doing: str) -> None:
    """Insert a reply, count it in its session, and show what its agent does now."""
    insert_soon([turn])
    spent = (turn.prompt_tokens, turn.completion_tokens, turn.cost_microusd)
    execute(_COUNT_TURN, [turn.number, *spent, turn.created_at, session.pk])
    execute(_SHOW_ACTION, [doing[:200], turn.created_at, session.agent_id])


def close_turn(
    session_id: int, number: int, results: list[dict[str, Any]], outcome: list[dict[str, Any]], commit: str
) -> None:
    """Keep what the actions of a turn gave."""
    kept = [connection.ops.adapt_json_value(value, None) for value in (results, outcome)]
    execute(_FINISH_TURN, [*kept, commit, timezone.now(), session_id, number])


def keep_results(session_id: int, number: int, results: list[dict[str, Any]]) -> None:
    """Say more of what came of a turn that is kept already."""
    execute(_KEEP_RESULTS, [connection.ops.adapt_json_value(results, None), session_id, number])


def hands_over(agent_id: int) -> Callable[[], bool]:
    """Whether, once that is asked, the agent was told to stop and give its work to others."""
    sent = send(_HANDS_OVER, [agent_id])
    return lambda: bool(sent.rows)


def if_hands_over(agent_id: int, *, then: Callable[[], None]) -> None:
    """If the agent was told to stop and give its work to others, do something `then`."""
    send(_HANDS_OVER, [agent_id], then=lambda found: then() if found.rows else None, sure=NONE)


def letters_wait(session: Session, bead_id: int | None, *, then: Callable[[], None]) -> None:
    """If messages of others wait for the session's agent, its role or its bead, do something `then`."""
    values = [session.project_id, session.pk, session.agent_id, session.agent.role, bead_id]
    send(_LETTERS, values, then=lambda found: then() if found.rows else None, sure=NONE)


def sessions_of_beads(bead_ids: Sequence[int]) -> dict[int, int]:
    """How many sessions there were on each bead."""
    places = ", ".join(["%s"] * len(bead_ids))
    return dict(send(_SESSIONS_OF_BEADS.format(places), bead_ids).rows) if bead_ids else {}
