"""Flows and what they are made of: step, call, wait_for, sleep; children have a module of their own.

A flow is an ordinary function. Whatever it must not repeat goes through one of these functions, which record
the result under the next number of the run; when the flow is called again after a crash or a wait, finished
steps return what they recorded. So a flow must ask for its steps in the same order each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.utils import timezone

from apps.core.commit import after_commit
from apps.core.crash import crashpoint
from apps.core.storable import storable
from apps.engine.errors import Failure, Outage, StepFailed, Suspended, is_outage
from apps.engine.execution import ENDED, Execution, current
from apps.engine.models import Run, Signal, Step
from apps.engine.pacing import under_way

__all__ = ["Handle", "Retry", "call", "current", "flow", "joins", "sleep", "sleep_until", "step", "wait_for"]

T = TypeVar("T")
FlowFunction = Callable[..., Any]

MAX_LOST = 20  # attempts of one call that may end with the worker's death or the database's


@dataclass(frozen=True)
class Flow:
    name: str
    function: FlowFunction
    version: int


@dataclass(frozen=True)
class Retry:
    """How often and how soon a failed call is tried again; delays in seconds."""

    attempts: int = 4
    delay: float = 1.0
    factor: float = 3.0
    max_delay: float = 120.0
    jitter: float = 0.2
    never: tuple[type[Exception], ...] = ()

    def delay_after(self, attempt: int, error: Exception) -> float | None:
        """Seconds until the next attempt, or None when this was the last."""
        if (
            attempt >= self.attempts
            or isinstance(error, self.never)
            or getattr(error, "retryable", True) is False
        ):
            return None
        wanted = min(self.max_delay, self.delay * self.factor ** (attempt - 1))
        wanted *= 1 + self.jitter * random.random()  # noqa: S311 - spreads retries, no secret
        return max(wanted, float(getattr(error, "retry_after", 0) or 0))


ONCE = Retry(attempts=1)
FLOWS: dict[str, Flow] = {}


def flow(name: str, *, version: int = 1) -> Callable[[FlowFunction], FlowFunction]:
    """Register a flow under a name that never changes."""

    def register(function: FlowFunction) -> FlowFunction:
        FLOWS[name] = Flow(name=name, function=function, version=version)
        return function

    return register


def _name_of(function: Callable[..., Any], name: str) -> str:
    return name or getattr(function, "__name__", "step").strip("_")


def _recorded(step: Step) -> Any:
    if step.status == Step.Status.FAILED:
        raise StepFailed(step.name, Failure.load(step.error), seq=step.seq)
    return step.output


def step(function: Callable[..., T], /, *, step_name: str = "", **kwargs: Any) -> T:
    """Run a function of database effects once; its result and its effects commit together.

    The result must be JSON, and is returned as JSON keeps it. An exception rolls the effects back, is
    recorded and raised as StepFailed.
    """
    execution, name = current(), _name_of(function, step_name)
    seq, known = execution.next(name)
    if known is not None and known.status in ENDED:
        return _recorded(known)  # type: ignore[no-any-return]
    started = timezone.now()
    try:
        with execution.transaction(interruptible=True):
            with execution.working():
                output = storable(function(**kwargs))
            execution.write(seq, name, Step.Status.DONE, started=started, output=output)
            crashpoint("before_step_commit")
    except Exception as error:
        failure = Failure.of(error)
        with execution.transaction():
            execution.write(seq, name, Step.Status.FAILED, started=started, error=failure.dump())
        raise StepFailed(name, failure, seq=seq) from error
    crashpoint("after_step_commit")
    return output  # type: ignore[no-any-return]


class Handle:
    """A step that talks to the outside world: its intent is written first, its result afterwards.

    `key` names the step for ever, `attempt` counts from 1. Functions marked `@joins` call `begin` and
    `finish` inside transactions of their own, so that what they write commits with the step; for others the
    engine does.
    """

    def __init__(self, execution: Execution, seq: int, name: str, attempt: int) -> None:
        self.key = f"{execution.run.key}:{seq}"
        self.attempt = attempt
        self.began = self.finished = False
        self.output: Any = None
        self._execution, self._seq, self._name = execution, seq, name
        self._started = timezone.now()

    def begin(self) -> None:
        """Record the intent; must be inside a transaction. A second call of one attempt is harmless."""
        self._execution.hold(interruptible=not self.began)
        if not self.began:
            self._write(Step.Status.RUNNING)
            after_commit(under_way)
            self.began = True

    def finish(self, output: Any) -> None:
        """Record the result, which must be JSON; must be inside a transaction."""
        self._execution.hold()
        self.output = storable(output)
        self._write(Step.Status.DONE, output=self.output)
        self.finished = True

    def wait(self, delay: float, failure: Failure) -> None:
        """Park the run until the next attempt."""
        wake_at = timezone.now() + timedelta(seconds=delay)
        with self._execution.transaction():
            self._write(Step.Status.WAITING, error=failure.dump(), wake_at=wake_at)
            self._execution.release(Run.Status.WAITING, wake_at=wake_at)
        raise Suspended

    def fail(self, failure: Failure) -> None:
        with self._execution.transaction():
            self._write(Step.Status.FAILED, error=failure.dump())

    def _write(self, status: str, **fields: Any) -> None:
        fields |= {"started": self._started, "attempt": self.attempt}
        self._execution.write(self._seq, self._name, status, **fields)


def joins(function: Callable[..., T]) -> Callable[..., T]:
    """Mark a function that writes its own begin and finish."""
    function.joins_transactions = True  # type: ignore[attr-defined]
    return function


def call(function: Callable[..., Any], /, *, retry: Retry = ONCE, step_name: str = "", **kwargs: Any) -> Any:
    """Run a function that reaches outside the database; it gets a Handle first and returns JSON.

    After a crash between intent and result it runs again with a higher `attempt`. Failures follow `retry`.
    """
    execution, name = current(), _name_of(function, step_name)
    seq, known = execution.next(name)
    if known is not None and known.status in ENDED:
        return _recorded(known)
    handle = Handle(execution, seq, name, attempt=known.attempt + 1 if known else 1)
    if known is not None and known.status == Step.Status.RUNNING and known.attempt >= MAX_LOST:
        failure = Failure("lost", f"{known.attempt} attempts ended with the worker's death.")
        handle.fail(failure)
        raise StepFailed(name, failure, seq=seq)
    try:
        _do(function, handle, execution, kwargs)
    except Exception as error:
        if is_outage(error) and handle.attempt < MAX_LOST:
            raise Outage from error
        failure, delay = Failure.of(error), retry.delay_after(handle.attempt, error)
        if delay is not None:
            handle.wait(delay, failure)
        handle.fail(failure)
        raise StepFailed(name, failure, seq=seq) from error
    crashpoint("after_step_commit")
    return handle.output


def _do(function: Callable[..., Any], handle: Handle, execution: Execution, kwargs: dict[str, Any]) -> None:
    if not getattr(function, "joins_transactions", False):
        with execution.transaction():
            handle.begin()
        crashpoint("after_intent")
    with execution.working():
        output = function(handle, **kwargs)
    crashpoint("before_result")
    if not handle.finished:
        with execution.transaction():
            handle.finish(output)


def wait_for(signal: str, *, timeout: float | None = None) -> dict[str, Any] | None:
    """The data of the next signal of that name, or None after `timeout` seconds. Waiting costs nothing."""
    deadline = timezone.now() + timedelta(seconds=timeout) if timeout is not None else None
    return _wait(signal, deadline)


def sleep(seconds: float) -> None:
    """Wait durably; no worker is held."""
    sleep_until(timezone.now() + timedelta(seconds=seconds))


def sleep_until(moment: datetime) -> None:
    """Wait durably for a moment, which may have passed."""
    _wait(f"timer:{current().seq + 1}", moment)


def _wait(signal: str, deadline: datetime | None) -> dict[str, Any] | None:
    execution, name, now = current(), f"wait:{signal}", timezone.now()
    seq, known = execution.next(name)
    if known is not None and known.status in ENDED:
        return known.output  # type: ignore[no-any-return]
    if known is not None:
        deadline = known.wake_at
    # The run's row is held while we look: a signal that comes meanwhile wakes whoever waits after our commit.
    with execution.transaction(interruptible=True):
        came = Signal.objects.filter(run_id=execution.run.pk, name=signal, consumed_at=None)
        data = came.order_by("id").values_list("pk", "data").first()
        if data is None and (deadline is None or deadline > now):
            if known is None:
                execution.write(seq, name, Step.Status.WAITING, started=now, wake_at=deadline)
            execution.release(Run.Status.WAITING, wake_at=deadline, waits_for=signal)
        else:
            if data is not None:
                Signal.objects.filter(pk=data[0]).update(consumed_at=now, consumed_seq=seq)
            output = data[1] if data is not None else None
            execution.write(seq, name, Step.Status.DONE, started=now, output=output)
            return output
    crashpoint("after_suspend")
    raise Suspended
