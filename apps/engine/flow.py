"""Flows and what they are made of: step, call, wait_for, sleep, answers.

Child runs (`children`) and histories that begin anew (`generations`) have modules of their own.

A flow is an ordinary function. Whatever it must not repeat goes through one of these functions, which record
the result under the next number of the run; when the flow is called again after a crash or a wait, finished
steps return what they recorded. So a flow must ask for its steps in the same order each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from django.utils import timezone

from apps.core.commit import after_commit
from apps.core.crash import crashpoint
from apps.core.prepared import Prepared
from apps.core.storable import storable
from apps.engine.attempts import within
from apps.engine.effects import perform
from apps.engine.errors import Abandoned, Failure, Outage, StepFailed, Suspended, TimedOut, is_outage
from apps.engine.execution import ENDED, Execution, current
from apps.engine.models import ANY_CHILD, CHILD, Run, Signal, Step
from apps.engine.pacing import outside
from apps.engine.retrying import ONCE, Retry

__all__ = [
    "Handle",
    "Retry",
    "answers",
    "call",
    "current",
    "flow",
    "joins",
    "sleep",
    "sleep_until",
    "step",
    "wait_for",
]

T = TypeVar("T")
FlowFunction = Callable[..., Any]
# For runs that begin together, by run: what is put into the scratch of each.
Prepare = Callable[[Sequence[Run]], dict[int, dict[str, Any]]]

_WAITING = Signal.objects.filter(consumed_at=None).order_by("id").values_list("pk", "data")
_SAID: Prepared[tuple[int, Any]] = Prepared(lambda run_id, name: _WAITING.filter(run_id=run_id, name=name))
_CHILD_SAID: Prepared[tuple[int, Any]] = Prepared(
    lambda run_id: _WAITING.filter(run_id=run_id, name__startswith=CHILD)
)

MAX_LOST = 20  # attempts of one call that may end with the worker's death or the database's
KEPT_FAILURES = 20  # of one call


@dataclass(frozen=True)
class Flow:
    name: str
    function: FlowFunction
    version: int
    prepare: Prepare | None = None


FLOWS: dict[str, Flow] = {}  # the newest version of each
_older: dict[tuple[str, int], Flow] = {}


def flow(
    name: str, *, version: int = 1, prepare: Prepare | None = None
) -> Callable[[FlowFunction], FlowFunction]:
    """Register a flow under a name that never changes.

    Several versions may stand side by side: new runs take the newest, older ones stay with theirs. `prepare`
    may read what runs need first that begin together; each must manage without.
    """

    def register(function: FlowFunction) -> FlowFunction:
        made, newest, same = Flow(name, function, version, prepare), FLOWS.get(name), flow_of(name, version)
        if same is not None and same.function.__module__ != function.__module__:
            places = f"{same.function.__module__} and {function.__module__}"
            raise RuntimeError(f"Version {version} of the flow {name!r} is registered twice: in {places}.")
        if newest is not None and newest.version > version:
            _older[name, version] = made
            return function
        if newest is not None and newest.version < version:
            _older[name, newest.version] = newest
        FLOWS[name] = made
        return function

    return register


def flow_of(name: str, version: int) -> Flow | None:
    newest = FLOWS.get(name)
    return newest if newest is not None and newest.version == version else _older.get((name, version))


def versions_of(name: str) -> list[int]:
    """The versions of a flow that are registered."""
    older = [version for known, version in _older if known == name]
    return sorted({*older, *([FLOWS[name].version] if name in FLOWS else [])})


def answers(name: str, answer: Callable[[], Any]) -> None:
    """Let people ask this run something at any time (`run_query`): `answer` says it from what the flow knows.

    It is called while nothing may be written, takes no steps and returns JSON.
    """
    current().answers[name] = answer


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
        output = perform(execution, seq, name, partial(function, **kwargs), started=started)
    except Exception as error:
        failure = Failure.of(error)
        with execution.transaction():
            execution.write(seq, name, Step.Status.FAILED, started=started, error=failure.dump())
        raise StepFailed(name, failure, seq=seq) from error
    crashpoint("after_step_commit")
    return output  # type: ignore[no-any-return]


class Handle:
    """A step that talks to the outside world: its intent is written first, its result afterwards.

    `key` names the step for ever, `attempt` counts from 1. Functions marked `@joins` call `begin` (or
    `begin_alone`) and `finish` inside transactions of their own, so that what they write commits with the
    step; for others the engine does. `is_abandoned` once the attempt took too long: nothing it does counts
    any more.
    """

    def __init__(
        self,
        execution: Execution,
        seq: int,
        name: str,
        attempt: int,
        *,
        retry: Retry = ONCE,
        failures: Iterable[dict[str, Any]] = (),
    ) -> None:
        self.key = f"{execution.key}:{seq}"
        self.attempt, self.retry = attempt, retry
        self.began = self.finished = self.is_abandoned = False
        self.output: Any = None
        self._execution, self._seq, self._name = execution, seq, name
        self._started, self._failures = timezone.now(), list(failures)

    @property
    def tries(self) -> int:
        """This attempt and those that failed; those that ended with their worker use up no retries."""
        failed = len(self._failures)
        return 1 + failed if failed < KEPT_FAILURES else self.attempt

    def begin(self) -> None:
        """Record the intent; must be inside a transaction. A second call of one attempt is harmless."""
        if self.began:
            self._execution.hold()
            self._refuse_abandoned()
        else:
            self._hold_and_write(Step.Status.RUNNING, interruptible=True)
            after_commit(self._note_begun)

    def begin_alone(self) -> None:
        """Record the intent where nothing else is written with it: one statement, a transaction by itself."""
        fields = {"started": self._started, "attempt": self.attempt}
        self._execution.write_alone(self._seq, self._name, Step.Status.RUNNING, **fields)
        self._refuse_abandoned()
        self._note_begun()

    def finish(self, output: Any) -> None:
        """Record the result, which must be JSON; must be inside a transaction."""
        self.output = storable(output)
        self._hold_and_write(Step.Status.DONE, output=self.output)
        self.finished = True

    def wait(self, delay: float, failure: Failure) -> None:
        """Park the run until the next attempt."""
        wake_at = timezone.now() + timedelta(seconds=delay)
        with self._execution.transaction():
            self._write_failure(Step.Status.WAITING, failure, wake_at=wake_at)
            self._execution.release(Run.Status.WAITING, wake_at=wake_at)
        raise Suspended

    def fail(self, failure: Failure) -> None:
        with self._execution.transaction():
            self._write_failure(Step.Status.FAILED, failure)

    def abandon(self) -> bool:
        """Refuse whatever the attempt still does; False if its result is on record already."""
        self.is_abandoned = True
        with self._execution.transaction():  # begins when what the attempt may just commit is committed
            row = Step.objects.filter(run_id=self._execution.run.pk, seq=self._seq, status=Step.Status.DONE)
            found = row.values_list("output").first()
        if found is not None:
            self.output, self.finished = found[0], True
        return found is None

    def _note_begun(self) -> None:
        """Only once it is committed: a transaction that failed has to be made up for by the next one."""
        self.began = True

    def _refuse_abandoned(self) -> None:
        if self.is_abandoned:
            raise Abandoned

    def _hold_and_write(self, status: str, **fields: Any) -> None:
        fields |= {"started": self._started, "attempt": self.attempt}
        may_be_abandoned = self.retry.timeout is not None
        once_held = self._refuse_abandoned if may_be_abandoned else None
        self._execution.hold_and_write(self._seq, self._name, status, once_held=once_held, **fields)

    def _write(self, status: str, **fields: Any) -> None:
        fields |= {"started": self._started, "attempt": self.attempt}
        self._execution.write(self._seq, self._name, status, **fields)

    def _write_failure(self, status: str, failure: Failure, **fields: Any) -> None:
        self._write(status, error=failure.dump(), **fields)
        if self.retry == ONCE:
            return
        moments = {"started_at": self._started.isoformat(), "ended_at": timezone.now().isoformat()}
        self._failures.append({"attempt": self.attempt, **moments, **asdict(failure)})
        Step.objects.filter(run_id=self._execution.run.pk, seq=self._seq).update(
            policy=self.retry.data(), failures=self._failures[-KEPT_FAILURES:]
        )


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
    attempt, failures = (known.attempt + 1, known.failures or ()) if known else (1, ())
    handle = Handle(execution, seq, name, attempt, retry=retry, failures=failures)
    if known is not None and known.status == Step.Status.RUNNING and known.attempt >= MAX_LOST:
        failure = Failure("lost", f"{known.attempt} attempts ended with the worker's death.")
        handle.fail(failure)
        raise StepFailed(name, failure, seq=seq)
    try:
        _do(function, handle, execution, kwargs)
    except Exception as error:
        if is_outage(error) and handle.attempt < MAX_LOST:
            raise Outage from error
        failure, delay = Failure.of(error), retry.delay_after(handle.tries, error)
        if delay is not None:
            handle.wait(delay, failure)
        handle.fail(failure)
        raise StepFailed(name, failure, seq=seq) from error
    crashpoint("after_step_commit")
    return handle.output


def _do(function: Callable[..., Any], handle: Handle, execution: Execution, kwargs: dict[str, Any]) -> None:
    if not getattr(function, "joins_transactions", False):
        handle.begin_alone()
        crashpoint("after_intent")
    work = partial(function, handle, **kwargs)
    with execution.working():
        output = work() if handle.retry.timeout is None else _in_time(handle, work, handle.retry.timeout)
    crashpoint("before_result")
    if not handle.finished:
        with execution.transaction():
            handle.finish(output)


def _in_time(handle: Handle, work: Callable[[], Any], seconds: float) -> Any:
    try:
        with outside():  # the attempt has a thread of its own
            return within(seconds, work, name=handle.key)
    except TimedOut:
        if handle.abandon():
            raise
        return handle.output


def wait_for(signal: str, *, timeout: float | None = None) -> dict[str, Any] | None:
    """The data of the next signal of that name, or None after `timeout` seconds. Waiting costs nothing."""
    deadline = timezone.now() + timedelta(seconds=timeout) if timeout is not None else None
    return wait_until(signal, deadline)


def sleep(seconds: float) -> None:
    """Wait durably; no worker is held."""
    sleep_until(timezone.now() + timedelta(seconds=seconds))


def sleep_until(moment: datetime) -> None:
    """Wait durably for a moment, which may have passed."""
    wait_until(f"timer:{current().seq + 1}", moment)


def wait_until(signal: str, deadline: datetime | None) -> dict[str, Any] | None:
    """The same as `wait_for` with the moment itself."""
    execution, name, now = current(), f"wait:{signal}", timezone.now()
    seq, known = execution.next(name)
    if known is not None and known.status in ENDED:
        return known.output  # type: ignore[no-any-return]
    started = now
    if known is not None:
        deadline, started = known.wake_at, known.started_at
    # The run's row is held while we look: a signal that comes meanwhile wakes whoever waits after our commit.
    with execution.transaction(interruptible=True):
        run_id = execution.run.pk
        came = _CHILD_SAID(run_id, limit=1) if signal == ANY_CHILD else _SAID(run_id, signal, limit=1)
        data = came[0] if came else None
        if data is None and (deadline is None or deadline > now):
            if known is None:
                execution.write(seq, name, Step.Status.WAITING, started=now, wake_at=deadline)
            execution.release(Run.Status.WAITING, wake_at=deadline, waits_for=signal)
        else:
            if data is not None:
                Signal.objects.filter(pk=data[0]).update(consumed_at=now, consumed_seq=seq)
            output = data[1] if data is not None else None
            execution.write(seq, name, Step.Status.DONE, started=started, output=output)
            return output
    crashpoint("after_suspend")
    raise Suspended
