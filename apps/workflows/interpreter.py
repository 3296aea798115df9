"""The interpreter: a walk through a workflow's graph, node by node, as part of a flow.

It holds nothing that its steps do not say again: after a crash the flow is called anew, the finished steps
return what they recorded, and the walk comes to where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from apps.agents.troubles import DROP
from apps.engine.errors import StepFailed
from apps.engine.flow import step
from apps.workflows.execution_services import execution_begin, execution_escalate, node_enter
from apps.workflows.graph import DROP as GIVE_UP
from apps.workflows.graph import ENDS, Graph
from apps.workflows.graph_actions import Outcome
from apps.workflows.graph_library import pinned
from apps.workflows.talk import Dropped, Stopped, ask_person

Behavior = Callable[[Any, str, Any], Outcome]


class Walk:
    """One execution of a workflow. Subclasses know what it is about and how its nodes behave."""

    behaviors: ClassVar[dict[str, Behavior]] = {}

    def __init__(self, *, project_id: int, bead_id: int | None = None) -> None:
        self.project_id, self.bead_id = project_id, bead_id
        self.execution_id, self.sha256 = 0, ""
        self.labels: list[str] = []
        self.visits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()  # of each node, since a person last helped
        self.escalated: set[str] = set()
        self.cycles = self.cycles_since_help = 0
        self.entered_at: datetime | None = None
        self.left: dict[str, Any] | None = None  # how the last node ended
        self.why = ""  # what whoever comes next is told
        self.claim_id: int | None = None  # the newest, where there are claims

    @property
    def graph(self) -> Graph:
        return pinned(self.sha256)

    def run(self, workflow: str = "", begun: dict[str, Any] | None = None) -> str:
        """Walk from the start to an end; which one.

        `workflow` is the hash it was dispatched with, `begun` what `executions_begin` gave.
        """
        begun = begun or step(
            execution_begin, project_id=self.project_id, bead_id=self.bead_id, workflow=workflow
        )
        self.execution_id, self.sha256, self.labels = begun["execution"], begun["workflow"], begun["labels"]
        key = self.graph.start
        if begun["entered"]:
            self.visits[key] += 1
            self.entered_at = datetime.fromisoformat(begun["entered"])
            key = self.act(key)
        while key not in ENDS:
            self.enter(key)
            key = self.act(key)
        return key

    def act(self, key: str) -> str:
        """Do what the node says; where that leads."""
        node = self.graph.nodes[key]
        try:
            outcome = self.behaviors[node.kind](self, key, node)
        except StepFailed as failed:
            self.platform_failed(failed)
            return key
        except Stopped as stopped:
            outcome = Outcome("escalated", str(stopped), {"reason": stopped.reason})
        return self.leave(key, outcome)

    def enter(self, key: str) -> None:
        node = self.graph.nodes[key]
        self.visits[key] += 1
        entered = step(
            node_enter,
            step_name=f"node:{key}",
            execution_id=self.execution_id,
            key=key,
            kind=node.kind,
            attempt=self.visits[key],
            cycles=self.cycles,
            left=self.left,
            stage=self.stage_of(node),
        )
        self.entered_at, self.left = datetime.fromisoformat(entered["at"]), None

    def leave(self, key: str, outcome: Outcome) -> str:
        """Where the outcome leads: along its edge, or, when the attempts are used up, to an escalation."""
        node = self.graph.nodes[key]
        self.why = outcome.detail
        self.left = {
            "number": sum(self.visits.values()),
            "key": key,
            "condition": outcome.condition,
            "detail": outcome.detail,
            "data": outcome.data or {},
            "attempt": self.visits[key],
            "session": self.session_of(node),
        }
        if outcome.condition == "escalated":
            return self.ask(key, outcome, outcome.detail, self.reason_of(key, outcome))
        target = self.graph.way(key, outcome.condition, self.labels)
        if target in ENDS:
            return target
        if outcome.condition != node.good:
            self.misses[key] += 1
        if target is None or (outcome.condition != node.good and self.misses[key] >= node.max_attempts):
            return self.escalate(key, outcome)
        if self.graph.goes_back(key, target):
            self.cycles += 1
            self.cycles_since_help += 1
            if self.cycles_since_help > self.graph.max_cycles:
                why = f"It went back {self.graph.max_cycles} times without coming to an end."
                return self.ask(key, outcome, why, "max_cycles")
        return target

    def escalate(self, key: str, outcome: Outcome) -> str:
        """Along the node's escalation, once; where it has none, a person decides."""
        why = self.trouble_of(key, outcome)
        target = self.graph.way(key, "escalated", self.labels) if key not in self.escalated else None
        if target is None:
            return self.ask(key, outcome, why, self.reason_of(key, outcome))
        self.escalated.add(key)
        self.misses[key] = 0
        self._tell_escalation(key, why, target)
        return target

    def ask(self, key: str, outcome: Outcome, why: str, reason: str) -> str:
        """Stop until a person says how to go on; with their go-ahead every count begins anew."""
        self._tell_escalation(key, why, "")
        self.stopped(reason, why)
        if ask_person(why, project_id=self.project_id, bead_id=self.bead_id, reason=reason) == DROP:
            raise Dropped(why)
        self.misses.clear()
        self.escalated.clear()
        self.cycles_since_help = 0
        way = (
            self.graph.way(key, outcome.condition, self.labels) if outcome.condition != "escalated" else None
        )
        return way or key

    def _tell_escalation(self, key: str, why: str, to: str) -> None:
        step(
            execution_escalate,
            execution_id=self.execution_id,
            key=key,
            why=why,
            attempts=self.visits[key],
            to=to,
        )

    def platform_failed(self, failed: StepFailed) -> None:
        """A fault of the platform is no outcome: a person is asked, and the node is visited again."""
        trouble = f"{failed.failure.message} {failed.failure.hint}".strip()
        if ask_person(trouble, project_id=self.project_id, bead_id=self.bead_id) == DROP:
            raise Dropped(trouble)

    def until(self, seconds: float | None) -> str | None:
        """The moment at which the node's time is over, counted from when it was entered."""
        if seconds is None or self.entered_at is None:
            return None
        return (self.entered_at + timedelta(seconds=seconds)).isoformat()

    def gives_up(self, key: str) -> bool:
        """Whether being rejected there is the end of it."""
        return self.graph.way(key, "rejected", self.labels) == GIVE_UP

    # -- what subclasses say ---------------------------------------------------------------------

    def stage_of(self, node: Any) -> str:
        """The stage of the bead while it is at a node."""
        return ""

    def session_of(self, node: Any) -> int | None:
        """The session that worked at the node that was just left."""
        return None

    def stopped(self, reason: str, why: str) -> None:
        """The walk stops for a person: let go of what others could use meanwhile."""

    def refusal(self, rationale: str) -> str:
        """What is told to whoever must change what was not approved."""
        return rationale

    def reason_of(self, key: str, outcome: Outcome) -> str:
        """The name of what a node was given up for."""
        return str((outcome.data or {}).get("reason") or self.graph.nodes[key].kind)

    def trouble_of(self, key: str, outcome: Outcome) -> str:
        """What a person is told when a node was given up."""
        return outcome.detail or f"{key} ended with {outcome.condition}."
