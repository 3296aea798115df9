"""What people say about a bead reaches the agent at work on it: in its next prompt, once.

Meant for agents is every comment on a line of the change, and what names one after an @: `@agent` for whoever
has the bead, a role, or an agent's name. If the bead waits, its author goes on with it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from django.db import transaction

from apps.accounts.permissions import permission_holds
from apps.agents.diffs import FileDiff, Row, files_of
from apps.agents.hub import Hub
from apps.agents.letters import letter_send
from apps.agents.merging import merge_heed
from apps.agents.models import Agent, Claim, Message, Persona
from apps.agents.personas import role_resolve, roles_of
from apps.agents.places import hub_path
from apps.agents.troubles import RETRY
from apps.beads.comments import names_in
from apps.beads.models import Bead, Comment
from apps.beads.services import bead_reopen, bead_resume
from apps.core.errors import Conflict, LoomError
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine.services import failed_last, run_retry
from apps.projects.models import Project

AGENT = "agent"  # @agent: whoever has the bead
AROUND = 3  # lines quoted before and after the one that is meant
LINE_CHARS = 200
DIFF_BYTES = 150_000


def remark_pass_on(*, comment_id: int) -> None:
    """Make a letter of a comment that is meant for agents; asked again it changes nothing."""
    comment = Comment.objects.select_related("bead__project", "author").filter(pk=comment_id).first()
    if comment is None:
        return
    bead, claim = comment.bead, _claim(comment)
    quoted = _quoted(comment, claim)  # reads git, so before the transaction
    with transaction.atomic():
        Project.objects.locked(bead.project_id)
        if Message.objects.filter(project=bead.project, origin__startswith=f"comment:{comment_id}:").exists():
            return
        to_bead = bool(comment.path)
        names = names_in(comment.content)
        team = Team.of(bead.project) if names else Team({}, {})
        for name in names:
            to_bead |= _send_to(name, team, comment, claim, quoted)
        if to_bead:
            _send(comment, quoted, to_role=_role(bead, claim), about=bead, key="bead")
            _wake(comment, claim)
            merge_heed(bead_id=bead.pk)


@dataclass(frozen=True)
class Team:
    """Who may be meant by a name."""

    roles: dict[str, tuple[str, ...]]
    agents: dict[str, Agent]

    @classmethod
    def of(cls, project: Project) -> Team:
        roles = roles_of(Persona.objects.for_organization(project.organization_id).defer("body"))
        agents = Agent.objects.filter(project=project, retired_at=None).order_by("-pk")
        return cls(roles, {"-".join(one.name.lower().split()): one for one in agents})


def _send_to(name: str, team: Team, comment: Comment, claim: Claim | None, quoted: str) -> bool:
    """Write to the agents that a name means; True if they are those who have the bead."""
    bead = comment.bead
    if name == AGENT:
        return True
    agent = team.agents.get(name)
    role = role_resolve(name, team.roles)
    author = claim.session.agent_id if claim else None
    if role == _role(bead, claim) or (agent and (agent.current_bead_id == bead.pk or agent.pk == author)):
        return True
    if agent is not None:
        _send(comment, quoted, to_role=agent.role, to_agent=agent, key=name)
    elif role:
        _send(comment, quoted, to_role=role, key=name)
    return False


def _send(
    comment: Comment,
    quoted: str,
    *,
    to_role: str,
    key: str,
    about: Bead | None = None,
    to_agent: Agent | None = None,
) -> None:
    bead = comment.bead
    where = f" on {comment.path}, line {comment.line}" if comment.path else ""
    letter_send(
        project=bead.project,
        to_role=to_role,
        to_agent=to_agent,
        bead=about,
        subject=f"Comment on {bead.key}{where}",
        body=f"{quoted}{comment.content}",
        sender=comment.author_name,
        origin=f"comment:{comment.pk}:{key}",
    )


def _role(bead: Bead, claim: Claim | None) -> str:
    return claim.session.agent.role if claim else bead.role


def _claim(comment: Comment) -> Claim | None:
    """The claim that a comment is about, else the newest of its bead."""
    claims = (
        Claim.objects.filter(bead_id=comment.bead_id).select_related("session__agent").order_by("-number")
    )
    if comment.claim:
        claims = claims.filter(number=comment.claim)
    return claims.first()


# -- what stands at the line --------------------------------------------------------------------------


def _quoted(comment: Comment, claim: Claim | None) -> str:
    if not comment.path:
        return ""
    side = " (as it was before the change)" if comment.side == Comment.Side.OLD else ""
    number = f", claim {claim.number}" if claim else ""
    head = f"About {comment.path}, line {comment.line}{side}{number}:\n"
    rows = _rows(comment, claim) if claim else []
    return head + "".join(f"> {row}\n" for row in rows) + "\n"


def _rows(comment: Comment, claim: Claim) -> list[str]:
    """The line among its neighbors, as a diff, marked; none if the change does not hold it."""
    hub = Hub(hub_path(comment.bead.project_id))
    try:
        base = claim.session.base_commit or next(iter(hub.parents(claim.commit)), "")
        files = files_of(hub.diff(base, claim.commit, limit=DIFF_BYTES)) if base else []
    except (LoomError, OSError):
        return []
    file = next((one for one in files if one.path == comment.path), FileDiff(comment.path))
    lines = [row for row in file.rows if row.kind not in {"hunk", "told"}]
    at = next((at for at, row in enumerate(lines) if _is_meant(row, comment)), None)
    if at is None:
        return []
    near = lines[max(0, at - AROUND) : at + AROUND + 1]
    signs = {"added": "+", "removed": "-"}
    return [
        f"{signs.get(row.kind, ' ')}{row.text[:LINE_CHARS]}{'   <- this line' if row is lines[at] else ''}"
        for row in near
    ]


def _is_meant(row: Row, comment: Comment) -> bool:
    return comment.line == (row.old if comment.side == Comment.Side.OLD else row.new)


# -- work that waits goes on --------------------------------------------------------------------------


def _wake(comment: Comment, claim: Claim | None) -> None:
    """Have the bead worked on if it waits for a person; one that is closed stays so."""
    bead, actor = comment.bead, comment.author_name
    bead.refresh_from_db()
    if bead.status not in {Bead.Status.BLOCKED, Bead.Status.DEFERRED}:
        return
    asked = Decision.objects.open().filter(bead=bead, kind=Decision.Kind.STUCK).order_by("-pk").first()
    if asked is not None:
        _answer(asked, comment)
        return
    failed = failed_last(bead.pk) if bead.status == Bead.Status.BLOCKED else None
    # Conflict: it waits for the answer to another question, or its last work still ends.
    with suppress(Conflict), transaction.atomic():
        if failed is not None:
            run_retry(run_id=failed.pk, actor=actor)
            bead_resume(bead=bead, actor=actor)
            return
        bead_reopen(bead=bead, reason=f"{actor} commented on it.", actor=actor)
        if claim is not None:
            Bead.objects.filter(pk=bead.pk).update(assigned_to=claim.session.agent.name)


def _answer(asked: Decision, comment: Comment) -> None:
    """To say what is to change answers whether to go on, if it is said by somebody who may decide."""
    project = comment.bead.project
    if comment.author is None or not permission_holds(
        comment.author, "decisions:write", project.organization_id, project.pk
    ):
        return
    decision_decide(
        decision=asked,
        choice=RETRY,
        decider=comment.author_name,
        rationale=f"Commented on {comment.bead.key}: {comment.content[:500]}",
    )
