"""Work that a person takes over from agents, and gives back.

Taking over cancels what works on the bead. Its run stops before its next step, so what the person gets is
the worktree as the last finished turn left it. Until then the bead is marked: the run's own end makes it the
person's instead of giving it back to dispatch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.agents.drafts import patch_keep
from apps.agents.hub import Hub
from apps.agents.models import Claim, Session
from apps.agents.places import hub_path, session_ref
from apps.beads.changing import bead_release
from apps.beads.models import Bead
from apps.beads.services import bead_reopen, bead_tell
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.states import move
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.projects.models import Project
from apps.workflows.dispatch import readings_of
from apps.workflows.handing import bead_take, work_hold
from apps.workflows.work import work_claim

MARK = "taken_over_by"  # in the context of a bead whose work still stops
REASON = "taken_over"  # of the session that ended so
AT_WORK = {Bead.Status.IN_PROGRESS, Bead.Status.BLOCKED}


@transaction.atomic
def bead_take_over(*, bead: Bead, person: str) -> bool:
    """Take a bead from whoever works on it; False if that stops first, at the end of the step it is at."""
    work_hold(bead)
    bead = Bead.objects.select_related("project").get(pk=bead.pk)
    runs = list(Run.objects.unfinished().filter(bead_id=bead.pk, parent=None))
    if not runs:
        return _take_idle(bead, person)
    if bead.status not in AT_WORK:
        raise Conflict(f"{bead.key} is {bead.status}; only work under way is taken over.")
    if any(run.cancel_requested for run in runs):
        raise Conflict(f"Work on {bead.key} is just being stopped.", hint="Try again in a moment.")
    Bead.objects.filter(pk=bead.pk).update(
        context={**bead.context, MARK: {"person": person, "runs": [run.pk for run in runs]}}
    )
    for run in runs:
        with suppress(Conflict), transaction.atomic():  # it ends at this moment
            run_cancel(run_id=run.pk, actor=person)
    for decision in Decision.objects.open().filter(bead=bead, run_id__in=[run.pk for run in runs]):
        decision_cancel(decision=decision, actor=person)
    bead_tell(bead, "bead.taking_over", actor=person)
    return False


def _take_idle(bead: Bead, person: str) -> bool:
    """Nothing works on it: it is only taken."""
    if bead.status == Bead.Status.IN_PROGRESS:
        who = bead.assigned_to or "somebody else"
        raise Conflict(f"{bead.key} is yours already." if who == person else f"{who} has {bead.key}.")
    if bead.status in {Bead.Status.BLOCKED, Bead.Status.DEFERRED}:
        bead_reopen(bead=bead, reason=f"Taken over by {person}.", actor=person)
        bead.status = Bead.Status.OPEN
    bead_take(bead=bead, person=person)
    _unmark(bead)
    return True


def taker_of(bead: Bead, run_ids: Collection[int]) -> str:
    """Who has asked for a bead while these runs worked on it, which are about to stop; empty if nobody."""
    mark = bead.context.get(MARK)
    if not isinstance(mark, dict) or not set(run_ids) & set(mark.get("runs", ())):
        return ""
    return str(mark.get("person", ""))


def bead_taken(*, bead: Bead, person: str) -> None:
    """The work has stopped: from now on it is the person's. Part of the run's last step."""
    if move(
        Bead.objects.filter(pk=bead.pk),
        to=Bead.Status.IN_PROGRESS,
        allowed=AT_WORK,
        assigned_to=person,
        blocked_reason="",
        stage=Bead.Stage.NONE,
    ):
        bead_tell(bead, "bead.taken_over", actor=person)
        bead_tell(bead, "bead.status_change", actor=person, status=Bead.Status.IN_PROGRESS)
    _unmark(bead)


def _unmark(bead: Bead) -> None:
    Project.objects.locked(bead.project_id)  # somebody may have changed the context since the bead was read
    context = Bead.objects.values_list("context", flat=True).get(pk=bead.pk)
    kept = {name: value for name, value in context.items() if name != MARK}
    if kept != context:
        Bead.objects.filter(pk=bead.pk).update(context=kept)


# -- the files -----------------------------------------------------------------------------------------


def work_of(bead: Bead) -> Session | None:
    """The newest session whose files are not merged."""
    rows = bead.sessions.filter(kind=Session.Kind.WORK).exclude(reason="merged").exclude(head_commit="")
    found: Session | None = rows.order_by("-id").first()
    return found


def held_require(bead: Bead, person: str) -> None:
    """Conflict unless the person has the bead, and nothing else works on it."""
    busy = Run.objects.unfinished().filter(bead_id=bead.pk).exists()
    if bead.status != Bead.Status.IN_PROGRESS or bead.assigned_to != person or busy:
        raise Conflict(f"{bead.key} is not yours.", hint="Take it over first.")


def bundle_of(bead: Bead, person: str) -> Path:
    """A file for `git fetch`: the main branch, and the work on the bead, if any. The caller removes it."""
    held_require(bead, person)
    hub = _hub(bead)
    _main(bead, hub)
    session = work_of(bead)
    refs = [f"refs/heads/{bead.project.branch}"]
    if session is not None and hub.ref(session_ref(session.pk)):
        refs.append(session_ref(session.pk))
    folder = Path(settings.LOOM_DATA_DIR) / "checkouts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix="bundle-", dir=folder, delete=False) as file:
        place = Path(file.name)
    try:
        hub.git.run("bundle", "create", "--quiet", str(place), *refs)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return place


def commands_for(bead: Bead) -> list[str]:
    """What a person types to go on with the work, and to bring it back."""
    session, file = work_of(bead), f"{bead.key}.bundle"
    branch = bead.project.branch
    lines = [f"git clone -b {branch} {file} {bead.key}", f"cd {bead.key}"]
    if session is None:
        return [*lines, f"git switch -c work/{bead.key}", f"git diff {branch} > {bead.key}.patch"]
    return [
        *lines,
        f"git fetch ../{file} {session_ref(session.pk)}:work/{bead.key}",
        f"git switch work/{bead.key}",
        f"git diff {session.head_commit[:12]} > {bead.key}.patch",
    ]


def _hub(bead: Bead) -> Hub:
    path = hub_path(bead.project_id)
    if not (path / "HEAD").exists():
        raise NotFound(f"{bead.project.name} has no repository yet.")
    return Hub(path)


def _main(bead: Bead, hub: Hub) -> str:
    head = hub.head(bead.project.branch)
    if head is None:
        raise NotFound(f"{bead.project.branch} of {bead.project.name} has no commit yet.")
    return head


# -- back ----------------------------------------------------------------------------------------------


def bead_give_back(
    *, bead: Bead, person: str, patch: str = "", summary: str = "", author: str = ""
) -> Claim | None:
    """Give a bead back to agents, who go on with its files; a patch to them is claimed as the person's work.

    A claim is verified, reviewed and merged; if something is wrong with it, an agent goes on. Uses git.
    """
    held_require(bead, person)
    if not patch.strip():
        with transaction.atomic():
            bead_release(bead=_still_held(bead, person), reason=f"Given back by {person}.", actor=person)
        return None
    hub, session = _hub(bead), work_of(bead)
    main = _main(bead, hub)
    start, base = (session.head_commit, session.base_commit) if session else (main, main)
    kept = patch_keep(
        hub=hub,
        start=start,
        patch=patch,
        ref=f"refs/loom/taken/{bead.pk}",
        author=author or f"{person} <{person}@loom.invalid>",
        message=summary or f"{bead.title}, by {person}",
    )
    if not kept.changed:
        raise BadInput("The patch changes nothing.", details={"field": "patch"})
    tree, readings = hub.tree(kept.commit), readings_of(bead)
    return _claimed(bead, readings, person, base=base, commit=kept.commit, tree=tree, summary=summary)


@transaction.atomic
def _claimed(bead: Bead, readings: Any, person: str, *, summary: str, **change: str) -> Claim:
    bead = _still_held(bead, person)
    bead_release(bead=bead, reason=f"{person} claims work on it.", actor=person)
    bead = Bead.objects.select_related("project").get(pk=bead.pk)
    return work_claim(
        bead=bead, readings=readings, summary=summary or f"Made by {person}.", actor=person, **change
    )


def _still_held(bead: Bead, person: str) -> Bead:
    """The bead as it is now, with the project locked as by who takes over: git took its time."""
    Project.objects.locked(bead.project_id)
    fresh: Bead = Bead.objects.select_related("project").get(pk=bead.pk)
    held_require(fresh, person)
    return fresh
