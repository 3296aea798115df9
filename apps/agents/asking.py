"""Commands that a person is asked about: the question, the durable wait, and what the answer does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.actions import RunCommand, bind
from apps.agents.actions.run import command_text
from apps.agents.models import Session
from apps.agents.replies import Call
from apps.agents.seat import Seat, forget, seat_of
from apps.agents.services import session_say
from apps.beads.models import Bead
from apps.beads.services import bead_stage
from apps.commands.judging import ALLOW, ASK, Judgement, judge
from apps.commands.rules import Rule, exactly
from apps.commands.services import command_rule_set, project_rules
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.engine.flow import Handle, call, joins, step, wait_for

ONCE, ALWAYS, REFUSE = "once", "always", "deny"


def command_ask(*, seat: Seat, judgement: Judgement, origin: str, run_id: int | None) -> Decision:
    """Ask a person whether a command may run; at the deadline it may not."""
    session = seat.session
    first = judgement.decisive[0]
    return decision_request(
        project=session.project,
        bead=session.bead,
        question=f"May {session.agent.name} run: {first.command.shown[:300]}",
        options=_options(judgement, seat),
        recommendation=REFUSE,
        context=_effect(judgement, seat),
        requester=session.agent.name,
        needs_person=True,
        run_id=run_id,
        origin=origin,
        default_choice=REFUSE,
    )


def _options(judgement: Judgement, seat: Seat) -> list[dict[str, str]]:
    options = [{"key": ONCE, "label": "Allow once", "detail": "It runs now; the next time is asked again."}]
    if always := always_rules(judgement, project_rules(seat.session.project)):
        patterns = ", ".join(rule.pattern for rule in always)
        options.append(
            {"key": ALWAYS, "label": "Allow always", "detail": f"It runs, and is allowed: {patterns}"}
        )
    return [*options, {"key": REFUSE, "label": "Deny", "detail": "It does not run; the agent is told why."}]


def always_rules(judgement: Judgement, rules: list[Rule]) -> list[Rule]:
    """The rules that let just this command pass from now on; none if no rule could say it exactly."""
    asked = [one.command for one in judgement.findings if one.verdict == ASK]
    if not all(command.is_known for command in asked):
        return []
    fresh = [Rule(ALLOW, exactly(command.spellings[0])) for command in asked]
    holds = judge(judgement.line, [*rules, *fresh]).verdict == ALLOW
    return fresh if holds and all(_can_be_kept(rule.pattern) for rule in fresh) else []


def _can_be_kept(pattern: str) -> bool:
    return pattern.isprintable() and " ".join(pattern.split()) == pattern and len(pattern) <= 500


def _effect(judgement: Judgement, seat: Seat) -> str:
    """What the command comes to, for the person."""
    network = "on" if seat.network() else "off"
    return (
        f"Command as given:\n{judgement.line}\n\n"
        f"It runs in /work, the worktree of session {seat.session.pk}, in the sandbox, network {network}.\n"
        f"What it comes to:\n{judgement.told()}"
    )


# -- waiting: part of the session's flow -------------------------------------------------------------


def command_await(session_id: int, *, turn: int, index: int, decision_id: int) -> float:
    """Wait for the answer and do what it says; how many seconds that took."""
    step(_asking, session_id=session_id, stage=Bead.Stage.ASKING.value)
    said = wait_for(f"decision:{decision_id}") or {}
    done = call(
        command_answered, session_id=session_id, turn=turn, index=index, decision_id=decision_id, said=said
    )
    return float(done["waited"])


def _asking(*, session_id: int, stage: str) -> None:
    session = Session.objects.select_related("bead__project").get(pk=session_id)
    if session.bead is not None:
        bead_stage(bead=session.bead, stage=stage)


@joins
def command_answered(
    handle: Handle, session_id: int, turn: int, index: int, decision_id: int, said: dict[str, Any]
) -> dict[str, Any]:
    """Run the command if it was allowed, and tell the session what came of it."""
    seat = seat_of(session_id)
    asked = seat.session.turns.get(number=turn).actions[index]
    decision = Decision.objects.select_related("project").get(pk=decision_id)
    with transaction.atomic():
        handle.begin()
    if handle.attempt > 1:
        seat.restore()
    choice = said.get("choice")
    told = _carried_out(seat, asked, said) if choice in {ONCE, ALWAYS} else _refused(said)
    output = {"waited": (timezone.now() - decision.created_at).total_seconds()}
    with transaction.atomic():
        if choice == ALWAYS:
            _allow(decision, asked)
        _asking(session_id=session_id, stage=Bead.Stage.WORKING.value)
        session_say(session_id=session_id, text=told)
        handle.finish(output)
    forget(session_id)
    return output


def _carried_out(seat: Seat, asked: dict[str, Any], said: dict[str, Any]) -> str:
    action = bind(Call(asked["id"], asked["name"], asked["arguments"]), {RunCommand.name})
    assert isinstance(action, RunCommand)  # noqa: S101 - only such an action is asked about
    done = seat.command(action.command, timeout=action.timeout)
    seat.keep()
    return f"{said.get('decider', 'A person')} allowed the command.\n{command_text(done)}"


def _refused(said: dict[str, Any]) -> str:
    why = f" {said['rationale']}" if said.get("rationale") else ""
    return f"The command was not allowed (by {said.get('decider') or 'nobody'}).{why} Find another way."


def _allow(decision: Decision, asked: dict[str, Any]) -> None:
    judgement = judge(str(asked["arguments"].get("command", "")), project_rules(decision.project))
    for rule in always_rules(judgement, project_rules(decision.project)):
        command_rule_set(
            project=decision.project, pattern=rule.pattern, verdict=ALLOW,
            reason=f"Allowed in decision {decision.pk}.", actor=decision.decider,
        )  # fmt: skip


def later(until: str | None, seconds: float) -> str | None:
    """A moment put off: waiting for an answer is not the agent's time."""
    if until is None:
        return None
    return (datetime.fromisoformat(until) + timedelta(seconds=seconds)).isoformat()
