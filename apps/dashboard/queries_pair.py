"""What the Pair page shows: who can be talked with and about what, what was said, the code and its change."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum

from apps.agents.browsing import Tree, file_read, hub_of
from apps.agents.diffs import FileDiff, Sums, files_of
from apps.agents.models import Agent, Persona, Session
from apps.agents.secrets import secrets_learn
from apps.beads.models import WORKABLE, Bead
from apps.core.errors import LoomError, NotFound
from apps.dashboard.queries_ceo import texts_coming
from apps.dashboard.queries_session import TurnShown, turn_shown
from apps.pairing.models import Exchange
from apps.projects.models import Project
from apps.providers.models import Budget, Call

TALKS, SAID, BEADS, PATHS = 40, 20, 100, 400
DIFF_BYTES = 60_000
FILE_LINES, FILE_CHARS = 1_500, 40_000

log = logging.getLogger(__name__)


# -- Beginning -----------------------------------------------------------------------------------------


def talks(user: Any, project: Project | None) -> list[Session]:
    """The newest pairings, with how many messages each has."""
    rows = Session.objects.for_user(user).filter(kind=Session.Kind.PAIR)
    rows = rows.filter(project=project) if project else rows
    rows = rows.select_related("project", "agent", "bead").defer("opening", "project__prd")
    return list(rows.annotate(said=Count("exchanges")).order_by("-updated_at")[:TALKS])


def team_of(project: Project) -> list[Agent]:
    rows = Agent.objects.filter(project=project, retired_at=None).exclude(status=Agent.Status.STOPPED)
    return list(rows.order_by("role", "name")[:BEADS])


def personas_of(project: Project, team: list[Agent]) -> list[Persona]:
    """Personas of roles that nobody on the team has."""
    known = {agent.role for agent in team}
    rows = Persona.objects.for_organization(project.organization_id).defer("body")
    return [row for row in rows.order_by("role", "name")[:BEADS] if row.role not in known]


def beads_of(project: Project) -> list[Bead]:
    """What can be talked about and claimed: nobody is at work on it."""
    idle = {Bead.Status.OPEN, Bead.Status.DEFERRED, Bead.Status.BLOCKED}
    rows = Bead.objects.filter(project=project, status__in=idle, type__in=WORKABLE)
    return list(rows.defer("description", "draft").order_by("priority", "-id")[:BEADS])


# -- A conversation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """A message with all that answers it."""

    exchange: Exchange
    turns: list[TurnShown]
    coming: str
    cost_microusd: int

    @property
    def is_open(self) -> bool:
        return self.exchange.status == Exchange.Status.ANSWERING

    @property
    def is_over_budget(self) -> bool:
        return self.exchange.error_code == "budget_exceeded"


def said_in(session: Session) -> list[Said]:
    """The newest messages, oldest first. A turn belongs to the message that it came after."""
    found = list(session.exchanges.select_related("person").defer("request").order_by("-id")[:SAID])[::-1]
    if not found:
        return []
    turns: defaultdict[int, list[TurnShown]] = defaultdict(list)
    for turn in session.turns.filter(created_at__gte=found[0].created_at).order_by("number"):
        of = [row.pk for row in found if row.created_at <= turn.created_at][-1]
        turns[of].append(turn_shown(turn))
    coming = texts_coming(row.pk for row in found if row.status == Exchange.Status.ANSWERING)
    calls = Call.objects.filter(run_id__in=[row.run_id for row in found if row.run_id])
    paid = calls.values("run_id").annotate(cost=Sum("cost_microusd")).order_by()
    costs: dict[int | None, int] = {row["run_id"]: row["cost"] or 0 for row in paid}
    return [
        Said(row, [] if row.pk in coming else turns[row.pk], coming.get(row.pk, ""), costs.get(row.run_id, 0))
        for row in found
    ]


def budget_of(project: Project) -> Budget | None:
    rows = Budget.objects.filter(scope=Budget.Scope.PROJECT, scope_id=project.pk)
    return rows.exclude(limit_microusd=None).first()


# -- The code ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """The files as the conversation has them, and one of them."""

    commit: str
    folders: list[tuple[str, list[str]]]
    more: int
    path: str = ""
    lines: tuple[str, ...] = ()
    hidden: int = 0
    trouble: str = ""

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


def tree_of(session: Session) -> Tree | None:
    """The commit that the conversation stands on; None as long as there is no code."""
    project: Project = session.project
    try:
        hub = hub_of(project)
    except NotFound:
        return None
    commit = session.head_commit or session.base_commit or hub.head(project.branch)
    return Tree(project, hub, commit) if commit else None


def code_of(session: Session, path: str, words: str = "") -> Code | None:
    tree = tree_of(session)
    if tree is None:
        return None
    wanted = words.casefold()
    paths = [entry.path for entry in tree.entries if wanted in entry.path.casefold()]
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for one in paths[:PATHS]:
        folders[one.rpartition("/")[0]].append(one)
    listed, more = sorted(folders.items()), max(0, len(paths) - PATHS)
    if not path:
        return Code(tree.commit, listed, more)
    lines, trouble = _lines(tree, path)
    shown = _fitting(lines)
    return Code(tree.commit, listed, more, path, tuple(shown), len(lines) - len(shown), trouble)


def _lines(tree: Tree, path: str) -> tuple[list[str], str]:
    try:
        file = file_read(tree, path)
    except LoomError as error:
        return [], error.message
    if file["encoding"] == "base64":
        return [], f"{path} is no text: {file['size']:,} bytes."
    return file["content"].splitlines(), ""


def _fitting(lines: list[str]) -> list[str]:
    room, shown = FILE_CHARS, []
    for line in lines[:FILE_LINES]:
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    return shown


def lines_of(session: Session, path: str, first: int, last: int) -> list[str]:
    """Lines of a file for a message, from 1; empty if there are none."""
    tree = tree_of(session)
    return _lines(tree, path)[0][max(0, first - 1) : last] if tree else []


@dataclass(frozen=True)
class Proposal(Sums):
    """What the agent changed in the conversation."""

    files: list[FileDiff]
    trouble: str = ""


def proposal_of(session: Session) -> Proposal | None:
    """None if nothing is changed, or nothing any more."""
    tree, base = tree_of(session), session.base_commit
    if tree is None or not session.head_commit or not base:
        return None
    try:
        text = tree.hub.diff(base, session.head_commit, limit=DIFF_BYTES)
        text = secrets_learn(session.project_id, base, session.head_commit).text(text)
    except (LoomError, OSError) as error:
        log.warning("the change of conversation %s cannot be read: %s", session.pk, error)
        return Proposal([], "The repository does not hold its commits.")
    files = files_of(text)
    return Proposal(files) if files else None
