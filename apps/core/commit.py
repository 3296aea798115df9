"""What shall happen once a transaction has committed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import transaction


def after_commit(function: Callable[..., object], *args: Any) -> None:
    """Call it once the transaction has committed, or now if there is none; a failure is logged, no more.

    Not `on_commit(partial(...), robust=True)`: a partial has no name, Django trips over that when it logs the
    failure, and every later hook is lost.
    """

    @wraps(function)
    def hook() -> None:
        function(*args)

    transaction.on_commit(hook, robust=True)
