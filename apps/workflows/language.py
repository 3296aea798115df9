"""Carries out the instructions of agents: within their project, as far as their persona's authority goes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from django.db import transaction

from apps.agents.models import Session
from apps.agents.orchestration import Carried, Order
from apps.agents.replies.language_values import DEFAULT_SECONDS, LOOKING, instructions_of
from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict, Forbidden, NotFound
from apps.core.storable import storable
from apps.engine.models import Run, Signal
from apps.engine.queries import run_history, run_query
from apps.engine.services import run_cancel, run_signal
from apps.events.bus import emit
from apps.workflows.language_catalog import (
    WORKFLOWS,
    Commission,
    activity,
    catalog_text,
    checked_input,
)
from apps.workflows.language_schedules import (
    next_tick,
    schedule_remove,
    schedule_set,
    schedules_of,
    shown_name,
)
from apps.workflows.language_start import persona_may, started_flows, workflow_start

LONGEST_WAIT_S = 4 * 3600  # who waits holds a place that the work waited for may need
SHOWN_RUNS, SHOWN_ENTRIES = 30, 40
SIGNAL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")
SIGNALED_FLOWS = {"bead.work"}  # beside those of the catalog: its definitions wait for named signals


def execute(order: Order) -> Carried:
    """The executor behind `apps.agents.orchestration`."""
    kind = order.instruction.kind
    allowed = instructions_of(order.agent.persona.metadata)
    if order.session is not None and order.session.kind != Session.Kind.WORK:
        allowed = LOOKING
    if kind not in allowed:
        raise Forbidden(
            f"{kind} is not open to {order.agent.role} here.", hint=f"You may use: {', '.join(allowed)}."
        )
    carried = DOERS[kind](order)
    with transaction.atomic():
        emit(
            "orchestration.executed",
            organization_id=order.project.organization_id,
            project_id=order.project.pk,
            bead_id=order.session.bead_id if order.session else None,
            subject=f"order:{order.key}",
            actor=order.agent.name,
            instruction=kind,
            target=order.instruction.target,
            **carried.data,
        )
    return carried


def _key(order: Order) -> str:
    given = order.instruction.options.get("idempotency_key")
    return f"language:{order.project.pk}:{given}" if given else f"language:{order.key}"


def _commission(order: Order) -> Commission:
    return Commission(order.project, order.agent, _key(order), order.session)


def _workflow(order: Order) -> Carried:
    options, target = order.instruction.options, order.instruction.target
    wait = options.get("wait", False)
    if wait is True:
        wait = options.get("timeout", DEFAULT_SECONDS)
    if wait > LONGEST_WAIT_S:
        raise BadInput("A session waits for four hours at most.", hint="Ask with QUERY later.")
    if wait and order.run_id is None:
        raise BadInput("Only a session can wait for a result.", hint="Leave WAIT out.")
    run = workflow_start(
        commission=_commission(order),
        workflow=target,
        given=options.get("input", {}),
        options=options,
        # The end of a child is told to who waits for it.
        parent=Run.objects.get(pk=order.run_id or 0) if wait else None,
    )
    told = f"Run {run.pk} of {target} is {run.status} (WORKFLOW_ID {run.key})."
    if not wait:
        return Carried(told, {"run": run.pk})
    if run.parent_id != order.run_id:
        raise Conflict(f"Run {run.pk} was started before, by others.", hint=f"Ask with QUERY: {run.pk}.")
    return Carried(
        f"{told} You get its result as the next message.", {"run": run.pk}, ((run.pk, float(wait)),)
    )


def _schedule(order: Order) -> Carried:
    options, target = order.instruction.options, order.instruction.target
    name = options.get("name", target)
    entry = WORKFLOWS.get(target.strip().lower())
    if entry is not None and not persona_may(order.agent.persona.metadata, entry.needs):
        raise Forbidden(f"Your role may not start {target}: it lacks the action {entry.needs}.")
    row = schedule_set(
        commission=_commission(order),
        name=name,
        workflow=target,
        given=options.get("input", {}),
        options=options,
    )
    return Carried(
        f"The schedule {name!r} starts {target} every {row.interval.every} seconds, next {next_tick(row)}.",
        {"schedule": name},
    )


def _activity(order: Order) -> Carried:
    target, options = order.instruction.target, order.instruction.options
    entry = activity(target)
    if not persona_may(order.agent.persona.metadata, entry.needs):
        raise Forbidden(f"Your role may not do {target}: it lacks the action {entry.needs}.")
    given = checked_input(entry.input, options.get("input", {}), of=target)
    for attempt in range(options.get("retry", 0) + 1):
        try:
            return Carried(entry.act(order, given), {"attempts": attempt + 1})
        except (BadInput, Forbidden, NotFound):
            raise
        except Exception:
            if attempt == options.get("retry", 0):
                raise
    raise AssertionError("a last attempt returns or raises")


# -- runs that are there --------------------------------------------------------------------------------


def _run_of(order: Order) -> Run:
    """The run an instruction is about: by number, by key, or the newest of a bead; only of its project."""
    options = order.instruction.options
    wanted = str(options.get("run_id") or options.get("workflow_id") or order.instruction.target).strip()
    runs = Run.objects.filter(project_id=order.project.pk)
    found = runs.filter(pk=int(wanted)).first() if wanted.isdecimal() and len(wanted) < 19 else None
    found = (
        found
        or runs.filter(key=wanted).first()
        or runs.filter(key=f"language:{order.project.pk}:{wanted}").first()
    )
    if found is None:
        bead = Bead.objects.filter(project=order.project, key__iexact=wanted).first()
        found = runs.filter(bead_id=bead.pk).order_by("-id").first() if bead else None
    if found is None:
        raise NotFound(f"There is no run {wanted!r} in this project.", hint="LIST: runs shows them.")
    return found


def _query(order: Order) -> Carried:
    run, wanted = _run_of(order), order.instruction.options.get("type", "status").lower()
    if wanted == "history":
        entries = run_history(run_id=run.pk)[-SHOWN_ENTRIES:]
        lines = [f"{entry['at']:%Y-%m-%d %H:%M:%S} {entry['kind']} {entry['name']}" for entry in entries]
        return Carried("\n".join(lines) or "Nothing happened yet.", {"run": run.pk})
    said = run_query(run_id=run.pk) if wanted == "status" else run_query(run_id=run.pk, name=wanted)
    shown = {"run": run.pk, **said, "output": run.output} if wanted == "status" else said
    return Carried(json.dumps(storable(shown), ensure_ascii=False), {"run": run.pk})


@transaction.atomic
def _signal(order: Order) -> Carried:
    run, name = _run_of(order), order.instruction.options["name"]
    if not SIGNAL_NAME.fullmatch(name):
        raise Forbidden(
            f"{name!r} is no signal for agents.", hint="Names are lower-case words, without colons."
        )
    open_to = {signal for one in WORKFLOWS.values() if one.flow == run.flow for signal in one.signals}
    if run.flow not in SIGNALED_FLOWS and name not in open_to:
        raise Forbidden(f"Runs of {run.flow} take no signal {name!r} from agents.")
    Run.objects.locked().filter(pk=run.pk).first()
    mark = {"agent": order.agent.name, "order": _key(order)}
    told = Signal.objects.filter(run_id=run.pk, name=name, data__sent_by__order=mark["order"])
    if not told.exists():
        data = {**order.instruction.options.get("data", {}), "sent_by": mark}
        run_signal(run_id=run.pk, name=name, data=data, actor=order.agent.name)
    return Carried(f"Run {run.pk} was told {name}.", {"run": run.pk})


def _cancel(order: Order) -> Carried:
    options, target = order.instruction.options, order.instruction.target
    full = order.agent.persona.metadata.get("autonomy") == "full"
    names = {shown_name(row) for row in schedules_of(order.project.pk)}
    if target in names and not {"run_id", "workflow_id"} & options.keys():
        schedule_remove(project=order.project, name=target, actor=order.agent, own_only=not full)
        return Carried(f"The schedule {target!r} is gone.", {"schedule": target})
    run = _run_of(order)
    if run.flow not in started_flows():
        raise Forbidden(f"Runs of {run.flow} are not started by agents, nor canceled by them.")
    if run.cancel_requested or run.status == Run.Status.CANCELED:
        return Carried(f"Run {run.pk} is being canceled already.", {"run": run.pk})
    run_cancel(run_id=run.pk, actor=order.agent.name)
    return Carried(f"Run {run.pk} is being canceled.", {"run": run.pk})


def _list(order: Order) -> Carried:
    what = order.instruction.target.strip().lower() or "runs"
    if what in {"catalog", "catalogue", "workflows", "activities"}:
        return Carried(catalog_text())
    if what == "schedules":
        lines = [
            f"{shown_name(row)}: {json.loads(row.kwargs)['workflow']} every {row.interval.every} s, "
            + (f"next {next_tick(row)}" if row.enabled else "switched off")
            for row in schedules_of(order.project.pk)
            if row.interval
        ]
    elif what == "runs":
        runs = Run.objects.filter(project_id=order.project.pk).order_by("-id")
        if wanted := order.instruction.options.get("type"):
            runs = runs.filter(status=wanted) if wanted in Run.Status.values else runs.filter(flow=wanted)
        lines = [f"{run.pk} {run.flow} {run.status} ({run.key})" for run in runs[:SHOWN_RUNS]]
    else:
        raise BadInput(f"There is no list of {what!r}.", hint="Use runs, schedules or catalog.")
    return Carried("\n".join(lines) or f"There are no {what}.")


DOERS: dict[str, Callable[[Order], Carried]] = {
    "WORKFLOW": _workflow,
    "SCHEDULE": _schedule,
    "QUERY": _query,
    "SIGNAL": _signal,
    "ACTIVITY": _activity,
    "CANCEL": _cancel,
    "LIST": _list,
}
