"""Messages for operators, kept among the events so that pages, streams and programs see them too."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from apps.core.errors import BadInput
from apps.events.bus import Fact, emit_all
from apps.events.models import Event

LEVELS: Final = ("debug", "info", "warning", "error")


@transaction.atomic
def log_message(
    level: str,
    message: str,
    *,
    organization_id: int | None = None,
    project_id: int | None = None,
    bead_id: int | None = None,
    actor: str = "loom",
    **data: Any,
) -> Event:
    """Tell operators something; without an organization only those of the whole installation see it."""
    if level not in LEVELS:
        raise BadInput(f"{level!r} is no level.", hint="Use one of: " + ", ".join(LEVELS) + ".")
    said = {"level": level, "message": message, **data}
    return emit_all([Fact("log.message", organization_id, project_id, bead_id, "log", actor, said)])[0]
