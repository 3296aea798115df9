"""Succession: a session on a bead others worked on is told of them, and may go on with their files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from apps.agents.models import Session
from apps.agents.story import earlier_sessions, ground_of


def go_on_from_earlier(fresh: Sequence[Session]) -> None:
    """Complete new sessions of work, not saved yet, by what ended sessions on their beads left."""
    working = [one for one in fresh if one.kind == Session.Kind.WORK and one.bead is not None]
    # Only a bead that was started before can have earlier sessions; most have none.
    if not any(one.bead.attempts or one.bead.started_at for one in working if one.bead):
        return
    ended = Session.objects.filter(
        bead_id__in=[one.bead_id for one in working], kind=Session.Kind.WORK, status=Session.Status.ENDED
    )
    earlier: defaultdict[int | None, list[Session]] = defaultdict(list)
    for session in ended.select_related("agent").defer("opening").order_by("id"):
        if session.reason == "merged":
            earlier[session.bead_id].clear()  # main holds what came before
        elif session.reason != "canceled":
            earlier[session.bead_id].append(session)
    for session in working:
        if before := earlier.get(session.bead_id):
            _succeed(session, before)


def _succeed(session: Session, before: Sequence[Session]) -> None:
    if (ground := ground_of(before)) is not None:
        session.base_commit, session.head_commit = ground.base_commit, ground.head_commit
    system, task, *rest = session.opening
    told = {**task, "content": f"{task['content']}\n\n{earlier_sessions(before)}"}
    session.opening = [system, told, *rest]
