"""Recordings: a session as a file, with all that is needed to play it again without a model.

Secrets that Loom knows of are masked in it, also in the repository's files.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils import timezone

from apps.agents.hub import Hub
from apps.agents.models import Session, Turn
from apps.agents.places import hub_path
from apps.agents.secrets import project_masker, secrets_learn
from apps.core.errors import BadInput, TooLarge
from apps.core.version import version

FORMAT = "loom.recording/1"
MOST_BYTES = 30_000_000  # of the repository's files
MOST_FILE_BYTES = 100_000_000  # of a recording that is read

Files = dict[str, dict[str, str] | None]


def recording_of(session: Session) -> dict[str, Any]:
    """The session as JSON. Reads git, so not inside a transaction; raises TooLarge for large repositories."""
    hub = Hub(hub_path(session.project_id))
    turns = list(session.turns.order_by("number"))
    start = _start(hub, session, turns)
    made = {
        "format": FORMAT,
        "loom": version(),
        "recorded_at": timezone.now().isoformat(),
        "session": {
            "id": session.pk,
            "kind": session.kind,
            "reason": session.reason,
            "reason_detail": session.reason_detail,
            "native_tools": session.native_tools,
            "actions": session.actions,
            "opening": session.opening,
            "agent": {"name": session.agent.name, "role": session.agent.role},
        },
        "project": {
            "name": session.project.name,
            "branch": session.project.branch,
            "checks": session.project.checks,
            "allow_network": session.project.allow_network,
        },
        "bead": _bead(session),
        "base": {"commit": session.base_commit, "files": _files(hub, start) if start else {}},
        "turns": _turns(hub, turns, start),
    }
    masked = secrets_learn(session.project_id, start) if start else project_masker(session.project_id)
    return dict(masked.value(made))


def recording_read(data: bytes) -> dict[str, Any]:
    """A recording from the bytes of its file; raises BadInput that says what is wrong."""
    if len(data) > MOST_FILE_BYTES:
        raise BadInput("This file is too large for a recording.")
    try:
        made = json.loads(data)
    except ValueError as error:
        raise BadInput(f"The recording is not JSON: {error}.") from error
    if not isinstance(made, dict) or made.get("format") != FORMAT:
        raise BadInput(f"This is no recording: its format must be {FORMAT}.")
    missing = [key for key in ("session", "project", "base", "turns") if key not in made]
    if missing or not made["turns"]:
        raise BadInput(f"The recording lacks {', '.join(missing) or 'turns'}.")
    return made


def unpacked(files: Mapping[str, Any]) -> dict[str, bytes | None]:
    """Files as they are written: path -> content, None for one that is deleted."""
    try:
        return {path: _content(held) for path, held in files.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput("The files of the recording are not readable.") from error


def _content(held: Mapping[str, str] | None) -> bytes | None:
    if held is None:
        return None
    return base64.b64decode(held["base64"]) if "base64" in held else held["text"].encode()


def said(turn: Turn) -> dict[str, Any]:
    """The reply as the loop gets it: what came, or the valid form of it where that says the same."""
    if turn.raw:
        return dict(turn.raw)
    message = json.loads(turn.reply)
    return {"text": message.get("content") or "", "tool_calls": message.get("tool_calls", [])}


def _start(hub: Hub, session: Session, turns: Iterable[Turn]) -> str:
    """The commit whose files the session began with."""
    first = next((turn.commit for turn in turns if turn.commit), "")
    if first:
        return hub.parents(first)[0]
    return session.head_commit or session.base_commit


def _bead(session: Session) -> dict[str, Any] | None:
    if (bead := session.bead) is None:
        return None
    fields = ("title", "type", "description", "acceptance", "priority", "role")
    return {name: getattr(bead, name) for name in fields}


def _turns(hub: Hub, turns: Iterable[Turn], start: str) -> list[dict[str, Any]]:
    made = []
    at = start
    for turn in turns:
        parent = hub.parents(turn.commit)[0] if turn.commit and turn.commit != at else at
        made.append(
            {
                "number": turn.number,
                "reply": said(turn),
                "model": turn.model,
                "prompt_tokens": turn.prompt_tokens,
                "completion_tokens": turn.completion_tokens,
                "actions": turn.actions,
                "error": turn.error,
                "results": turn.results,
                "outcome": [{key: one.get(key) for key in ("name", "ok", "ends")} for one in turn.outcome],
                # What the platform put into the worktree before this turn, such as a merge.
                "before": _delta(hub, at, parent),
                "changed": changed_blobs(hub, parent, turn.commit or parent),
            }
        )
        at = turn.commit or at
    return made


def changed_blobs(hub: Hub, before: str, after: str) -> dict[str, str]:
    """The files that differ, with the hash of their content after; "" for one that is gone."""
    if before == after:
        return {}
    blobs = {entry.path: entry.blob for entry in hub.entries(after)}
    return {path: blobs.get(path, "") for _, path in hub.changed(before, after)}


def _delta(hub: Hub, before: str, after: str) -> Files:
    if before == after:
        return {}
    there = set(hub.files(after))
    paths = [path for _, path in hub.changed(before, after)]
    return {path: _packed(hub.read(after, path)) if path in there else None for path in paths}


def _files(hub: Hub, commit: str) -> Files:
    files: Files = {}
    room = MOST_BYTES
    for path in hub.files(commit):
        data = hub.read(commit, path)
        room -= len(data)
        if room < 0:
            raise TooLarge(f"The repository has more than {MOST_BYTES:,} bytes; it cannot be recorded.")
        files[path] = _packed(data)
    return files


def _packed(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
