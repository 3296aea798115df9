"""The ledger's hot statements as SQL.

Every turn of every agent pays for them, and building them through the ORM costs several times what they do.
What they write is declared and constrained on the models.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from apps.core.together import ONE, Sent, send
from apps.providers.models import Call
from apps.providers.terms import Payer

_SCOPES = ("organization", "project", "bead", "run")
# A payer's ids that are not given are NULL and match nothing.
_THEIRS = (
    "(scope = 'organization' AND scope_id = %s OR scope = 'project' AND scope_id = %s"
    " OR scope = 'bead' AND scope_id = %s OR scope = 'run' AND scope_id = %s)"
)
_LOCK = "SELECT 1 FROM providers_budget WHERE scope = 'organization' AND scope_id = %s FOR UPDATE"
_SET_ASIDE = f"""
    UPDATE providers_budget SET reserved_microusd = reserved_microusd + %s
    WHERE {_THEIRS} AND NOT EXISTS (
        SELECT 1 FROM providers_budget
        WHERE {_THEIRS} AND %s > 0 AND spent_microusd + reserved_microusd + %s > limit_microusd
    )
    RETURNING scope"""  # noqa: S608 - put together from constants
_BOOK = f"""
    UPDATE providers_budget
    SET reserved_microusd = reserved_microusd - %s, spent_microusd = spent_microusd + %s
    WHERE {_THEIRS}"""  # noqa: S608 - put together from constants
_CLOSE = """
    UPDATE providers_call
    SET status = %s, cost_microusd = %s, prompt_tokens = %s, completion_tokens = %s, cached_tokens = %s,
        estimated = %s, latency_ms = %s, finish_reason = %s, error = %s, error_text = %s, ended_at = %s
    WHERE id = %s AND status = 'reserved'"""
_COLUMNS = [field.attname for field in Call._meta.concrete_fields if not field.primary_key]
_OPEN = "INSERT INTO providers_call ({}) VALUES ({}) RETURNING id".format(  # noqa: S608 - the model's columns
    ", ".join(_COLUMNS), ", ".join(["%s"] * len(_COLUMNS))
)
_OPEN_OF_STEM = "SELECT id FROM providers_call WHERE stem = %s AND status = 'reserved'"


class Closing(NamedTuple):
    """How a call ended: columns of the ledger row, in the order of the statement."""

    status: str
    cost_microusd: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    latency_ms: int = 0
    finish_reason: str = ""
    error: str = ""
    error_text: str = ""


def lock_organization(organization_id: int) -> Callable[[], bool]:
    """Wait for other reservations of the organization; whether it has a row to wait at, once that is asked.

    SQLite's transactions hold the write lock from their start, so there is nothing to wait for.
    """
    if not connection.features.has_select_for_update:
        return lambda: True
    sent = send(_LOCK, [organization_id], sure=ONE)
    return lambda: sent.count == 1


def set_aside(payer: Payer, amount: int) -> Callable[[], set[str]]:
    """Reserve under every budget of the payer, or, if one of them lacks the room, under none.

    Tells, once asked, the scopes whose budget row is charged; none when it was refused. Needs the lock.
    """
    theirs = _ids(payer)
    wanted = 1 if payer.project_id is None else 2
    sure = f"count(*) FILTER (WHERE scope IN ('organization', 'project')) = {wanted}"
    sent = send(_SET_ASIDE, [amount, *theirs, *theirs, amount, amount], sure=sure)
    return lambda: {scope for (scope,) in sent.rows}


def book(payer: Payer | Call, *, reserved: int, cost: int) -> None:
    """Turn what was set aside into what was spent, under every budget of the payer. Needs the lock."""
    if reserved or cost:
        send(_BOOK, [reserved, cost, *_ids(payer)])


def give_back(payer: Payer, amount: int, scopes: set[str]) -> None:
    """Undo `set_aside` in exactly the scopes it charged: others may have made rows since."""
    if scopes:
        theirs = [one if scope in scopes else None for scope, one in zip(_SCOPES, _ids(payer), strict=True)]
        send(_BOOK, [amount, 0, *theirs])


def open_call(call: Call) -> None:
    """Insert the row and set its primary key."""
    values = [getattr(call, column) for column in _COLUMNS]
    values[_COLUMNS.index("created_at")] = _time(call.created_at)

    def note(inserted: Sent) -> None:
        ((call.pk,),) = inserted.rows

    send(_OPEN, values, note=note)


def close_call(call_id: int, closing: Closing) -> Callable[[], bool]:
    """End a call that is under way; False, once asked, if somebody else has ended it."""
    sent = send(_CLOSE, [*closing, _time(timezone.now()), call_id], sure=ONE)
    return lambda: sent.count == 1


def open_calls(stem: str) -> list[int]:
    """Ids of calls of this stem that are still under way, or look so."""
    return [call_id for (call_id,) in send(_OPEN_OF_STEM, [stem]).rows]


def _ids(payer: Payer | Call) -> tuple[int | None, ...]:
    return payer.organization_id, payer.project_id, payer.bead_id, payer.run_id


def _time(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
