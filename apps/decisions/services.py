"""Asking for decisions and answering them: by one who may, by votes, or by the clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict, Forbidden
from apps.core.masking import masker, scope_of
from apps.core.states import move
from apps.decisions.authority import AgentVoice, authority_require
from apps.decisions.deadlines import deadline_pass, decision_escalate
from apps.decisions.models import DEADLINE, THRESHOLD, Decision, Vote, person_names
from apps.decisions.settling import NAME_CHARS, already_closed, answer, clock_key, locked, resolve, tell
from apps.decisions.tally import tally_of
from apps.engine.services import run_start
from apps.projects.models import Project

DEADLINE_FLOW = "decision.deadline"
KEY_CHARS, TEXT_CHARS = 200, 50_000
MAX_OPTIONS, MAX_VOTERS = 50, 100
LONGEST = timedelta(days=3650)


# -- asking ----------------------------------------------------------------------------------------


@transaction.atomic
def decision_request(
    *,
    project: Project,
    question: str,
    options: Iterable[dict[str, str]] = (),
    recommendation: str = "",
    context: str = "",
    kind: str = Decision.Kind.QUESTION,
    bead: Bead | None = None,
    requester: str = "",
    needs_person: bool = False,
    run_id: int | None = None,
    origin: str = "",
    deadline: timedelta = DEADLINE,
    priority: int = 2,
    asked_of: str = "",
    default_choice: str = "",
    lapses: bool = False,
    voters: Iterable[str] = (),
    threshold: float = THRESHOLD,
    details: dict[str, Any] | None = None,
) -> Decision:
    """Ask; with an `origin` that was used before, the decision asked for then.

    Asked is a person (`needs_person`, priority 0), the `voters`, the role `asked_of`, or the decision-maker.
    At the deadline `default_choice` is taken, or the question lapses, or it is passed on: docs/decisions.md.
    """
    masked = masker(scope_of(project.pk))
    question, context = masked.text(question), masked.text(context)
    choices, required = masked.value([*options]), [voter.strip() for voter in voters]
    keys = _checked_keys(question, choices)
    _check(priority=priority, deadline=deadline, threshold=threshold, voters=required, keys=keys)
    default = _picked(keys, default_choice) if default_choice.strip() else ""
    if origin:
        Project.objects.locked(project.pk)  # who asks for the same at the same moment finds it asked
        if known := Decision.objects.filter(project=project, origin=origin).first():
            return known
    decision = Decision.objects.create(
        project=project, bead=bead, run_id=run_id, origin=origin, kind=kind, priority=priority,
        question=question.strip()[:TEXT_CHARS], context=context, options=choices,
        recommendation=recommendation[:KEY_CHARS], requester=requester[:NAME_CHARS], asked_of=asked_of,
        needs_person=needs_person or (priority == 0 and kind != Decision.Kind.INFORMATION),
        deadline=timezone.now() + deadline, answer_within=abs(deadline) or DEADLINE,
        default_choice=default, lapses=lapses, voters=required, threshold=threshold,
    )  # fmt: skip
    told = {"requester_id": requester, "options": keys, "needs_person": decision.needs_person}
    more = {**({"voters": required} if required else {}), **(details or {})}
    tell(decision, "decision.created", actor=requester, priority=priority, **told, **more)
    clock_start(decision=decision)
    return decision


def clock_start(*, decision: Decision) -> None:
    """The durable run that waits for the decision's deadline."""
    run_start(
        flow=DEADLINE_FLOW,
        key=clock_key(decision.pk),
        input={"decision_id": decision.pk},
        organization_id=decision.project.organization_id,
        project_id=decision.project_id,
    )


def _checked_keys(question: str, choices: Sequence[dict[str, str]]) -> list[str]:
    if not question.strip():
        raise BadInput("A decision needs a question.")
    keys = [option.get("key", "") for option in choices]
    if not all(keys) or len({key.casefold() for key in keys}) != len(keys):
        raise BadInput("Each option needs a key of its own.")
    if len(keys) > MAX_OPTIONS or any(len(key) > KEY_CHARS for key in keys):
        raise BadInput(f"At most {MAX_OPTIONS} options, each with a key of {KEY_CHARS} characters at most.")
    return keys


def _check(
    *, priority: int, deadline: timedelta, threshold: float, voters: list[str], keys: list[str]
) -> None:
    if not 0 <= priority <= 4:
        raise BadInput("A priority goes from 0 (critical) to 4 (backlog).")
    if abs(deadline) > LONGEST:
        raise BadInput("A deadline is at most ten years away.")
    if not 0 < threshold <= 1:
        raise BadInput("The threshold is a part of the votes: more than 0, at most 1.")
    if voters and not keys:
        raise BadInput("Votes need options to vote for.")
    if not all(voters) or len({voter.casefold() for voter in voters}) != len(voters):
        raise BadInput("Each voter is named once.")
    if len(voters) > MAX_VOTERS or any(len(voter) > NAME_CHARS for voter in voters):
        raise BadInput(f"At most {MAX_VOTERS} voters, with names of {NAME_CHARS} characters at most.")


def _picked(keys: list[str], choice: str) -> str:
    """The option that is meant; any text but silence where none are given."""
    wanted = choice.strip()
    if keys:
        picked = next((key for key in keys if key.casefold() == wanted.casefold()), None)
        if picked is None:
            raise BadInput(
                f"{choice[:KEY_CHARS]!r} is none of the options.",
                hint="Choose one of: " + ", ".join(keys) + ".",
                details={"options": keys},
            )
        return picked
    if not wanted:
        raise BadInput("An answer is needed.")
    return wanted[:TEXT_CHARS]


# -- answering -------------------------------------------------------------------------------------


def decision_decide(
    *,
    decision: Decision,
    choice: str,
    decider: str,
    rationale: str = "",
    agent: AgentVoice | None = None,
) -> Decision:
    """Answer an open decision once and tell the run that waits for it.

    Who comes second, or after a deadline that has taken its effect, hears from Conflict who decided what.
    """
    if decision.deadline <= timezone.now():
        deadline_pass(decision_id=decision.pk)
    with transaction.atomic():
        decision.refresh_from_db()
        if decision.status != Decision.Status.OPEN:
            raise already_closed(decision)
        if agent is not None:
            authority_require(agent, decision)
        if decision.voters and not (decision.needs_person and agent is None):
            raise Conflict(
                "This is decided by votes.", hint="Vote instead.", details={"voters": decision.voters}
            )
        picked = _picked(decision.keys, choice)
        way = Decision.Way.PERSON if agent is None else Decision.Way.AGENT
        if not resolve(decision, picked, way, decider=decider, rationale=rationale):
            decision.refresh_from_db()
            raise already_closed(decision)
    return decision


@transaction.atomic
def decision_cancel(*, decision: Decision, actor: str = "") -> None:
    """Withdraw a question that nobody needs answered any more; who waits goes on without an answer."""
    if move(
        Decision.objects.filter(pk=decision.pk), to=Decision.Status.CANCELED, allowed={Decision.Status.OPEN}
    ):
        tell(decision, "decision.canceled", actor=actor)
        answer(decision, rationale="The question was withdrawn.", decider=actor)


# -- votes -----------------------------------------------------------------------------------------


def vote_cast(
    *,
    decision: Decision,
    voter: str,
    choice: str,
    confidence: float = 1.0,
    rationale: str = "",
    agent: AgentVoice | None = None,
) -> Vote:
    """Vote, or change one's vote; the vote that settles the matter closes it, once."""
    if not 0 <= confidence <= 1:
        raise BadInput("Confidence goes from 0 to 1.")
    if decision.deadline <= timezone.now():
        deadline_pass(decision_id=decision.pk)
    with transaction.atomic():
        decision = locked(decision.pk)  # of two last votes the second counts both
        if decision.status != Decision.Status.OPEN:
            raise already_closed(decision)
        name = _voter_named(decision, voter, agent)
        vote, _ = Vote.objects.update_or_create(
            decision=decision,
            voter=name,
            defaults={
                "choice": _picked(decision.keys, choice),
                "confidence": confidence,
                "rationale": rationale[:TEXT_CHARS],
            },
        )
        told = {"voter": name, "choice": vote.choice, "confidence": confidence}
        tell(decision, "decision.voted", actor=voter, **told)
        tally = tally_of(decision)
        if winner := tally.reached(final=not tally.missing):
            resolve(decision, winner, Decision.Way.VOTES, decider=tally.decider, rationale=tally.words())
        elif not tally.missing:
            decision_escalate(decision=decision, reason=f"The voters do not agree. {tally.words()}")
    return vote


def answer_give(*, decision: Decision, person: str, choice: str, rationale: str = "") -> str:
    """A person's answer as a page takes it: it decides, or is a vote where votes decide; what came of it."""
    if decision.is_vote:
        earlier = decision.votes.filter(voter=decision.voter_among(*person_names(person)) or "").first()
        confidence = earlier.confidence if earlier else 1.0  # pages do not ask for it: it stays
        vote = vote_cast(
            decision=decision, voter=person, choice=choice, confidence=confidence, rationale=rationale
        )
        return f"Voted: {decision.label(vote.choice)}. {tally_of(decision).words()}"
    decided = decision_decide(decision=decision, choice=choice, decider=person, rationale=rationale)
    return f"Answered: {decided.chosen}. Who waits for it is told."


def _voter_named(decision: Decision, voter: str, agent: AgentVoice | None) -> str:
    if not decision.voters:
        raise Conflict("This decision is not put to the vote.", hint="Decide it instead.")
    names = [agent.name, agent.role] if agent else []
    if (name := decision.voter_among(*person_names(voter), *names)) is None:
        raise Forbidden(
            f"{voter} is none of the voters.", details={"voters": decision.voters, "voter": voter}
        )
    return name
