"""An execution: one worker's hold on one run, and the only way in which flows write the run's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.core.together import Sent
from apps.engine import doorbell, leases
from apps.engine.errors import (
    Canceled,
    Diverged,
    HistoryFull,
    LeaseLost,
    Outage,
    Paused,
    Suspended,
    is_outage,
)
from apps.engine.models import Run, Step
from apps.engine.rows import StepRow, run_lock, run_release, step_write, step_write_held
from apps.engine.telling import tell

ENDED = frozenset({Step.Status.DONE, Step.Status.FAILED})
MAX_STEPS = 10_000  # of one history

# Of the thread, not of the execution: an attempt that was given up takes no steps while the flow goes on.
_in_step: ContextVar[bool] = ContextVar("engine_in_step", default=False)


@contextmanager
def outages() -> Iterator[None]:
    """Outage when the database fails in the block."""
    try:
        yield
    except Exception as error:
        if is_outage(error):
            raise Outage from error
        raise


@dataclass
class Execution:
    """`steps` are the rows as they were when the run was claimed."""

    run: Run
    steps: dict[int, Step]
    seq: int = 0
    canceling: bool = False
    scratch: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Callable[[], Any]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What this history is called: step and child keys begin with it."""
        run = self.run
        return run.key if run.generation == 1 else f"{run.key}#{run.generation}"

    def next(self, name: str) -> tuple[int, Step | None]:
        """The number of the next step, and its row if there is one."""
        known = self.recall(name)
        if known is not None and known.status in ENDED:
            return self.seq, known
        if self.seq > MAX_STEPS:
            raise HistoryFull(
                f"The run has taken {MAX_STEPS:,} steps, as many as one history holds; a flow that goes on "
                "for long must call continue_as_new from time to time."
            )
        if leases.is_stopping():
            self.hand_over()
        if known is not None:
            with self.transaction(interruptible=True):
                pass  # somebody may have canceled while nobody worked on it
        return self.seq, known

    def recall(self, name: str) -> Step | None:
        """Count the next step and look up what is on record of it."""
        self.refuse_in_step(name)
        self.seq += 1
        known = self.steps.get(self.seq)
        if known is not None and known.name != name:
            raise Diverged(
                f"Step {self.seq} of this run is {known.name!r}, but its flow now asks for {name!r}: "
                "the run was started by other code and cannot go on."
            )
        return known

    def refuse_in_step(self, name: str) -> None:
        if _in_step.get():
            raise RuntimeError(f"A step cannot take steps of its own; {name!r} belongs into the flow.")

    def refuse_unasked(self) -> None:
        """For a flow that ends: it must have asked for all that its history has."""
        if self.seq < max(self.steps, default=0):
            raise Diverged(
                "The flow ended before the last step of its history: the run was started by other code."
            )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Inside, the work of a step is done, which can take no steps itself."""
        token = _in_step.set(True)
        try:
            yield
        finally:
            _in_step.reset(token)

    @contextmanager
    def transaction(self, *, interruptible: bool = False, lazily: bool = False) -> Iterator[None]:
        """A transaction that holds the run, if not `lazily`; Outage when the database fails in it."""
        with outages(), transaction.atomic(durable=True):
            if not lazily:
                self.hold(interruptible=interruptible)
            yield

    def hold(self, *, interruptible: bool = False) -> None:
        """Lock the run's row until the transaction ends.

        LeaseLost if another worker has the run by now; if `interruptible`, Canceled (once) or Paused if
        somebody wants that.
        """
        _refuse_loose()
        wishes = run_lock(self.run.pk, self.run.fence)
        if wishes is None:
            raise LeaseLost
        cancel_requested, pause_requested = wishes
        if not interruptible or self.canceling:
            return
        if cancel_requested:
            self.canceling = True
            raise Canceled
        if pause_requested:
            raise Paused

    def write(self, seq: int, name: str, status: str, **fields: Any) -> None:
        """Write the row of an unfinished step; needs the run held."""
        step_write(self.run, _row(seq, name, status, **fields))

    def hold_and_write(
        self,
        seq: int,
        name: str,
        status: str,
        *,
        once_held: Callable[[], None] | None = None,
        interruptible: bool = False,
        **fields: Any,
    ) -> None:
        """Both at once, maybe together with other statements; raises what `hold` and `write` raise.

        `once_held` is called in between.
        """
        _refuse_loose()
        row = _row(seq, name, status, **fields)

        def look_closer(written: Sent) -> None:
            if written.count != 1:
                self.hold(interruptible=interruptible)
            if once_held is not None:
                once_held()
            if written.count != 1:
                step_write(self.run, row)

        undisturbed = interruptible and not self.canceling
        always = once_held is not None
        step_write_held(self.run, row, undisturbed=undisturbed, then=look_closer, always=always)

    def write_alone(self, seq: int, name: str, status: str, **fields: Any) -> None:
        """Write the row of a step, with no transaction around it if nothing stands against that."""
        row = _row(seq, name, status, **fields)
        with outages():
            written = step_write_held(self.run, row, undisturbed=not self.canceling).count == 1
        if not written:
            with self.transaction(interruptible=True):
                step_write(self.run, row)

    def release(
        self, status: str, *, wake_at: datetime | None = None, waits_for: str = "", **changes: Any
    ) -> None:
        """Let go of the run; LeaseLost if it was not ours any more."""
        if not run_release(self.run, status, wake_at=wake_at, waits_for=waits_for):
            raise LeaseLost
        if changes:
            Run.objects.filter(pk=self.run.pk).update(**changes)

    def hand_over(self) -> None:
        """Give the run back, ready for the next worker."""
        with self.transaction():
            self.release(Run.Status.READY)
        doorbell.ring(self.run.pk)
        raise Suspended

    def pause(self) -> None:
        """Set the run aside until somebody resumes it; ready again if the pause is not wanted any more."""
        with self.transaction():
            asked = Run.objects.filter(pk=self.run.pk, pause_requested=True, cancel_requested=False)
            wanted = asked.exists()
            self.release(Run.Status.PAUSED if wanted else Run.Status.READY, pause_requested=False)
            if wanted:
                tell(self.run, "run.paused")
        if not wanted:
            doorbell.ring(self.run.pk)


def _refuse_loose() -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("A step is recorded inside the transaction of what it changed.")


def _row(seq: int, name: str, status: str, **fields: Any) -> StepRow:
    return StepRow(seq, name, status, ended=timezone.now() if status in ENDED else None, **fields)


_current: ContextVar[Execution] = ContextVar("engine_execution")


def current() -> Execution:
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("Steps exist only inside a flow that the engine runs.") from None


@contextmanager
def executing(execution: Execution) -> Iterator[None]:
    outer, in_outer_step = _current.set(execution), _in_step.set(False)
    try:
        yield
    finally:
        _in_step.reset(in_outer_step)
        _current.reset(outer)
