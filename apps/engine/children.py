"""Child runs: branches of a flow that go on by themselves and are joined again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.core.errors import Conflict
from apps.engine.errors import ChildFailed, Failure
from apps.engine.flow import current, step, wait_until
from apps.engine.models import ANY_CHILD, CHILD, JOIN, Run, Signal
from apps.engine.services import run_cancel, run_start

LATE = "timeout"  # the code of a join that took too long


def start_child(
    flow: str,
    *,
    key: str,
    input: dict[str, Any],  # noqa: A002 - the field's own word
    bead_id: int | None = None,
) -> int:
    """Start a run that belongs to this one, as a step; its id. `key` is unique among this run's children.

    The child belongs to the same organization and project, is canceled, paused and resumed with its parent,
    and outlives it if nobody joins it.
    """
    return step(_start, step_name=f"start:{key}", flow=flow, key=key, input=input, bead_id=bead_id)


def _start(*, flow: str, key: str, input: dict[str, Any], bead_id: int | None) -> int:  # noqa: A002 - as above
    execution = current()
    parent = execution.run
    child = run_start(
        flow=flow,
        key=f"{execution.key}/{key}",
        input=input,
        organization_id=parent.organization_id,
        project_id=parent.project_id,
        bead_id=bead_id or parent.bead_id,
        parent=parent,
    )
    return child.pk


def join(child_id: int, *, timeout: float | None = None) -> Any:
    """What a child returned, once it has ended; ChildFailed if it failed, was canceled or took too long."""
    return join_all([child_id], timeout=timeout)[0]


def join_all(child_ids: Iterable[int], *, timeout: float | None = None) -> list[Any]:
    """What children returned, once the last has ended; or ChildFailed for the first that did not succeed.

    After `timeout` seconds ChildFailed with the code "timeout"; the children go on.
    """
    limit = _Limit(timeout)
    return _outputs([_ended(child_id, limit) for child_id in child_ids])


def join_or_cancel(child_ids: Iterable[int], *, timeout: float | None = None) -> list[Any]:
    """The same for branches that only count together: when one does not succeed, or after `timeout` seconds,
    the others are canceled, and once all have ended, their clean-up included, ChildFailed says which it was.

    A retry of the run cannot bring back branches that were canceled: it fails again, and says so.
    """
    ids, limit = list(child_ids), _Limit(timeout)
    while True:
        standings = step(_standings, step_name="branches", child_ids=ids)
        failed = [child for child, status in standings.items() if status in UNSUCCESSFUL]
        if all(status == Run.Status.DONE for status in standings.values()):
            return _outputs([_ended(child_id, _Limit(None)) for child_id in ids])
        if failed or limit.has_passed:
            return _give_up(ids, [int(child) for child in failed], limit)
        limit.wait(ANY_CHILD)


UNSUCCESSFUL = frozenset({Run.Status.FAILED, Run.Status.CANCELED})


def children_cancel(child_ids: Collection[int]) -> None:
    """Ask children to stop, as a step; those that have ended are left alone."""
    step(_cancel, step_name="cancel:branches", child_ids=list(child_ids))


def _cancel(*, child_ids: list[int]) -> None:
    for child_id in sorted(child_ids):
        try:
            run_cancel(run_id=child_id, actor=f"run:{current().run.key}")
        except Conflict:  # it has ended
            continue


def _give_up(ids: list[int], failed: list[int], limit: _Limit) -> list[Any]:
    children_cancel([child_id for child_id in ids if child_id not in failed])
    endings = {child_id: _ended(child_id, _Limit(None)) for child_id in ids}
    if not failed and any(ending["status"] in UNSUCCESSFUL for _, ending in endings.values()):
        raise limit.passed(f"{len(ids)} branches")
    # The one that failed by itself is the reason, not those that were canceled because of it.
    return _outputs([endings[child_id] for child_id in [*failed, *(one for one in ids if one not in failed)]])


def _outputs(endings: Sequence[tuple[int, dict[str, Any]]]) -> list[Any]:
    for seq, ending in endings:
        if ending["status"] != Run.Status.DONE:
            failure = Failure(ending["status"], ending["error"] or f"It was {ending['status']}.")
            raise ChildFailed(ending["key"], failure, seq=seq)
    return [ending["output"] for _, ending in endings]


def _ended(child_id: int, limit: _Limit) -> tuple[int, dict[str, Any]]:
    # The signal only wakes: what counts is the child's row. So a child that was retried can be joined again.
    while True:
        ending = step(_ending, step_name=f"{JOIN}{child_id}", child_id=child_id)
        if ending["status"] not in Run.UNFINISHED:
            return current().seq, ending
        if limit.has_passed:
            raise limit.passed(ending["key"])
        limit.wait(f"{CHILD}{child_id}")


def _ending(*, child_id: int) -> dict[str, Any]:
    child = Run.objects.get(pk=child_id)
    return {"key": child.key, "status": child.status, "output": child.output, "error": child.error}


def _standings(*, child_ids: list[int]) -> dict[str, str]:
    """How children stand. First what they said is taken: who speaks later is heard at the next wait."""
    spoken = Signal.objects.filter(run_id=current().run.pk, name__startswith=CHILD, consumed_at=None)
    spoken.update(consumed_at=timezone.now(), consumed_seq=current().seq)
    rows = Run.objects.filter(pk__in=child_ids).values_list("pk", "status")
    return {str(pk): status for pk, status in rows}


class _Limit:
    """Until when a flow waits; the moment is on record, and so the same when the flow is called again."""

    def __init__(self, seconds: float | None) -> None:
        self._moment: datetime | None = None
        self._seconds, self._seq = seconds, 0
        self.has_passed = False
        if seconds is not None:
            said = step(_moment_in, step_name="join until", seconds=seconds)
            self._moment, self._seq = datetime.fromisoformat(said), current().seq

    def wait(self, signal: str) -> None:
        self.has_passed = wait_until(signal, self._moment) is None and self._moment is not None

    def passed(self, what: str) -> ChildFailed:
        return ChildFailed(what, Failure(LATE, f"It took longer than {self._seconds:g} s."), seq=self._seq)


def _moment_in(*, seconds: float) -> str:
    return (timezone.now() + timedelta(seconds=seconds)).isoformat()
