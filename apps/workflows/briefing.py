"""What agents are told when they begin to work on beads, and the sessions that begin with it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from apps.agents.codemap import code_map
from apps.agents.first_commit import main_commit
from apps.agents.hub import Hub
from apps.agents.lesson_search import active_lessons, lessons_for
from apps.agents.models import Agent, Session
from apps.agents.places import hub_path
from apps.agents.project_checks import commit_checks
from apps.agents.prompts import MAX_GUIDE_CHARS, kind_actions, opening_messages, work_task
from apps.agents.secrets import secrets_learn
from apps.agents.services import Opening, sessions_open
from apps.beads.models import Bead, Dependency
from apps.core.prepared import Prepared
from apps.projects.models import Project

GUIDE = "AGENTS.md"
_SERVED: Prepared[tuple[int, str, str]] = Prepared(
    lambda bead_ids: (
        Bead.requirements.through.objects.filter(bead_id__in=bead_ids)
        .order_by("requirement__position")
        .values_list("bead_id", "requirement__key", "requirement__text")
    )
)
_MERGED_BEFORE: Prepared[tuple[int, str, str]] = Prepared(
    lambda bead_ids: (
        Dependency.objects.filter(bead_id__in=bead_ids, kind=Dependency.Kind.BLOCKS)
        .order_by("id")
        .values_list("bead_id", "blocker__key", "blocker__title")
    )
)


@dataclass(frozen=True)
class Work:
    """A bead for an agent; `origin` names the session that it makes, once for ever."""

    bead: Bead
    agent: Agent
    origin: str


@dataclass(frozen=True)
class Part:
    """An agent's part in the bead's workflow: what its node says, and how things stand when it begins."""

    instructions: str = ""
    before: str = ""


WHOLE = Part()  # the part of who does everything alone


@dataclass(frozen=True)
class Briefing:
    """The task message of each bead, and the commit of main that it speaks of."""

    commit: str
    tasks: dict[int, str]
    lessons: dict[int, list[int]]  # the ids of those that each task tells


@dataclass(frozen=True)
class _Ground:
    """What main holds at a commit."""

    code: str
    guide: str
    checks: tuple[str, ...]


def briefing_of(
    project: Project, beads: Sequence[Bead], parts: Mapping[int, Part] = MappingProxyType({})
) -> Briefing:
    """For beads of one project, with each one's part. Reads git, so not inside a transaction."""
    commit = main_commit(project)
    secrets_learn(project.pk, commit)
    ground = _ground(hub_path(project.pk), commit, json.dumps(project.checks))
    keys = [bead.pk for bead in beads]
    requirements, blockers = _served(keys), _merged_before(keys)
    known = active_lessons(project.pk)
    lessons = {
        bead.pk: lessons_for(known, _work(bead, requirements[bead.pk])) if known else [] for bead in beads
    }
    tasks = {
        bead.pk: work_task(
            bead=bead,
            requirements=requirements[bead.pk],
            blockers=blockers[bead.pk],
            code=ground.code,
            guide=ground.guide,
            check_commands=ground.checks,
            lessons=lessons[bead.pk],
            instructions=parts.get(bead.pk, WHOLE).instructions,
            before=parts.get(bead.pk, WHOLE).before,
        )
        for bead in beads
    }
    told = {pk: [lesson.pk for lesson in found] for pk, found in lessons.items()}
    return Briefing(commit, tasks, told)


def work_sessions(*, project: Project, works: Sequence[Work], briefing: Briefing) -> list[Session]:
    """Open a session for each work; a database step."""
    actions = kind_actions(Session.Kind.WORK)
    openings = [
        Opening(
            agent=work.agent,
            kind=Session.Kind.WORK,
            origin=work.origin,
            messages=opening_messages(work.agent, project, briefing.tasks[work.bead.pk]),
            actions=actions,
            base_commit=briefing.commit,
            bead=work.bead,
            lessons=briefing.lessons[work.bead.pk],
        )
        for work in works
    ]
    return sessions_open(project=project, openings=openings)


def _work(bead: Bead, requirements: Iterable[str]) -> str:
    """The words of a bead that lessons are looked for by."""
    return "\n".join([bead.title, bead.description, bead.role, *bead.acceptance, *requirements])


@lru_cache(maxsize=64)
def _ground(hub_place: Path, commit: str, configured: str) -> _Ground:
    hub = Hub(hub_place)
    files = hub.files(commit)
    guide = hub.read(commit, GUIDE).decode("utf-8", "replace")[:MAX_GUIDE_CHARS] if GUIDE in files else ""
    checks = commit_checks(hub, commit, json.loads(configured))
    code = code_map(files, lambda path: hub.read(commit, path))
    return _Ground(code, guide, tuple(check.command for check in checks))


def _served(bead_ids: Sequence[int]) -> dict[int, list[str]]:
    """The requirements that each bead serves, a line each."""
    return _lines(_SERVED(tuple(bead_ids)))


def _merged_before(bead_ids: Sequence[int]) -> dict[int, list[str]]:
    """What each bead waited for, a line each."""
    return _lines(_MERGED_BEFORE(tuple(bead_ids)))


def _lines(rows: Iterable[tuple[int, str, str]]) -> dict[int, list[str]]:
    lines: defaultdict[int, list[str]] = defaultdict(list)
    for bead_id, key, text in rows:
        lines[bead_id].append(f"{key}: {text}")
    return lines
