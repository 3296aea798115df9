"""What can interrupt a flow.

Interruptions derive from BaseException, so that no `except Exception` in a flow swallows them. Flows must not
take steps in `finally`: it also runs when the run merely waits.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass

from django.db import InterfaceError, OperationalError

from apps.core.errors import LoomError
from apps.core.storable import storable_text

MESSAGE_CHARS = 4000


class Interruption(BaseException):
    """The flow stops here for now; the runner knows what to do."""


class Suspended(Interruption):
    """The run waits; its row says for what."""


class LeaseLost(Interruption):
    """Another worker holds the run now; nothing this one does may be written."""


class Abandoned(LeaseLost):
    """The attempt took too long and was given up; nothing it does may be written any more."""


class Paused(Interruption):
    """Somebody wants the run to be set aside."""


class Outage(Interruption):
    """The database failed under a step; whether it committed is for its rows to tell, which are read anew."""


class Canceled(Interruption):
    """Somebody canceled the run; a flow may catch this and take clean-up steps before it raises it again."""


class Diverged(Interruption):
    """The flow asked for other steps than its history has: it was started by other code."""


class HistoryFull(Interruption):
    """The run has taken more steps than one history holds."""


class TimedOut(LoomError):
    """An attempt took longer than its policy allows."""

    code, status = "timeout", 504


def is_outage(error: BaseException) -> bool:
    """The database is at fault, not the statement: gone, locked, full, deadlocked."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    # SQLite also says OperationalError of a wrong statement; its code tells them apart.
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & 0xFF != sqlite3.SQLITE_ERROR


@dataclass(frozen=True)
class Failure:
    """Why a step failed, as kept in its row."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, LoomError):
            return cls(code=error.code, message=_short(error.message), hint=_short(error.hint))
        if isinstance(error, StepFailed):
            return cls(code=error.failure.code, message=str(error), hint=error.failure.hint)
        name = type(error).__name__
        return cls(code=name, message=_short(str(error)) or name)

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Failure:
        return cls(**json.loads(text))


def _short(text: str) -> str:
    return storable_text(text)[:MESSAGE_CHARS]


class StepFailed(Exception):
    """A step failed for good; the flow may catch it and decide what follows."""

    def __init__(self, step: str, failure: Failure, *, seq: int) -> None:
        super().__init__(f"{step}: {failure.message}")
        self.step = step
        self.failure = failure
        self.seq = seq


class ChildFailed(StepFailed):
    """A child run failed or was canceled; `failure.code` is its status."""
