"""Whose work a line of the log is about: set around the work, read by who keeps lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    organization_id: int | None = None
    project_id: int | None = None
    bead_id: int | None = None
    agent_id: int | None = None


NOBODY = Subject()
_current: ContextVar[Subject] = ContextVar("log_subject", default=NOBODY)


def log_subject() -> Subject:
    return _current.get()


@contextmanager
def logs_about(subject: Subject) -> Iterator[None]:
    """What this thread logs within the block is about that organization's work."""
    mark = _current.set(subject)
    try:
        yield
    finally:
        _current.reset(mark)
