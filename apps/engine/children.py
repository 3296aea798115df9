"""Child runs: branches of a flow that go on by themselves and are joined again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.engine.errors import ChildFailed, Failure
from apps.engine.flow import current, step, wait_for
from apps.engine.models import JOIN, Run
from apps.engine.services import run_start


def start_child(
    flow: str,
    *,
    key: str,
    input: dict[str, Any],  # noqa: A002 - the field's own word
    bead_id: int | None = None,
) -> int:
    """Start a run that belongs to this one, as a step; its id. `key` is unique among this run's children.

    The child belongs to the same organization and project, is canceled with its parent, and outlives it if
    nobody joins it.
    """
    return step(_start, step_name=f"start:{key}", flow=flow, key=key, input=input, bead_id=bead_id)


def _start(*, flow: str, key: str, input: dict[str, Any], bead_id: int | None) -> int:  # noqa: A002 - as above
    parent = current().run
    child = run_start(
        flow=flow,
        key=f"{parent.key}/{key}",
        input=input,
        organization_id=parent.organization_id,
        project_id=parent.project_id,
        bead_id=bead_id or parent.bead_id,
        parent=parent,
    )
    return child.pk


def join(child_id: int) -> Any:
    """What a child returned, once it has ended; ChildFailed if it failed or was canceled."""
    return join_all([child_id])[0]


def join_all(child_ids: Iterable[int]) -> list[Any]:
    """What children returned, once the last has ended; or ChildFailed for the first that did not succeed."""
    endings = [_ended(child_id) for child_id in child_ids]
    for seq, ending in endings:
        if ending["status"] != Run.Status.DONE:
            failure = Failure(ending["status"], ending["error"] or f"It was {ending['status']}.")
            raise ChildFailed(ending["key"], failure, seq=seq)
    return [ending["output"] for _, ending in endings]


def _ended(child_id: int) -> tuple[int, dict[str, Any]]:
    # The signal only wakes: what counts is the child's row. So a child that was retried can be joined again.
    while True:
        ending = step(_ending, step_name=f"{JOIN}{child_id}", child_id=child_id)
        if ending["status"] not in Run.UNFINISHED:
            return current().seq, ending
        wait_for(f"child:{child_id}")


def _ending(*, child_id: int) -> dict[str, Any]:
    child = Run.objects.get(pk=child_id)
    return {"key": child.key, "status": child.status, "output": child.output, "error": child.error}
