"""The part of a merge node where a person merges: a pull request, and what is said to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.agents.merging import MERGE
from apps.agents.pull_requests import REJECT, THERE, pull_ask, pull_close, pull_look, pull_publish
from apps.beads.models import Bead
from apps.engine.flow import call, current, step, wait_for
from apps.workflows.graph_actions import Outcome
from apps.workflows.talk import Dropped, stage

if TYPE_CHECKING:
    from apps.workflows.bead_flow import BeadWalk


class PullRequestTalk:
    """One pull request of a bead's walk, from its push to what a person makes of it."""

    def __init__(self, walk: BeadWalk) -> None:
        self.walk, self.pull_id, self.by = walk, 0, ""

    def ended(self) -> dict[str, Any] | Outcome | None:
        """How it ended without a merge of Loom's own; None if Loom is to merge it."""
        opened: dict[str, Any] = call(pull_publish, claim_id=self.walk.claim_id)
        if opened["status"] != "open":
            return opened
        self.pull_id = opened["pull"]
        for again in range(100):
            said = self._ask(again)
            choice, self.by = said.get("choice"), said.get("decider", "")
            if choice == MERGE:
                return None
            if choice != THERE:
                return self._refused(choice, said.get("rationale", ""))
            found: dict[str, Any] = call(pull_look, pull_id=self.pull_id)
            if found["status"] == "merged":
                self.close("merged", commit=found["commit"])
                return found
        return Outcome("timeout", "It was said to be merged and was not, over and over.")

    def close(self, status: str, commit: str = "") -> None:
        step(pull_close, pull_id=self.pull_id, status=status, commit=commit, actor=self.by)

    def _ask(self, again: int) -> dict[str, Any]:
        asked = step(pull_ask, pull_id=self.pull_id, run_id=current().run.pk, again=again)
        stage(self.walk.bead_id, Bead.Stage.ASKING)
        said = wait_for(f"decision:{asked['decision']}") or {}
        stage(self.walk.bead_id, Bead.Stage.QUEUED)
        return dict(said)

    def _refused(self, choice: str | None, rationale: str) -> Outcome:
        self.close("closed")
        if choice == REJECT:
            raise Dropped(f"Its pull request was closed: {rationale}")
        return Outcome("failure", f"Changes requested by {self.by}: {rationale}")
