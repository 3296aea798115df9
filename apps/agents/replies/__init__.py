"""Reading what models send: complete actions in order, nothing that is not there, and errors that teach."""

from __future__ import annotations

from apps.agents.replies.history import valid_history, written
from apps.agents.replies.reading import Call, Reading, read_reply

__all__ = ["Call", "Reading", "read_reply", "valid_history", "written"]
