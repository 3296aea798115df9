"""Retry policies: how often, how soon and how long a call to the outside world is tried. They are data."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

from apps.engine.errors import Failure


@dataclass(frozen=True)
class Retry:
    """How often and how soon a failed call is tried again; delays in seconds.

    `never` lists failures that are final at once, by class or by code. An attempt that takes longer than
    `timeout` has failed with the code "timeout"; see `apps.engine.attempts` for what becomes of it.
    """

    attempts: int = 4
    delay: float = 1.0
    factor: float = 3.0
    max_delay: float = 120.0
    jitter: float = 0.2
    never: tuple[type[Exception] | str, ...] = ()
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("A call is made at least once: attempts must be 1 or more.")
        if min(self.delay, self.factor, self.max_delay, self.jitter) < 0:
            raise ValueError("The delays of a retry policy cannot be negative.")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError("The timeout of an attempt must be more than 0 seconds.")

    def delay_after(self, attempt: int, error: Exception) -> float | None:
        """Seconds until the next attempt, or None when this was the last."""
        if attempt >= self.attempts or self.is_final(error):
            return None
        try:
            wanted = min(self.max_delay, self.delay * self.factor ** (attempt - 1))
        except OverflowError:
            wanted = self.max_delay
        wanted *= 1 + self.jitter * random.random()  # noqa: S311 - spreads retries, no secret
        return max(wanted, float(getattr(error, "retry_after", 0) or 0))

    def is_final(self, error: Exception) -> bool:
        """Whether trying again is pointless: the error says so itself, or is on the list."""
        if getattr(error, "retryable", True) is False:
            return True
        classes = tuple(one for one in self.never if not isinstance(one, str))
        return isinstance(error, classes) or Failure.of(error).code in self.never

    def data(self) -> dict[str, Any]:
        """The policy as it is kept with a step."""
        never = [one if isinstance(one, str) else one.__name__ for one in self.never]
        return asdict(self) | {"never": never}


ONCE = Retry(attempts=1)
