"""An execution: one worker's hold on one run, and the only way in which flows write the run's rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.engine import doorbell, leases
from apps.engine.errors import Canceled, Diverged, LeaseLost, Outage, Suspended, is_outage
from apps.engine.models import Run, Step
from apps.engine.rows import run_lock, step_write

ENDED = frozenset({Step.Status.DONE, Step.Status.FAILED})


@dataclass
class Execution:
    """`steps` are the rows as they were when the run was claimed."""

    run: Run
    steps: dict[int, Step]
    seq: int = 0
    in_step: bool = False
    canceling: bool = False
    scratch: dict[str, Any] = field(default_factory=dict)

    def next(self, name: str) -> tuple[int, Step | None]:
        """The number of the next step, and its row if there is one."""
        if self.in_step:
            raise RuntimeError(f"A step cannot take steps of its own; {name!r} belongs into the flow.")
        self.seq += 1
        known = self.steps.get(self.seq)
        if known is not None and known.name != name:
            raise Diverged(
                f"Step {self.seq} of this run is {known.name!r}, but its flow now asks for {name!r}: "
                "the run was started by other code and cannot go on."
            )
        if known is not None and known.status in ENDED:
            return self.seq, known
        if leases.is_stopping():
            self.hand_over()
        if known is not None:
            with self.transaction(interruptible=True):
                pass  # somebody may have canceled while nobody worked on it
        return self.seq, known

    @contextmanager
    def working(self) -> Iterator[None]:
        """Inside, the work of a step is done, which can take no steps itself."""
        self.in_step = True
        try:
            yield
        finally:
            self.in_step = False

    @contextmanager
    def transaction(self, *, interruptible: bool = False) -> Iterator[None]:
        """A transaction that holds the run; Outage when the database fails in it."""
        try:
            with transaction.atomic(durable=True):
                self.hold(interruptible=interruptible)
                yield
        except Exception as error:
            if is_outage(error):
                raise Outage from error
            raise

    def hold(self, *, interruptible: bool = False) -> None:
        """Lock the run's row until the transaction ends.

        LeaseLost if another worker has the run by now; if `interruptible`, Canceled (once) if somebody wants
        that.
        """
        if not connection.in_atomic_block:
            raise RuntimeError("A step is recorded inside the transaction of what it changed.")
        cancel_requested = run_lock(self.run.pk, self.run.fence)
        if cancel_requested is None:
            raise LeaseLost
        if interruptible and cancel_requested and not self.canceling:
            self.canceling = True
            raise Canceled

    def write(self, seq: int, name: str, status: str, **fields: Any) -> None:
        """Write the row of an unfinished step; needs the run held."""
        ended = timezone.now() if status in ENDED else None
        step_write(self.run.pk, seq, name, status, ended=ended, **fields)

    def release(self, status: str, *, wake_at: datetime | None = None, waits_for: str = "") -> None:
        """Let go of the run; LeaseLost if it was not ours any more."""
        held = Run.objects.filter(pk=self.run.pk, fence=self.run.fence, status=Run.Status.RUNNING)
        changes = {"status": status, "wake_at": wake_at, "waits_for": waits_for, "updated_at": timezone.now()}
        if held.update(lease_owner="", lease_until=None, **changes) != 1:
            raise LeaseLost

    def hand_over(self) -> None:
        """Give the run back, ready for the next worker."""
        with self.transaction():
            self.release(Run.Status.READY)
        doorbell.ring(self.run.pk)
        raise Suspended


_current: ContextVar[Execution] = ContextVar("engine_execution")


def current() -> Execution:
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("Steps exist only inside a flow that the engine runs.") from None


@contextmanager
def executing(execution: Execution) -> Iterator[None]:
    token = _current.set(execution)
    try:
        yield
    finally:
        _current.reset(token)
