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
from apps.workflows.briefing import Briefing, Work, briefing_of, work_sessions

DEFAULT_ROLE = "engineering-manager"
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
    personas = personas_of({role_of(bead) for bead in beads}) if beads else {}
    beads = _without_unknown_roles(beads, personas)
    try:
        briefing = briefing_of(project, beads) if beads else None
    except LoomError:
        briefing = None  # each run will find that out for itself, and say so at its bead
    started, again = 0, False
    for first in range(0, len(beads), AT_ONCE):
        try:
            started += _start(project, beads[first : first + AT_ONCE], personas, briefing)
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


def _without_unknown_roles(beads: Sequence[Bead], personas: dict[str, Persona]) -> list[Bead]:
    """Those of the beads that somebody can do; the others wait for a person with the reason."""
    for bead in beads:
        if role_of(bead) not in personas:
            bead_block(bead=bead, reason=f"There is no persona for the role {role_of(bead)!r}.", actor="loom")
    return [bead for bead in beads if role_of(bead) in personas]


@transaction.atomic
def _start(
    project: Project, beads: Sequence[Bead], personas: dict[str, Persona], briefing: Briefing | None
) -> int:
    """Agents, sessions and runs for beads, as far as there still is room; Conflict if one was taken."""
    # The project's row is the lock: two dispatchers do not both fill the last place.
    current = Project.objects.locked(project.pk)
    if current.status == Project.Status.CLOSED:
        return 0
    beads = beads[: max(0, _places(current))]
    keys = [f"bead:{bead.pk}:{bead.attempts + 1}" for bead in beads]
    sessions: list[int | None] = [None] * len(beads)
    if briefing is None:
        beads_claim(claims=[(bead, "") for bead in beads])
    else:
        posts = [Post(role_of(bead), bead) for bead in beads]
        agents = agents_acquire(project=project, posts=posts, personas=personas)
        beads_claim(claims=[(bead, agent.name) for bead, agent in zip(beads, agents, strict=True)])
        works = [Work(*work) for work in zip(beads, agents, keys, strict=True)]
        sessions = [one.pk for one in work_sessions(project=project, works=works, briefing=briefing)]
    starts = [
        Start(key, {"bead_id": bead.pk, "project_id": project.pk, "session_id": session}, bead.pk)
        for bead, key, session in zip(beads, keys, sessions, strict=True)
    ]
    runs_start(
        flow="bead.work", starts=starts, organization_id=project.organization_id, project_id=project.pk
    )
    return len(beads)


def _places(project: Project) -> int:
    """Places that are free now: of the project, and of the installation."""
    working = Bead.objects.filter(status=Bead.Status.IN_PROGRESS).order_by()
    own = working.filter(project=project).count()
    return min(project.max_sessions - own, settings.LOOM_MAX_SESSIONS - working.count())


def role_of(bead: Bead) -> str:
    return bead.role or DEFAULT_ROLE


def dispatch_all() -> int:
    """The safety net: dispatch every project with ready beads."""
    waiting = Bead.objects.ready().values_list("project_id", flat=True).distinct()
    return sum(dispatch(project_id) for project_id in waiting)
