"""What an agent changed in a conversation, taken back by the person: all of it, or some of its files."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from django.db import transaction

from apps.agents.git import Git, GitError
from apps.agents.hub import Hub
from apps.agents.models import Session
from apps.agents.objects import Entry
from apps.agents.places import hub_path, session_ref
from apps.agents.services import session_say
from apps.core.errors import Conflict, NotFound
from apps.engine.models import Run
from apps.pairing.models import Exchange
from apps.pairing.services import conversation_tell

TOLD = 20  # paths that the agent is named


def change_reject(*, session: Session, paths: Collection[str] = (), actor: str) -> list[str]:
    """Bring files of the conversation's worktree back to where it began; without `paths`, all. Uses git.

    The agent is told, so that it does not go on with what is gone. Its commits stay in the ref's history.
    """
    session = Session.objects.select_related("project").get(pk=session.pk)
    _check(session)
    hub, ref = Hub(hub_path(session.project_id)), session_ref(session.pk)
    before = hub.ref(ref)
    changed = [path for _, path in hub.changed(session.base_commit, session.head_commit)]
    if unknown := sorted(set(paths) - set(changed)):
        raise NotFound(f"{unknown[0][:200]} was not changed in this conversation.")
    rejected = sorted(paths or changed)
    if not rejected:
        raise Conflict("Nothing was changed in this conversation.")
    commit = hub.commit_tree(
        _tree_without(hub, session, rejected), [session.head_commit], f"Rejected by {actor}"
    )
    _move(hub, ref, commit, before)  # first: what no ref holds may be cleaned away
    try:
        _note(session, commit, rejected, actor)
    except Conflict:
        with suppress(GitError):  # who moved it on meanwhile is right
            hub.set_ref(ref, before or session.head_commit, before=commit)
        raise
    return rejected


def _move(hub: Hub, ref: str, commit: str, before: str | None) -> None:
    try:
        hub.set_ref(ref, commit, before=before)
    except GitError:
        if hub.ref(ref) == before:
            raise
        raise _changed() from None


def _changed() -> Conflict:
    return Conflict("The agent changed something at this moment.", hint="Look at it, and try again.")


@transaction.atomic
def _note(session: Session, commit: str, rejected: Sequence[str], actor: str) -> None:
    """Make it the session's head, with whose files the agent's next action begins; Conflict if it was asked
    for something meanwhile.
    """
    held = Session.objects.select_for_update(no_key=True, of=("self",)).select_related("project")
    now = held.get(pk=session.pk)
    _check(now)
    if now.head_commit != session.head_commit:
        raise _changed()
    Session.objects.filter(pk=session.pk).update(head_commit=commit)
    session_say(session_id=session.pk, text=_words(rejected, actor))
    conversation_tell(now, "conversation.rejected", actor, paths=rejected[:TOLD])


def _check(session: Session) -> None:
    if session.kind != Session.Kind.PAIR or session.status != Session.Status.OPEN:
        raise Conflict("This conversation has ended.")
    exchanges = session.exchanges
    runs = Run.objects.unfinished().filter(pk__in=exchanges.values("run_id"))
    if exchanges.filter(status=Exchange.Status.ANSWERING).exists() or runs.exists():
        raise Conflict("The agent is still answering.", hint="Wait for the answer, or stop it first.")
    if not session.head_commit:
        raise Conflict("Nothing was changed in this conversation.")


def _tree_without(hub: Hub, session: Session, paths: Sequence[str]) -> str:
    """The files as they are, but those of `paths` as they were."""
    before = {entry.path: entry for entry in hub.entries(session.base_commit)}
    with tempfile.TemporaryDirectory(prefix="loom-index-") as scratch:
        git = Git(hub.path, None, Path(scratch) / "index")
        git.run("read-tree", session.head_commit)
        rows = b"".join(_index_row(path, before.get(path)) for path in paths)
        git.run("update-index", "-z", "--index-info", stdin=rows)
        return git.line("write-tree")


def _index_row(path: str, entry: Entry | None) -> bytes:
    mode, blob = (entry.mode, entry.blob) if entry else ("0", "0" * 40)
    return f"{mode} {blob}\t".encode() + path.encode("utf-8", "surrogateescape") + b"\0"


def _words(paths: Sequence[str], actor: str) -> str:
    named = ", ".join(paths[:TOLD]) + (f" and {len(paths) - TOLD} more" if len(paths) > TOLD else "")
    return f"{actor} rejected what you changed in {named}: it is as it was when you began. Read it anew."
