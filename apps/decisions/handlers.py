"""Reactions to events: questions of a run that was canceled need no answer."""

from __future__ import annotations

from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel
from apps.engine.models import Run
from apps.events.bus import on
from apps.events.models import Event


@on("run.canceled")
def withdraw_questions(event: Event) -> None:
    run = Run.objects.filter(key=event.subject.removeprefix("run:")).first()
    for decision in Decision.objects.open().filter(run_id=run.pk).select_related("project") if run else ():
        decision_cancel(decision=decision, actor="loom")
