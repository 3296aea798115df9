"""A worker that is killed while it pushes a branch: one branch, one pull request, one question."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from apps.agents.hub import Hub
from apps.agents.merge_models import PullRequest, policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.agents.models import Evidence
from apps.agents.remotes import Remote
from apps.beads.models import Bead
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine import runner
from tests.crash.dying import KILLED, crashpoints, in_child
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import Studio
from tests.workflows.test_pull_requests import noting, remote

__all__ = ["open_studio", "quiet_doorbell", "remote"]

pytestmark = pytest.mark.crash
POINTS = sorted(name for name in crashpoints("agents") if "pull" in name)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_push_is_made_again(open_studio: Callable[..., Studio], remote: Hub, point: str) -> None:
    studio = open_studio(noting)
    merge_policy_set(project=studio.project, strategy="branch-pr", remote=str(remote.path))
    assert Remote(studio.hub, policy_of(studio.project.pk)).push(studio.hub.head() or "", "main", before=None)
    bead = studio.bead("Note")
    assert in_child(studio.run, crash_at=point) == KILLED
    assert not PullRequest.objects.exists()
    time.sleep(1.1)  # the same merge a second later is another commit
    runner.sweep()
    studio.run()

    (pull,) = PullRequest.objects.filter(bead=bead)
    assert remote.head(f"loom/{bead.key}") == pull.commit
    rows = list(bead.evidence.filter(kind=Evidence.Kind.MERGE))
    assert {row.commit for row in rows} == {pull.commit}
    assert len({row.check_name for row in rows}) == len(rows)
    assert Decision.objects.filter(project=studio.project).count() == 1
    decision_decide(decision=studio.open_question(), choice="merge", decider="Ada")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert remote.head("main") == studio.hub.head("main")
