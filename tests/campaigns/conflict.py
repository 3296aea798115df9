"""Beads that change the same files at once: what lands, what waits for a person, and if main was ever red.

The real flow on real repositories with a scripted model: some beads write the same lines, some break what
others merged, one cannot resolve its conflict. A second wave declares its files and is kept apart.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management import call_command

from apps.agents.merge_models import MergePolicy
from apps.agents.models import MergeRequest
from apps.beads.models import Bead
from apps.engine import doorbell
from tests.workflows.queue_held import queue_held, queue_release
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

BEADS, OVERLAP = 20, 0.5
SHARED = ("shop/registry.py", "shop/prices.py", "shop/later.py")
HEAD = "ENTRIES = [\n"
LIMIT = (
    "import os\nimport unittest\n\n\nclass LimitTest(unittest.TestCase):\n    def test_alone(self):\n"
    "        parts = [name for name in os.listdir('shop') if name.startswith('own')]\n"
    "        self.assertEqual(parts, [])\n"
)
Messages = list[dict[str, Any]]


def campaign(scale: float = 1.0) -> dict[str, Any]:
    call_command("migrate", verbosity=0)
    return conflicts(max(6, int(BEADS * scale)))


def conflicts(count: int) -> dict[str, Any]:
    """Both waves in a project of their own; needs an empty database."""
    doorbell.use(lambda _: None)
    studio = Studio(play, max_sessions=max(6, count // 2))
    try:
        start = {path: HEAD.encode() + b"]\n" for path in SHARED} | {"shop/__init__.py": b""}
        studio.hub.commit_files("main", start, "Shop")
        MergePolicy.objects.create(project=studio.project, overlap=MergePolicy.Overlap.PARALLEL)
        first = wave(studio, plan(count), hold=True)
        MergePolicy.objects.update(overlap=MergePolicy.Overlap.SERIALIZE)
        second = wave(studio, [("Apart", f"apart {n}") for n in range(max(3, count // 4))])
        red = [commit for commit in heads(studio) if not is_green(studio, commit)]
    finally:
        studio.close()
        doorbell.use(None)
    waves = {"at_once": first, "kept_apart": second}
    settled = all(one["merged"] + len(one["waiting"]) == one["beads"] for one in waves.values())
    explained = all(reason for one in waves.values() for reason in one["waiting"].values())
    ok = settled and explained and not red and not unproven(studio)
    return {
        **waves,
        "main_heads": len(heads(studio)),
        "red_main": len(red),
        "landed_without_evidence": unproven(studio),
        "ok": ok and first["conflicts"] > 0 and first["red"] > 0 and second["conflicts"] == 0,
    }


def plan(count: int) -> list[tuple[str, str]]:
    """(what kind of bead, its name); half of them touch what others touch."""
    dice = random.Random("conflict")
    shared = round(count * OVERLAP)
    first = ["Own", "Limit", "Shared", "Stubborn"]  # all begin on the same main, and queue in this order
    kinds = [*["Shared"] * (shared - 3), *["Own"] * (count - shared - 1)]
    dice.shuffle(kinds)
    kinds = first + kinds
    return [(kind, f"{kind.lower()} {number}") for number, kind in enumerate(kinds)]


def wave(studio: Studio, beads: Iterable[tuple[str, str]], *, hold: bool = False) -> dict[str, Any]:
    """Work all of them to an end; with `hold` the first merges queue up behind one that takes long."""
    before = Counter(MergeRequest.objects.values_list("status", flat=True))
    known = set(Bead.objects.values_list("pk", flat=True))
    held = queue_held(studio) if hold else None
    for kind, name in beads:
        paths = [SHARED[2]] if kind == "Apart" else []
        studio.bead(f"{kind}: {name}", paths=paths)
    studio.run()
    if held is not None:
        queue_release(held)
        studio.run()
    rows = list(Bead.objects.exclude(pk__in=known).exclude(title="Slow"))
    after = Counter(MergeRequest.objects.values_list("status", flat=True))
    merges = MergeRequest.objects.filter(bead__in=rows, status="merged")
    return {
        "beads": len(rows),
        "merged": sum(bool(bead.merged_commit) for bead in rows),
        "waiting": {bead.key: bead.blocked_reason for bead in rows if bead.status == Bead.Status.BLOCKED},
        "conflicts": after["conflict"] - before["conflict"],
        "red": after["red"] - before["red"],
        "batches": merges.values("tip").distinct().count(),
    }


# -- the model ---------------------------------------------------------------------------------------


def play(kind: str, title: str, messages: Messages) -> Answer:
    if kind == "review":
        return APPROVE
    sort, _, name = title.partition(": ")
    said = last(messages)
    if sort == "Stubborn" and "Earlier sessions on this bead" in str(messages[1]["content"]):
        return "I cannot do it."
    if "Merge conflict in" in said:
        path = said.partition("Merge conflict in ")[2].partition(":")[0].split(", ")[0]
        return [("read_file", {"path": path})]
    if "<<<<<<<" in said or "Conflict markers are left" in said:
        if sort == "Stubborn":
            return [done("It is resolved, I think.")]
        return [write(shared_of(name), both(said)), done("Both sides are kept.")]
    if "failed on top of main" in said:
        return [write(own(name), f"NAME = {name!r}\n"), ("delete_file", {"path": test_of(name)}), done()]
    if replies(messages) == 0 and sort != "Own":
        return [("read_file", {"path": shared_of(name)})]
    return [*work(sort, name, said), done(f"{name} is there.")]


def work(sort: str, name: str, shown: str) -> list[Any]:
    made = [write(own(name), f"NAME = {name!r}\n")]
    if sort == "Limit":  # passes alone only
        return [*made, write(test_of(name), LIMIT)]
    if sort == "Own":
        return made
    edit = {"path": shared_of(name), "old_text": HEAD, "new_text": f"{HEAD}    {name!r},\n"}
    made.append(("edit_file", edit))
    return made


def shared_of(name: str) -> str:
    kind, _, number = name.partition(" ")
    if kind == "shared":
        return SHARED[int(number) % 2]
    return {"stubborn": SHARED[0], "limit": SHARED[1], "apart": SHARED[2]}[kind]


def own(name: str) -> str:
    return f"shop/{name.replace(' ', '_')}.py"


def test_of(name: str) -> str:
    return f"tests/test_{name.replace(' ', '_')}.py"


def both(shown: str) -> str:
    """The entries of both sides, as the file that read_file showed holds them."""
    entries = [line.partition("'")[2].partition("'")[0] for line in shown.splitlines() if "'," in line]
    return HEAD + "".join(f"    {entry!r},\n" for entry in dict.fromkeys(entries)) + "]\n"


# -- what is left ------------------------------------------------------------------------------------


def heads(studio: Studio) -> list[str]:
    """Every commit that main ever was."""
    return studio.hub.git.run("log", "-g", "--format=%H", "main").text.split()


def is_green(studio: Studio, commit: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="loom-head-") as place:
        root = Path(place) / "files"
        studio.hub.export(commit, root)
        command = [sys.executable, "-m", "unittest", "discover", "-q", "-s", "tests", "-t", "."]
        done_ = subprocess.run(command, cwd=root, capture_output=True, timeout=60, check=False)
        imported = subprocess.run([sys.executable, "-m", "compileall", "-q", "."], cwd=root, check=False)
        return done_.returncode == 0 and imported.returncode == 0


def unproven(studio: Studio) -> list[str]:
    """Landed commits without evidence that passed on them, or on the newest of their batch."""
    rows = MergeRequest.objects.filter(project=studio.project, status="merged")
    return [
        row.commit
        for row in rows
        if not row.claim.evidence.filter(kind="merge", passed=True, commit=row.tip).exists()
    ]
