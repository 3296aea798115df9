"""What shall happen once a transaction has committed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import connection, transaction


def after_commit(function: Callable[..., object], *args: Any, first: bool = False) -> None:
    """Call it once the transaction has committed, or now if there is none; a failure is logged, no more.

    `first`: before those that are not, for what somebody waits for.

    Not `on_commit(partial(...), robust=True)`: a partial has no name, Django trips over that when it logs the
    failure, and every later hook is lost.
    """

    @wraps(function)
    def hook() -> None:
        function(*args)

    transaction.on_commit(hook, robust=True)
    hooks: list[Any] = connection.run_on_commit
    if first and hooks:
        hook.is_first = True  # type: ignore[attr-defined]
        hooks.insert(sum(getattr(one, "is_first", False) for _, one, _ in hooks[:-1]), hooks.pop())
