"""Edits as models send them, against files of this repository: what is applied, refused, or put wrongly.

Each case is made from a real file and a change to it whose outcome is known, then spoiled in one way. An
edit that is carried out must give exactly the outcome that was meant; every other outcome is a wrong one.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.agents.actions import REGISTRY, ActionContext, bind
from apps.agents.replies import Call
from tests.campaigns import _edit_patches  # noqa: F401 - its kinds
from tests.campaigns._edit_cases import KINDS, Case
from tests.campaigns._edit_sources import Change, changes

ROUNDS = 60  # cases of each kind


def campaign(scale: float = 1.0) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[dict[str, str]] = []
    for kind, make in KINDS.items():
        for case in cases(kind, make, max(3, int(ROUNDS * scale))):
            verdict, got = judge(case)
            counts[verdict] += 1
            kinds[kind][verdict] += 1
            if verdict == "applied_wrongly" and kinds[kind][verdict] <= 3:
                wrong.append({"kind": kind, "file": case.path, "call": str(case.arguments), "got": got})
    told = ("applied_correctly", "refused_correctly", "refused_needlessly", "applied_wrongly")
    return {
        "cases": counts.total(),
        **{verdict: counts[verdict] for verdict in told},
        "kinds": {kind: dict(found) for kind, found in kinds.items()},
        "wrong": wrong,
        "ok": counts.total() >= 200 * min(scale, 1) and not counts["applied_wrongly"],
    }


def cases(kind: str, make: Callable[[random.Random, Change], Case | None], count: int) -> list[Case]:
    """`count` cases of a kind; the same ones every time."""
    dice = random.Random(f"edits {kind}")
    made: list[Case] = []
    for change in changes(dice, tries=count * 12):
        case = make(dice, change)
        if case is not None:
            made.append(case)
        if len(made) == count:
            break
    return made


def judge(case: Case) -> tuple[str, str]:
    """The verdict, and what the file holds afterwards."""
    with tempfile.TemporaryDirectory(prefix="loom-edits-") as place:
        root = Path(place).resolve()
        file = root / case.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(case.before)
        context = world(root)
        if case.first:
            bind(Call("0", "read_file", case.first), set(REGISTRY)).run(context)
        result = bind(Call("1", case.action, case.arguments), set(REGISTRY)).run(context)
        after = file.read_bytes()
    if result.ok:
        right = case.meant is not None and after == case.meant
        return ("applied_correctly" if right else "applied_wrongly"), after.decode("utf-8", "replace")
    if after != case.before:
        return "applied_wrongly", "refused, and yet the file changed"
    return ("refused_needlessly" if case.must_apply else "refused_correctly"), result.text


def world(root: Path) -> ActionContext:
    """Only files: these actions need nothing else of a session."""
    nothing: Any = None
    return ActionContext(
        root=root,
        base="",
        seen=set(),
        run=nothing,
        check=nothing,
        git=nothing,
        write=_write,
        desk=nothing,
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
