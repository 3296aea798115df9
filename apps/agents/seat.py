"""A seat: what a worker keeps in memory of a session while it holds the run, all rebuilt from rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from apps.agents.actions.seen import note_shown
from apps.agents.conversation import Conversation
from apps.agents.hub import Hub
from apps.agents.models import Session, Turn
from apps.agents.places import hub_path, session_ref, worktree_move, worktree_path
from apps.agents.safety import Trail
from apps.agents.sandbox import Sandbox
from apps.agents.workspace import Workspace
from apps.core.lookup import Lookup
from apps.engine import leases
from apps.engine.flow import current

NO_COMMIT = "0" * 40
SHOWERS = ("read_file", "write_file")
SESSIONS: Lookup[Session] = Lookup(
    Session.objects.select_related("project", "agent", "bead").defer("project__prd", "bead__description")
)


@dataclass
class Seat:
    session: Session
    talk: Conversation
    hub: Hub
    head: str
    seen: set[str] = field(default_factory=set)
    trail: Trail = field(default_factory=Trail)
    untold: bool = True  # the newest turn may have no results yet
    _workspace: Workspace | None = None

    @property
    def organization_id(self) -> int:
        return self.session.project.organization_id

    def workspace(self) -> Workspace:
        """The session's worktree, laid out when the first action needs it."""
        if self._workspace is None:
            self._workspace = Workspace.open(
                self.hub,
                worktree_path(self.session.pk),
                self.head,
                owner_uid=self.sandbox().uid,
                base=self.session.base_commit,
            )
        return self._workspace

    def restore(self) -> None:
        """Forget what an interrupted turn wrote: the tree is as the last finished turn left it.

        In another place than the one that its worker knows, in case that one only slept.
        """
        run = current().run
        leases.confirm(run)
        worktree_move(self.session.pk, run.fence)
        self._workspace = None
        self.workspace().restore(self.head)

    def keep(self, message: str = "") -> str:
        """Keep the worktree as a commit under the session's ref; the newest commit."""
        bead = self.session.bead
        text = message or f"{self.session.kind}: {bead.title if bead else self.session.project.name}"
        ref = session_ref(self.session.pk)
        before = self.hub.ref(ref) or NO_COMMIT
        leases.confirm(current().run)  # after looking: from here on only who holds the run moves the ref
        commit, _ = self.workspace().snapshot(
            f"{text}\n\n{self.trailers()}", ref, self.author(), before=before
        )
        self.head = commit
        return commit

    def author(self) -> str:
        agent = self.session.agent
        return f"{agent.name} <{agent.role}@loom.invalid>"

    def trailers(self) -> str:
        bead = f"Bead: {self.session.bead.key}\n" if self.session.bead else ""
        return f"{bead}Agent: {self.session.agent.name}"

    def sandbox(self) -> Sandbox:
        return Sandbox(session=self.session.pk)

    def network(self) -> bool:
        return self.session.project.allow_network

    def note_turn(
        self, turn: Turn, results: list[dict[str, Any]], outcome: list[dict[str, Any]], commit: str
    ) -> None:
        """Keep in memory what the guards need of a finished turn: what it did and gave, files seen."""
        self.trail.note(turn.actions, results, self.hub.tree(commit) if commit else "")
        for one in outcome:
            if one["name"] in SHOWERS and one["ok"]:
                note_shown(self.seen, one["data"])


def seat_of(session_id: int) -> Seat:
    """The seat of a session in the run this worker holds."""
    scratch: dict[str, Any] = current().scratch
    key = f"seat:{session_id}"
    if key not in scratch:
        scratch[key] = _load(session_id)
    seat: Seat = scratch[key]
    return seat


def forget(session_id: int) -> None:
    """Read the session anew next time: its protocol, its shortening or its base has changed."""
    current().scratch.pop(f"seat:{session_id}", None)


def _load(session_id: int) -> Seat:
    session = SESSIONS.get(session_id)
    session.agent.project = session.project
    if session.bead is not None:
        session.bead.project = session.project
    turns = list(session.turns.order_by("number")) if session.turn_count else []
    seat = Seat(
        session=session,
        talk=Conversation.load(session, turns),
        hub=Hub(hub_path(session.project_id)),
        head=session.head_commit or session.base_commit,
    )
    seat.untold = bool(turns)
    for turn in turns:
        if turn.results is not None:
            seat.note_turn(turn, turn.results, turn.outcome, turn.commit)
    return seat


def max_turns(kind: str) -> int:
    """How many replies a session may take before it ends."""
    return int(settings.LOOM_MAX_TURNS if kind == Session.Kind.WORK else settings.LOOM_MAX_TURNS // 2)
