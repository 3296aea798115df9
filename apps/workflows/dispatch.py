"""Dispatch: ready beads go to agents by priority, role and capacity, and no project starves another.

What takes time is read first, without locks. Then the beads are started a few at a time, in transactions that
check again what they rest on: so the first agents ask their models while the last are still being assigned.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from apps.agents.models import Persona
from apps.agents.services import Post, agents_acquire, personas_of
from apps.beads.models import Bead
from apps.beads.services import bead_block, beads_claim
from apps.core.errors import Conflict, LoomError
from apps.engine.services import Start, runs_start
from apps.projects.models import Project
from apps.workflows.beginnings import Beginning, beginnings_of
from apps.workflows.briefing import Briefing, Work, briefing_of, work_sessions
from apps.workflows.execution_services import Begin, executions_begin, executions_bind

AT_ONCE = 50  # beads of one transaction
TRIES = 3


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
    project = Project.objects.exclude(status=Project.Status.CLOSED).defer("prd").filter(pk=project_id).first()
    room = room_of(project) if project is not None else 0
    if project is None or room <= 0:
        return 0, False
    beads = list(Bead.objects.filter(project=project).ready().order_by("priority", "id")[:room])
    for bead in beads:
        bead.project = project
    begins = beginnings_of(project, beads) if beads else {}
    personas = _personas(begins)
    beads = _without_unknown_roles([bead for bead in beads if bead.pk in begins], begins, personas)
    parts = {pk: begin.part for pk, begin in begins.items()}
    try:
        briefing = briefing_of(project, beads, parts) if beads else None
    except LoomError:
        briefing = None  # each run will find that out for itself, and say so at its bead
    started, again = 0, False
    for first in range(0, len(beads), AT_ONCE):
        try:
            started += _start(project, beads[first : first + AT_ONCE], begins, personas, briefing)
        except Conflict:
            again = True
    return started, again


def room_of(project: Project) -> int:
    """How many more sessions this project may start, so that every project with work gets its part."""
    working = list(Bead.objects.filter(status=Bead.Status.IN_PROGRESS).values_list("project_id", flat=True))
    free, own = settings.LOOM_MAX_SESSIONS - len(working), working.count(project.pk)
    if free <= 0 or own >= project.max_sessions:
        return 0
    waiting = Bead.objects.ready().exclude(project__status=Project.Status.CLOSED)
    others = set(waiting.exclude(project=project).values_list("project_id", flat=True).distinct())
    others |= set(working) - {project.pk}
    share = max(1, settings.LOOM_MAX_SESSIONS // (len(others) + 1))
    return min(free, share - own, project.max_sessions - own)


def _personas(begins: dict[int, Beginning]) -> dict[str, Persona]:
    roles = {begin.role for begin in begins.values() if begin.role}
    named = {begin.role: begin.persona for begin in begins.values() if begin.persona is not None}
    return {**personas_of(roles), **named} if roles else {}


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


@transaction.atomic
def _start(
    project: Project,
    beads: Sequence[Bead],
    begins: dict[int, Beginning],
    personas: dict[str, Persona],
    briefing: Briefing | None,
) -> int:
    """Agents, sessions and runs for beads, as far as there still is room; Conflict if one was taken."""
    # The project's row is the lock: two dispatchers do not both fill the last place.
    current = Project.objects.locked(project.pk)
    if current.status == Project.Status.CLOSED:
        return 0
    beads = beads[: max(0, _places(current))]
    keys = {bead.pk: f"bead:{bead.pk}:{bead.attempts + 1}" for bead in beads}
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


def _places(project: Project) -> int:
    """Places that are free now: of the project, and of the installation."""
    working = Bead.objects.filter(status=Bead.Status.IN_PROGRESS).order_by()
    own = working.filter(project=project).count()
    return min(project.max_sessions - own, settings.LOOM_MAX_SESSIONS - working.count())


def dispatch_all() -> int:
    """The safety net: dispatch every project with ready beads."""
    waiting = Bead.objects.ready().values_list("project_id", flat=True).distinct()
    return sum(dispatch(project_id) for project_id in waiting)
