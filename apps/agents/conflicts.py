"""A merge conflict told from both sides: the places, and whose work it is that stands on main."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apps.agents.hub import Commit, Hub, Merge
from apps.agents.models import Claim
from apps.agents.secrets import secrets_learn
from apps.beads.models import Bead
from apps.core.errors import NotFound

FILES, HUNKS, COMMITS = 8, 4, 4
HUNK_CHARS, DIFF_CHARS, ALL_CHARS = 2_000, 3_000, 16_000
AROUND = 3  # lines
_BEAD = re.compile(r"^Bead: (\S+)$", re.M)


def both_sides(hub: Hub, claim: Claim, *, main: str, merge: Merge) -> str:
    """The conflicting places, and the beads that main got meanwhile with their diffs, without secrets."""
    masked = secrets_learn(claim.bead.project_id, claim.session.base_commit, main, claim.commit)
    paths = merge.conflicts[:FILES]
    parts = [f"In {path}:\n{hunks}" for path in paths if (hunks := _hunks(hub, merge.tree, path))]
    others = hub.log(COMMITS, main, since=claim.session.base_commit, paths=paths)
    parts += [_told(hub, claim, commit, paths) for commit in others]
    return masked.text("\n\n".join(parts))[:ALL_CHARS]


def _told(hub: Hub, claim: Claim, commit: Commit, paths: tuple[str, ...]) -> str:
    keys = _BEAD.findall(commit.message)
    bead = Bead.objects.filter(project_id=claim.bead.project_id, key__in=keys).first()
    who = f"{bead.key} {bead.title}" if bead is not None else commit.subject
    parents = hub.parents(commit.sha)
    diff = hub.diff(parents[0], commit.sha, paths, limit=DIFF_CHARS) if parents else ""
    return f"On main since: {who}\n```diff\n{diff.strip()}\n```"


def _hunks(hub: Hub, tree: str, path: str) -> str:
    """The places of a file that hold both sides, with a few lines around."""
    try:
        text = hub.read(tree, path).decode("utf-8", "replace")
    except NotFound:
        return "one side deleted it, the other changed it."
    found = list(_marked(text.splitlines()))
    more = f"\n[{len(found) - HUNKS} more places]" if len(found) > HUNKS else ""
    return "\n...\n".join(found[:HUNKS]) + more


def _marked(lines: list[str]) -> Iterator[str]:
    start = 0
    for number, line in enumerate(lines):
        if line.startswith("<<<<<<< "):
            start = number
        elif line.startswith(">>>>>>> "):
            yield "\n".join(lines[max(0, start - AROUND) : number + 1 + AROUND])[:HUNK_CHARS]
