"""A seat: what a worker keeps in memory of a session while it holds the run, all rebuilt from rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.agents.actions.seen import note_shown
from apps.agents.conversation import Conversation
from apps.agents.dependencies import Provided, dependencies_provide
from apps.agents.hub import Hub
from apps.agents.models import Session, Turn
from apps.agents.pins import Pins
from apps.agents.places import hub_path, session_ref, worktree_move, worktree_path
from apps.agents.results import CommandResult
from apps.agents.safety import Trail
from apps.agents.sandbox import Sandbox, commands_end
from apps.agents.secrets import project_masker
from apps.agents.statements import hands_over, sessions_of_beads
from apps.agents.workspace import Workspace
from apps.core.lookup import Lookup
from apps.engine import leases
from apps.engine.flow import current
from apps.providers.terms import Payer

NO_COMMIT = "0" * 40
LEAST_IDLE = 12  # turns that may look without changing anything, however few are allowed
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
    pins: Pins = field(default_factory=Pins)
    untold: bool = True  # the newest turn may have no results yet
    handed_over: bool | None = None  # whether its agent was told to stop, as it was last read
    read_early: bool = False  # before its run was gone on with; its agent may have been told since
    on_bead: int | None = None  # how many sessions there were on its bead when it was read, if that was asked
    _workspace: Workspace | None = None

    @property
    def organization_id(self) -> int:
        return self.session.project.organization_id

    @property
    def is_laid_out(self) -> bool:
        return self._workspace is not None

    def payer(self, **more: Any) -> Payer:
        """Who pays for the session's calls, and whose work they are."""
        session = self.session
        about = {"purpose": session.kind, **more}
        return Payer(
            organization_id=self.organization_id,
            project_id=session.project_id,
            bead_id=session.bead_id,
            session_id=session.pk,
            run_id=current().run.pk,
            role=session.agent.role,
            **about,
        )

    def workspace(self) -> Workspace:
        """The session's worktree, laid out when the first action needs it."""
        if self._workspace is None:
            self._workspace = self._open(worktree_path(self.session.pk))
            if self._is_behind(self._workspace.head):
                self._workspace.restore(self.head)
        return self._workspace

    def _open(self, root: Path) -> Workspace:
        uid, base = self.sandbox().uid, self.session.base_commit
        return Workspace.open(self.hub, root, self.head, owner_uid=uid, base=base)

    def _is_behind(self, head: str) -> bool:
        """A person took changes back meanwhile. (Ahead of the session it is in the middle of a turn.)"""
        return head != self.head and self.hub.is_ancestor(head, self.head)

    def is_handed_over(self) -> bool:
        """Whether its agent was told to stop and give the work to others."""
        told, self.handed_over = self.handed_over, None
        return hands_over(self.session.agent_id)() if told is None else told

    def is_untouched(self) -> bool:
        """Whether this is the first session on its bead, and nothing was said in it yet."""
        if self.session.turn_count or self.session.bead_id is None:
            return False
        on_bead, self.on_bead = self.on_bead, None
        return (on_bead or sessions_of_beads([self.session.bead_id])[self.session.bead_id]) == 1

    def restore(self) -> None:
        """Forget what an interrupted turn wrote: the tree is as the last finished turn left it.

        In another place than the one that its worker knows, in case that one only slept, and without the
        commands that it started: what they have open moves along. Should we sleep here ourselves, who takes
        over moves on, and we find nothing where we look.
        """
        run = current().run
        leases.confirm(run)
        root = worktree_move(self.session.pk, run.fence)
        commands_end(root.parent, partial(leases.confirm, run))
        self._workspace = self._open(root)
        self._workspace.restore(self.head)

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
        return Sandbox(session=self.session.pk, mask=project_masker(self.session.project_id))

    def network(self) -> bool:
        return self.session.project.allow_network

    def command(self, command: str | list[str], *, timeout: float = 300) -> CommandResult:
        """Run a command in the session's worktree, in the sandbox."""
        root = self.workspace().root
        sandbox = replace(self.sandbox(), extra=self.dependencies().extra)
        return sandbox.run(command, root=root, timeout=timeout, network=self.network())

    def dependencies(self) -> Provided:
        """What the project needs to run, as its files say just now."""
        session = self.session
        mask = project_masker(session.project_id)
        return dependencies_provide(session.project, self.workspace().root, session=session.pk, mask=mask)

    def note_turn(
        self, turn: Turn, results: list[dict[str, Any]], outcome: list[dict[str, Any]], commit: str
    ) -> None:
        """Keep in memory what the guards need of a finished turn: what it did and gave, files seen."""
        self.pins.note(turn.number, results, outcome)
        self.trail.note(turn.actions, results, self.hub.tree(commit) if commit else "", outcome)
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


def sessions_read(session_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """For the scratch of runs that begin with these sessions: what their seats are made of, by session."""
    sessions = SESSIONS.all(session_ids)
    counts = sessions_of_beads([one.bead_id for one in sessions if one.bead_id is not None])
    return {one.pk: {f"read:{one.pk}": (one, counts.get(one.bead_id or 0))} for one in sessions}


def _load(session_id: int) -> Seat:
    read, on_bead = current().scratch.pop(f"read:{session_id}", (None, None))
    session: Session = read or SESSIONS.get(session_id)
    session.agent.project = session.project
    if session.bead is not None:
        session.bead.project = session.project
    turns = list(session.turns.order_by("number")) if session.turn_count else []
    retold = session.compactions.order_by("-up_to").first() if session.compacted_to else None
    seat = Seat(
        session=session,
        talk=Conversation.load(session, turns, retold),
        hub=Hub(hub_path(session.project_id)),
        head=session.head_commit or session.base_commit,
        handed_over=session.agent.hands_over,
        read_early=read is not None,
        on_bead=on_bead,
    )
    seat.untold = bool(turns)
    for turn in turns:
        if turn.results is not None:
            seat.note_turn(turn, turn.results, turn.outcome, turn.commit)
    return seat


def max_turns(kind: str) -> int:
    """How many replies a session may take before it ends."""
    return int(settings.LOOM_MAX_TURNS if kind == Session.Kind.WORK else settings.LOOM_MAX_TURNS // 2)


def idle_turns(kind: str) -> int:
    """How many turns of work in a row may change no file before the session ends; 0: any number."""
    return max(LEAST_IDLE, max_turns(kind) // 2) if kind == Session.Kind.WORK else 0
