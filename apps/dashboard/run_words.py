"""What the engine's names of steps, signals and events mean to people who look at a run."""

from __future__ import annotations

from apps.engine.models import ANY_CHILD, CHILD, JOIN, Run

# What a run waits for, by its signal or the beginning of it.
WAITS = {
    ANY_CHILD: "one of its parts",
    CHILD: "one of its parts",
    "agent": "its next work",
    "beads.finished": "its beads to be finished",
    "check": "its next check",
    "decision:": "an answer",
    "merge:": "its turn to merge",
    "settled": "an answer",
    "timer:": "its time",
}
STEPS = {
    "act": "carried out the reply",
    "agent_look": "looked at the agent",
    "approval_ask": "asked for approval",
    "bead_finish": "closed the bead",
    "bead_stop": "stopped the bead",
    "clock": "looked at the clock",
    "decide_open": "asked the decision maker",
    "decision_roles": "looked who may decide",
    "decision_state": "looked at the question",
    "deliver": "wrote out the repository",
    "escalation_find": "found the question",
    "execution_begin": "began the workflow",
    "execution_end": "ended the workflow",
    "execution_escalate": "put it before a person",
    "expand_open": "had the PRD expanded",
    "is_finished": "looked whether all is merged",
    "land_plans": "put the plans on main",
    "merge_attempt": "tried to merge",
    "merge_enqueue": "joined the merge queue",
    "merge_leave": "left the merge queue",
    "merge_turn": "took its turn to merge",
    "person_ask": "asked a person",
    "plan_activate": "opened the beads",
    "plan_check": "checked the plan",
    "plan_open": "had the plan made",
    "provider_look": "looked at the model",
    "put_on_main": "was put on main",
    "query": "asked the model",
    "repository_open": "opened the repository",
    "review_open": "asked for a review",
    "review_result": "read the review",
    "seconds_left": "looked at the deadline",
    "session_close": "ended the session",
    "session_tell": "told the agent",
    "verify_claim": "verified the claim",
}
BEGINNINGS = {
    "node:": "came to",
    "phase:": "began",
    "stage:": "is at",
    "start:": "started",
    JOIN: "joined run",
}


def waits_words(signal: str) -> str:
    """What is waited for; a signal that has no words is told by its name."""
    return WAITS.get(signal) or next(
        (words for begin, words in WAITS.items() if begin.endswith(":") and signal.startswith(begin)), signal
    )


def step_words(name: str) -> str:
    """What a step did; one that has no words of its own is told by its name, written as words."""
    if name.startswith("wait:"):
        return f"waited for {waits_words(name.removeprefix('wait:'))}"
    for begin, words in BEGINNINGS.items():
        if name.startswith(begin):
            return f"{words} {name.removeprefix(begin).replace('_', ' ')}"
    return STEPS.get(name) or name.replace("_", " ")


def signal_words(name: str) -> str:
    words = waits_words(name)
    return "was told" if words == name else f"was told: {words}"


def event_words(kind: str) -> str:
    return kind.partition(".")[2].replace("_", " ") or kind


def entry_words(entry: dict[str, object]) -> str:
    """An entry of the timeline of a run."""
    tell = {"signal": signal_words, "event": event_words}.get(str(entry["type"]), step_words)
    return tell(str(entry["name"]))


def status_words(run: Run) -> str:
    """How a run stands, and what it was asked to do at its next step."""
    if run.status in Run.UNFINISHED and run.cancel_requested:
        return f"{run.status}, stops at its next step"
    if run.status in Run.UNFINISHED and run.pause_requested:
        return f"{run.status}, pauses at its next step"
    return str(run.status)
