"""The port of the orchestration language: agents give orders here, what carries them out stands above.

`use` is called once, when the app that knows flows is ready. An order's `key` names it for ever: carried out
again after a crash, it finds what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.agents.actions.base import clip
from apps.agents.models import Agent, Session
from apps.agents.replies.language import Instruction
from apps.agents.replies.language_values import instruction_check
from apps.core.errors import BadInput, Unavailable
from apps.engine.flow import step, wait_for
from apps.engine.models import Run
from apps.projects.models import Project

if TYPE_CHECKING:
    from apps.agents.results import CheckReport

SHOWN = 6_000


@dataclass(frozen=True)
class Order:
    """An instruction of an agent. `check` runs the checks of a kind in the session's worktree."""

    instruction: Instruction
    project: Project
    agent: Agent
    key: str
    session: Session | None = None
    run_id: int | None = None
    check: Callable[[str], CheckReport] | None = None


@dataclass(frozen=True)
class Carried:
    """What came of an order. The session goes on once the runs in `awaits` (id and seconds) have ended."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    awaits: tuple[tuple[int, float], ...] = ()


Executor = Callable[[Order], Carried]
_executors: list[Executor] = []


def use(executor: Executor) -> None:
    _executors[:] = [executor]


def carry_out(order: Order) -> Carried:
    """Do it, or raise a LoomError that tells the agent why not."""
    if not _executors:
        raise Unavailable("Nothing here carries out instructions.")
    carried = _executors[0](order)
    return replace(carried, text=clip(carried.text))


def instruction_of(kind: str, target: str, options: dict[str, Any]) -> Instruction:
    """The checked instruction, also where a model gave it as an action."""
    try:
        return instruction_check(kind, target, options)
    except ValueError as error:
        raise BadInput(f"{kind}: {error}.") from None


# -- waiting: parts of the session's flow -------------------------------------------------------------


def results_await(session_id: int, awaits: Iterable[Sequence[Any]], tell: Callable[..., object]) -> None:
    """Wait for runs that a turn started, each until its time is over, and tell the session what they gave."""
    for run_id, seconds in awaits:
        until = step(_until, step_name=f"await:{run_id}", seconds=seconds)
        ending = step(_ending, run_id=run_id)
        while ending["status"] in Run.UNFINISHED:
            left = until - timezone.now().timestamp()
            heard = wait_for(f"child:{run_id}", timeout=max(0.0, left))
            ending = step(_ending, run_id=run_id)
            if heard is None:
                break
        step(tell, step_name="tell", session_id=session_id, text=_told(run_id, ending))


def _until(*, seconds: float) -> float:
    return (timezone.now() + timedelta(seconds=seconds)).timestamp()


def _ending(*, run_id: int) -> dict[str, Any]:
    row = Run.objects.filter(pk=run_id).values("key", "status", "output", "error").first()
    return (
        dict(row)
        if row
        else {
            "key": str(run_id),
            "status": "gone",
            "output": None,
            "error": "It does not exist any more.",
        }
    )


def _told(run_id: int, ending: dict[str, Any]) -> str:
    if ending["status"] in Run.UNFINISHED:
        return f"Run {run_id} has not ended in the time you wait; it goes on. Ask with QUERY: {run_id}."
    said = ending["error"] or ending["output"]
    return f"Run {run_id} is {ending['status']}: {str(said)[:SHOWN]}"
