"""Replay: a recorded session played again, through the same gateway and loop, without a model.

It is played in a project of its own; what its actions give is compared with what they gave when it was
recorded.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.accounts.models import Organization
from apps.accounts.services import organization_ensure
from apps.agents.hub import Hub
from apps.agents.loop import Ending, session_run, session_tell
from apps.agents.models import Persona, Session, Turn
from apps.agents.persona_services import personas_sync
from apps.agents.pins import PLATFORM
from apps.agents.places import hub_path
from apps.agents.recording import changed_blobs, unpacked
from apps.agents.seat import seat_of
from apps.agents.services import Opening, agent_acquire, sessions_open
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import Conflict
from apps.engine.flow import Handle, call, flow, step
from apps.engine.models import Run
from apps.engine.runner import advance
from apps.engine.services import run_start
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers.models import Provider
from apps.providers.services import provider_create, provider_delete

FALLBACK_ROLE = "engineering-manager"
AUTHOR = "Loom <loom@loom.invalid>"
# How much of a long result is shown depends on the model's window; of those only the beginning counts.
SHORTENED, SAME_CHARS = "characters of it: read_output with output", 700
SHOWN = 400  # characters of a difference
# What differs between two honest runs of one command.
_VARYING = re.compile(
    r"\b\d+(?:\.\d+)?\s?(?:ms|s|seconds?)\b"
    r"|\b(?=[a-f]*\d)[0-9a-f]{7,64}\b"
    r"|\b[A-Z][A-Z0-9]{1,9}-\d+\b"  # keys of beads
    r"|(?:/[\w.@+-]+)+/(?=[\w.@+-])"  # directories
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d\d:\d\d:\d\d\b"
    r"|\bpid \d+|\b0x[0-9a-f]+\b",
)


@dataclass(frozen=True)
class Divergence:
    """Where the replay went another way; `action` counts from 1, 0 is the turn itself."""

    turn: int
    action: int
    what: str
    expected: str
    got: str


@dataclass(frozen=True)
class Report:
    """`is_same`: every turn was played, and gave what it gave when it was recorded."""

    session_id: int
    recorded: int
    played: int
    divergences: list[Divergence]

    @property
    def is_same(self) -> bool:
        return self.recorded == self.played and not self.divergences

    def body(self) -> dict[str, Any]:
        return {
            "same": self.is_same,
            "session_id": self.session_id,
            "turns_recorded": self.recorded,
            "turns_played": self.played,
            "divergences": [asdict(one) for one in self.divergences],
        }


def replay(recording: Mapping[str, Any]) -> Report:
    """Play a recording in this database and compare. Not inside a transaction."""
    with tempfile.TemporaryDirectory(prefix="loom-replay-") as place:
        path = Path(place) / "recording.json"
        path.write_text(json.dumps(recording))
        script = Path(place) / "script.json"
        script.write_text(json.dumps(script_of(recording)))
        with _model(script):
            session = _open(recording)
            run = run_start(
                flow="session.replay",
                key=f"replay:{session.pk}",
                input={"session_id": session.pk, "recording": str(path)},
                organization_id=session.project.organization_id,
                project_id=session.project_id,
            )
            advance(run.pk)
        run.refresh_from_db()
    return _report(recording, session, run)


@contextmanager
def _model(script: Path) -> Iterator[None]:
    """The scripted provider, as the only one that the replay could reach."""
    if Provider.objects.filter(organization=None, enabled=True).exists():
        raise Conflict(
            "Models are connected for the whole installation; a replay must not reach them.",
            hint="Play it in a database of its own, as `manage.py sessions replay` does.",
        )
    name = f"recording {script.parent.name}"
    made = provider_create(name=name, organization_id=None, kind=Provider.Kind.SCRIPTED, endpoint=str(script))
    try:
        yield
    finally:
        provider_delete(provider_id=made.pk)


def script_of(recording: Mapping[str, Any]) -> dict[str, Any]:
    """What the scripted provider plays."""
    replies = [{"said": turn["reply"]} for turn in recording["turns"]]
    return {"scenes": [{"task": recording["session"]["kind"], "replies": replies}]}


def _open(recording: Mapping[str, Any]) -> Session:
    about, told = recording["project"], recording["session"]
    personas_sync()
    organization = organization_ensure(name=f"Replay {Organization.objects.count()}")
    project = project_create(
        organization=organization,
        name=about["name"],
        branch=about["branch"],
        allow_network=about["allow_network"],
        checks=about["checks"],
    )
    hub = Hub(hub_path(project.pk))
    hub.create(project.branch)
    base = hub.commit_files(project.branch, unpacked(recording["base"]["files"]), "Recorded", AUTHOR)
    roles = set(Persona.objects.values_list("role", flat=True))
    role = told["agent"]["role"] if told["agent"]["role"] in roles else FALLBACK_ROLE
    with transaction.atomic():
        bead = _bead(project, recording.get("bead"), role)
        agent = agent_acquire(project=project, role=role, bead=bead)
        opening = Opening(
            agent=agent,
            kind=told["kind"],
            origin=f"replay:{project.pk}",
            messages=told["opening"],
            actions=told["actions"],
            base_commit=base,
            bead=bead,
            native_tools=told["native_tools"],
        )
        (session,) = sessions_open(project=project, openings=[opening])
    return session


def _bead(project: Project, given: Mapping[str, Any] | None, role: str) -> Bead | None:
    if given is None:
        return None
    return bead_create(project=project, status=Bead.Status.DEFERRED, **{**given, "role": role})


# -- playing ---------------------------------------------------------------------------------------


@flow("session.replay")
def session_replay(session_id: int, recording: str) -> dict[str, Any]:
    """Let the loop run; where it stops for the platform, do and say what the platform did and said then."""
    turns = json.loads(Path(recording).read_bytes())["turns"]
    played = 0
    while played < len(turns):
        if played == 0 or turns[played]["before"]:
            call(files_put, session_id=session_id, files=turns[played]["before"])
        ending: Ending = session_run(session_id)
        now = step(turns_played, session_id=session_id)
        if now == played:
            return {"stopped": ending.reason, "detail": ending.detail}
        played = now
        for one in turns[played - 1]["results"] or ():
            if one.get("by") == PLATFORM:
                step(session_tell, session_id=session_id, text=one["say"])
    return {"stopped": ""}


def files_put(handle: Handle, session_id: int, files: dict[str, Any]) -> None:
    """What the platform changed in the worktree between two turns."""
    seat = seat_of(session_id)
    workspace = seat.workspace()
    for path, data in unpacked(files).items():
        if data is None:
            workspace.resolve(path).unlink(missing_ok=True)
        else:
            workspace.write(path, data)
    if files:
        seat.keep("as the platform left it")


def turns_played(*, session_id: int) -> int:
    return int(Session.objects.values_list("turn_count", flat=True).get(pk=session_id))


# -- comparing -------------------------------------------------------------------------------------


def _report(recording: Mapping[str, Any], session: Session, run: Run) -> Report:
    turns = list(session.turns.order_by("number"))
    hub = Hub(hub_path(session.project_id))
    found: list[Divergence] = []
    at = session.base_commit
    for old, new in zip(recording["turns"], turns, strict=False):
        found += _compare(old, new)
        before = hub.parents(new.commit)[0] if new.commit and new.commit != at else at
        files = changed_blobs(hub, before, new.commit or before)
        if files != old["changed"]:
            found.append(_differs(new.number, 0, "files changed", old["changed"], files))
        at = new.commit or at
    if len(turns) < len(recording["turns"]):
        why = run.error or (run.output or {}).get("stopped") or f"the run is {run.status}"
        told = f"{len(recording['turns'])} turns"
        found.append(_differs(len(turns), 0, "ended early", told, f"{len(turns)} turns: {why}"))
    return Report(session.pk, len(recording["turns"]), len(turns), found)


def _compare(old: Mapping[str, Any], new: Turn) -> list[Divergence]:
    number = new.number
    if old["actions"] != new.actions:
        return [_differs(number, 0, "actions read", old["actions"], new.actions)]
    found = []
    if bool(old["error"]) != bool(new.error):
        found.append(_differs(number, 0, "error", old["error"], new.error))
    outcome = [{key: one.get(key) for key in ("name", "ok", "ends")} for one in new.outcome]
    for place, (was, is_now) in enumerate(zip(old["outcome"], outcome, strict=False), 1):
        if was != is_now:
            found.append(_differs(number, place, "outcome", was, is_now))
    pairs = zip(_texts(old["results"]), _texts(new.results), strict=False)
    for place, (text, text_now) in enumerate(pairs, 1):
        most = SAME_CHARS if SHORTENED in text or SHORTENED in text_now else None
        if steady(text[:most]) != steady(text_now[:most]):
            found.append(_differs(number, place, "result", *_apart(text, text_now)))
    return found


def _texts(results: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return [str(one.get("text", "")) for one in results or () if "id" in one]


def steady(text: str) -> str:
    """A result without what differs from run to run: durations, hashes, directories, dates, keys."""
    return _VARYING.sub("#", text)


def _apart(one: str, other: str) -> tuple[str, str]:
    """Both texts from a little before their first difference on."""
    mine, theirs = one.splitlines(), other.splitlines()
    for place, (line, line_now) in enumerate(zip(mine, theirs, strict=False)):
        if steady(line) != steady(line_now):
            return "\n".join(mine[place : place + 4]), "\n".join(theirs[place : place + 4])
    same = min(len(mine), len(theirs))
    return "\n".join(mine[same : same + 4]), "\n".join(theirs[same : same + 4])


def _differs(turn: int, action: int, what: str, expected: object, got: object) -> Divergence:
    return Divergence(turn, action, what, _short(expected), _short(got))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
