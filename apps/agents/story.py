"""What a bead has been through, told from its rows: for the next session, and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from django.db.models import Sum

from apps.agents.models import Evidence, Session, Turn
from apps.agents.pins import CHECKS, Pins
from apps.agents.safety import hops
from apps.beads.models import Bead

SESSIONS = 6  # the newest are told in full
WORDS = 600  # characters of one quotation
# The next session goes on with the files of one that ended so; after other endings it begins anew.
CARRIED = frozenset({"turn_limit", "poisoned", "handed_over", "taken_over", "timeout"})
HANDED_ON = "handed_on"  # it did its part in the bead's workflow; what fails after it does not undo that


def ground_of(sessions: Sequence[Session]) -> Session | None:
    """The session whose files the next one goes on with."""
    last = max(sessions, key=lambda one: one.pk)
    if last.reason in CARRIED and last.head_commit:
        return last
    finished = [one for one in sessions if one.reason == HANDED_ON and one.head_commit]
    return max(finished, key=lambda one: one.pk, default=None)


def earlier_sessions(sessions: Sequence[Session]) -> str:
    """For whoever works on it next: what ended sessions did, oldest first, and why each ended."""
    told = [_session_told(session) for session in sorted(sessions, key=lambda one: one.pk)[-SESSIONS:]]
    ground = ground_of(sessions)
    files = (
        f"Your worktree holds the files as session {ground.pk} left them."
        if ground is not None
        else "Your worktree is as main is now; nothing of theirs is in it."
    )
    return (
        "## Earlier sessions on this bead\n"
        f"They ended without a merge. Do not repeat what did not work. {files}\n" + "\n".join(told) + "\n"
    )


def bead_story(bead: Bead) -> str:
    """For a person who must say how a stuck bead goes on: what was tried, the last errors, what it cost."""
    sessions = list(bead.sessions.select_related("agent").order_by("id"))
    spent = bead.sessions.aggregate(cost=Sum("cost_microusd"), turns=Sum("turn_count"))
    head = f"{bead.key} {bead.title}: {len(sessions)} sessions, {hops(bead.pk)} hand-overs"
    lines = [
        f"{head}, {spent['turns'] or 0} replies, ${(spent['cost'] or 0) / 1_000_000:.4f}.",
        *(_session_told(session) for session in sessions[-SESSIONS:]),
    ]
    if failed := _last_failure(bead):
        lines.append(f"Last failed check: {failed}")
    return "\n".join(lines)


def _session_told(session: Session) -> str:
    turns = list(session.turns.order_by("number").defer("reply", "raw"))
    pins = Pins()
    for turn in turns:
        pins.note(turn.number, turn.results or (), turn.outcome)
    why = session.reason.replace("_", " ") or "still open"
    detail = f" ({session.reason_detail.rstrip('.')})" if session.reason_detail else ""
    parts = [f"- Session {session.pk}, {session.kind} by {session.agent.name}: {why}{detail}."]
    found = (
        _retold(session),
        _did(turns, pins),
        _left(pins),
        _failed(turns, pins),
        _said(turns),
        _trouble(turns),
    )
    parts += [f"  {said}" for said in found if said]
    return "\n".join(parts)


def _retold(session: Session) -> str:
    """What the session itself was told of its older turns."""
    retold = session.compactions.order_by("-up_to").first() if session.compacted_to else None
    return f"Of its turns 1 to {retold.up_to - 1}: {_short(retold.summary, 2 * WORDS)}" if retold else ""


def _left(pins: Pins) -> str:
    """What of its plan was not done."""
    if not pins.plan:
        return ""
    return f"Left of its plan: {'; '.join(pins.steps_left)}." if pins.steps_left else "Its plan was done."


def _failed(turns: Sequence[Turn], pins: Pins) -> str:
    """The check that it ran last, if it failed."""
    ran = [one for turn in turns for one in turn.outcome if one["name"] in CHECKS]
    if not ran or ran[-1]["ok"]:
        return ""
    return f"Its last check failed: {_short(pins.checks.get(ran[-1]['name'], ''))}"


def _did(turns: Sequence[Turn], pins: Pins) -> str:
    """Its actions counted, and the files it changed."""
    counts = Counter(one["name"] for turn in turns for one in turn.outcome)
    if not counts:
        return ""
    did = ", ".join(f"{name} {count}x" for name, count in counts.most_common(6))
    changed = _listed(pins.files)
    return f"It did {did}" + (f"; it changed {changed}." if changed else "; it changed no file.")


def _listed(names: Iterable[str], most: int = 10) -> str:
    shown = list(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def _said(turns: Sequence[Turn]) -> str:
    notes = [turn.notes.strip() for turn in turns if turn.notes.strip()]
    return f"Its last words: {_short(notes[-1])}" if notes else ""


def _trouble(turns: Sequence[Turn]) -> str:
    errors = [turn.error.strip() for turn in turns if turn.error.strip()]
    return f"Its last invalid reply: {_short(errors[-1])}" if errors else ""


def _last_failure(bead: Bead) -> str:
    failed = Evidence.objects.filter(bead=bead, passed=False).order_by("-id").first()
    if failed is None:
        return ""
    return f"{failed.check_name} on {failed.commit[:10]}\n{failed.output.strip()[-2 * WORDS :]}"


def _short(text: str, limit: int = WORDS) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]}..."
