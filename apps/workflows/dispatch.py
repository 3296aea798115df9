"""Dispatch: ready beads go to agents by priority, role and capacity, and no project starves another.

What takes time is read first, without locks. Then the beads are started a few at a time, in transactions that
check again what they rest on: so the first agents ask their models while the last are still being assigned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, repeat

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.agents.forecast import apart
from apps.agents.models import Persona, Session
from apps.agents.org_chart import capacity_ahead, capacity_left
from apps.agents.services import Post, agents_acquire, agents_ahead, personas_of, sessions_ahead
from apps.beads.models import Bead
from apps.beads.services import bead_block, beads_claim
from apps.core.errors import Conflict, LoomError
from apps.core.prepared import Prepared
from apps.core.together import gathers, send, together
from apps.engine.models import Run
from apps.engine.services import Start, runs_start
from apps.events.bus import delivering_late
from apps.projects.models import Project
from apps.workflows.beginnings import Beginning, beginnings_of
from apps.workflows.briefing import Briefing, Work, briefing_of, work_sessions
from apps.workflows.execution_services import Begin, executions_ahead, executions_begin, executions_bind

AT_ONCE = (8, 16, 32)  # beads of one transaction: the first workers begin while others are still assigned
TRIES = 3
LOOK_AHEAD = 50  # more beads than there is room for, in case some wait for the files of others
SETTLED = timedelta(seconds=2)  # who heard that they are ready is done with them by then
PLACES = 0x10_0F_0A_CE  # PostgreSQL's number for the lock on the places of the installation


def _waiting(project_id: int, held_since: datetime, full: Sequence[str]) -> QuerySet[Bead]:
    """Ready beads but for those of full roles, and those that a person is at with an agent since then."""
    talks = Session.objects.filter(project=project_id, kind=Session.Kind.PAIR, status=Session.Status.OPEN)
    paired = talks.filter(updated_at__gt=held_since, bead__isnull=False).values_list("bead_id", flat=True)
    ready = Bead.objects.filter(project=project_id).ready().exclude(pk__in=paired)
    return ready.exclude(role__in=full).order_by("priority", "id")


_OPEN_PROJECT: Prepared[Project] = Prepared(
    lambda pk: Project.objects.exclude(status=Project.Status.CLOSED).defer("prd").filter(pk=pk).order_by()
)
_WAITING: Prepared[Bead] = Prepared(_waiting)
_WORKING: Prepared[int] = Prepared(
    lambda: (
        Bead.objects.filter(status=Bead.Status.IN_PROGRESS).order_by().values_list("project_id", flat=True)
    )
)
_OTHERS: Prepared[int] = Prepared(
    lambda project_id: (
        Bead.objects.ready()
        .exclude(project__status=Project.Status.CLOSED)
        .exclude(project=project_id)
        .order_by()
        .values_list("project_id", flat=True)
        .distinct()
    )
)


def dispatch(project_id: int) -> int:
    """Start as many ready beads of a project as it has room for; how many."""
    started = 0
    for _ in range(TRIES):
        some, again = _dispatch(project_id)
        started += some
        if not again:
            break
    return started


def _dispatch(project_id: int) -> tuple[int, bool]:
    """How many beads were started, and whether others changed some of them meanwhile."""
    project = next(iter(_OPEN_PROJECT(project_id)), None)
    room = room_of(project) if project is not None else 0
    if project is None or room <= 0:
        return 0, False
    full = tuple(role for role, left in capacity_left(project.pk).items() if not left)
    held_since = timezone.now() - timedelta(minutes=settings.LOOM_PAIR_HOLD_MINUTES)
    beads = _WAITING(project.pk, held_since, full, limit=room + LOOK_AHEAD)
    held = apart(project.pk, beads)
    beads = [bead for bead in beads if bead.pk not in held][:room]
    for bead in beads:
        bead.project = project
    begins = beginnings_of(project, beads) if beads else {}
    personas = _personas(project, begins)
    beads = _without_unknown_roles([bead for bead in beads if bead.pk in begins], begins, personas)
    parts = {pk: begin.part for pk, begin in begins.items()}
    try:
        briefing = briefing_of(project, beads, parts) if beads else None
    except LoomError:
        briefing = None  # each run will find that out for itself, and say so at its bead
    started, again = 0, False
    with delivering_late():
        for some in _portions(beads):
            try:
                started += _start(project, some, begins, personas, briefing)
            except Conflict:
                again = True
    return started, again


def _portions(beads: Sequence[Bead]) -> Iterator[Sequence[Bead]]:
    sizes, first = chain(AT_ONCE, repeat(AT_ONCE[-1])), 0
    while first < len(beads):
        size = next(sizes)
        yield beads[first : first + size]
        first += size


def room_of(project: Project) -> int:
    """How many more sessions this project may start, so that every project with work gets its part."""
    working = _WORKING()
    free, own = settings.LOOM_MAX_SESSIONS - len(working), working.count(project.pk)
    if free <= 0 or own >= project.max_sessions:
        return 0
    others = {*_OTHERS(project.pk), *working} - {project.pk}
    share = max(1, settings.LOOM_MAX_SESSIONS // (len(others) + 1))
    return min(free, share - own, project.max_sessions - own)


def _personas(project: Project, begins: dict[int, Beginning]) -> dict[str, Persona]:
    roles = {begin.role for begin in begins.values() if begin.role}
    named = {begin.role: begin.persona for begin in begins.values() if begin.persona is not None}
    return {**personas_of(roles, project), **named} if roles else {}


def _without_unknown_roles(
    beads: Sequence[Bead], begins: dict[int, Beginning], personas: dict[str, Persona]
) -> list[Bead]:
    """Those of the beads that somebody can do; the others wait for a person with the reason."""
    unknown = {bead.pk: begins[bead.pk].role for bead in beads} if beads else {}
    unknown = {pk: role for pk, role in unknown.items() if role and role not in personas}
    for bead in beads:
        if bead.pk in unknown:
            reason = f"There is no persona for the role {unknown[bead.pk]!r}."
            bead_block(bead=bead, reason=reason, actor="loom")
    return [bead for bead in beads if bead.pk not in unknown]


@dataclass(frozen=True)
class Readings:
    """What is read before beads are started, without locks."""

    begins: dict[int, Beginning]
    personas: dict[str, Persona]
    briefing: Briefing


def readings_of(bead: Bead) -> Readings:
    """For one bead that is to be started by itself. Reads git, so not inside a transaction."""
    begins = beginnings_of(bead.project, [bead])
    if bead.pk not in begins or not begins[bead.pk].role:
        raise Conflict(f"The workflow of {bead.key} does not begin with work.")
    parts = {bead.pk: begins[bead.pk].part}
    personas = _personas(bead.project, begins)
    return Readings(begins, personas, briefing_of(bead.project, [bead], parts))


@transaction.atomic
def bead_start(*, bead: Bead, readings: Readings) -> tuple[Run, Session]:
    """Start a ready bead now, if there is a place for it: its run and the session that is open in it."""
    if not _start(bead.project, [bead], readings.begins, readings.personas, readings.briefing):
        raise Conflict("All places for work are taken.", hint="Try again when some work has ended.")
    run = Run.objects.get(key=f"bead:{bead.pk}:{bead.attempts + 1}")
    session = Session.objects.select_related("project", "agent", "bead__project").get(
        pk=run.input["session_id"]
    )
    return run, session


@transaction.atomic
@together(commits=True)
def _start(
    project: Project,
    beads: Sequence[Bead],
    begins: dict[int, Beginning],
    personas: dict[str, Persona],
    briefing: Briefing | None,
) -> int:
    """Agents, sessions and runs for beads, as far as there still is room; Conflict if one was taken."""
    keys = {bead.pk: f"bead:{bead.pk}:{bead.attempts + 1}" for bead in beads}
    _ask_ahead(project, beads, begins, keys)
    # The project's row is the lock: two dispatchers do not both fill the last place.
    current = Project.objects.locked(project.pk)
    if current.status == Project.Status.CLOSED:
        return 0
    beads = within_capacity(beads, begins, capacity_left(current.pk))[: max(0, _places(current))]
    sessions = _seat(project, beads, begins, personas, briefing, keys)
    begun = executions_begin(
        project=project,
        begins=[Begin(bead, begins[bead.pk].graph, is_at_work=bead.pk in sessions) for bead in beads],
    )
    starts = [
        Start(
            keys[bead.pk],
            {
                "bead_id": bead.pk,
                "project_id": project.pk,
                "session_id": sessions.get(bead.pk),
                "begun": begin,
            },
            bead.pk,
        )
        for bead, begin in zip(beads, begun, strict=True)
    ]
    runs = runs_start(
        flow="bead.work", starts=starts, organization_id=project.organization_id, project_id=project.pk
    )
    if len(runs) != len(beads):
        raise Conflict("A bead was started by somebody else.", hint="Try again.")
    executions_bind(begun=begun, runs=runs)
    return len(beads)


def _ask_ahead(
    project: Project, beads: Sequence[Bead], begins: dict[int, Beginning], keys: dict[int, str]
) -> None:
    """Ask in one message what starting the beads reads, behind the locks that it is read under."""
    if not gathers():
        return  # each is asked when it is needed, with the locks in the same order
    Project.objects.lock_ahead(project.pk)
    capacity_ahead(project.pk)
    _lock_places()
    _WORKING.ahead()
    seated = [bead for bead in beads if begins[bead.pk].role]
    agents_ahead(project.pk, {begins[bead.pk].role for bead in seated})
    sessions_ahead(project.pk, [keys[bead.pk] for bead in seated])
    executions_ahead(project, [begins[bead.pk].graph for bead in beads])


def _seat(
    project: Project,
    beads: Sequence[Bead],
    begins: dict[int, Beginning],
    personas: dict[str, Persona],
    briefing: Briefing | None,
    keys: dict[int, str],
) -> dict[int, int]:
    """Claim the beads for agents and open sessions; where no agent works first, a run begins without one."""
    seated = [bead for bead in beads if begins[bead.pk].role] if briefing is not None else []
    posts = [Post(begins[bead.pk].role, bead) for bead in seated]
    agents = agents_acquire(project=project, posts=posts, personas=personas) if posts else []
    names = {bead.pk: agent.name for bead, agent in zip(seated, agents, strict=True)}
    beads_claim(claims=[(bead, names.get(bead.pk, "")) for bead in beads])
    if briefing is None or not seated:
        return {}
    works = [Work(bead, agent, keys[bead.pk]) for bead, agent in zip(seated, agents, strict=True)]
    opened = work_sessions(project=project, works=works, briefing=briefing)
    return {bead.pk: session.pk for bead, session in zip(seated, opened, strict=True)}


def within_capacity(
    beads: Sequence[Bead], begins: dict[int, Beginning], places: dict[str, int]
) -> list[Bead]:
    """Those of the beads whose role has a place left in the org chart; roles without a limit always have."""
    left, taken = dict(places), []
    for bead in beads:
        role = begins[bead.pk].role
        if left.get(role, 1) <= 0:
            continue
        if role in left:
            left[role] -= 1
        taken.append(bead)
    return taken


def _places(project: Project) -> int:
    """Places that are free now: of the project, and of the installation.

    The lock of the project does not keep two projects from counting the same last place as free before either
    has committed that it took it. So on PostgreSQL who counts holds a lock of the installation until it
    commits; the count is a statement after that, and sees what the one before took. On SQLite one writes at
    a time.
    """
    with together():
        _lock_places()
        working = _WORKING()
    own = working.count(project.pk)
    return min(project.max_sessions - own, settings.LOOM_MAX_SESSIONS - len(working))


def _lock_places() -> None:
    if connection.vendor == "postgresql":
        send("SELECT pg_advisory_xact_lock(%s)", [PLACES])


def dispatch_all(settled: timedelta = SETTLED) -> int:
    """The safety net: dispatch every project with beads that are ready for longer than `settled`."""
    waiting = Bead.objects.ready().filter(updated_at__lt=timezone.now() - settled).order_by()
    projects = waiting.values_list("project_id", flat=True).distinct()
    return sum(dispatch(project_id) for project_id in projects)
