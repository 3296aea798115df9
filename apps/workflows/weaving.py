"""Preparing a weave: everything that can be wrong is found before anything is started or spent."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.text import slugify

from apps.accounts.models import Organization
from apps.accounts.services import organization_ensure, slug_of
from apps.agents.git import check_git
from apps.agents.places import hub_path
from apps.agents.sandbox import sandbox_status
from apps.beads.models import Bead
from apps.beads.services import bead_resume
from apps.core.errors import BadInput, Conflict, NotFound, ProviderError, TooLarge, Unavailable
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine.models import Run
from apps.engine.services import run_retry
from apps.projects.models import Project
from apps.projects.prd import prd_decode, prd_title
from apps.projects.services import project_create, project_update
from apps.providers.errors import NoProvider
from apps.providers.models import Budget, Provider
from apps.providers.services import budget_set, provider_check, provider_sync_environment
from apps.workflows.prd_flow import run_key, weave_start

SAMPLE = Path(__file__).resolve().parent.parent / "providers" / "demo" / "prd.md"
MAX_READ = 64 * 1024 * 1024
MIN_FREE_BYTES = 200 * 1024 * 1024
OUT_LENGTH = Project._meta.get_field("out_dir").max_length or 1000
CLAIMS = 0x10_0F_0A_CF  # PostgreSQL's number for the lock on the directories that weaves will build in
OVER = (Run.Status.DONE, Run.Status.CANCELED)
A_PERSON = "the person who resumed"


@dataclass(frozen=True)
class Wish:
    """What the user asked for on the command line; what was not asked stays as it is, or is the default."""

    prd: Path | None = None
    out: Path | None = None
    organization: str = "local"
    approval: str | None = None
    budget_usd: float | None = None
    sessions: int | None = None
    allow_network: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Of the project, as far as they were asked for."""
        asked = {
            "approval": self.approval,
            "max_sessions": self.sessions,
            "allow_network": self.allow_network or None,
        }
        return {name: value for name, value in asked.items() if value is not None}


def prd_read(path: Path | None) -> str:
    """The PRD's text from a file, the sample if none is named; BadInput with one sentence otherwise."""
    source = path or SAMPLE
    try:
        with source.open("rb") as file:
            data = file.read(MAX_READ + 1)  # a device has no size and no end
        if len(data) > MAX_READ:
            raise TooLarge(f"{source} is far too large for a PRD.", hint="Give the PRD alone, as Markdown.")
    except FileNotFoundError:
        raise BadInput(
            f"There is no file {source}.", hint="Give the path of your PRD: PRD=path/to/prd.md."
        ) from None
    except IsADirectoryError:
        raise BadInput(
            f"{source} is a directory.", hint="Give the path of your PRD, a Markdown file."
        ) from None
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}.") from None
    return prd_decode(data, source=str(source))


def is_sample(prd: str) -> bool:
    return prd == prd_decode(SAMPLE.read_bytes())


def out_check(out: Path | None, name: str) -> Path:
    """Where the product's repository will stand: free, and possible to write."""
    if out is None:
        out = free_place(Path(settings.BASE_DIR) / "out" / (slugify(name)[:60] or "product"))
    out = real_place(out)
    try:
        if out.exists() and not out.is_dir():
            raise BadInput(f"{out} is a file.", hint="Give a directory that does not exist yet: OUT=path.")
        if out.is_dir() and any(out.iterdir()):
            raise Conflict(
                f"{out} is not empty.",
                hint="Give another directory with OUT=path, or go on with an earlier weave: --resume.",
            )
        _write_check(out)
    except OSError as error:
        raise BadInput(
            f"{out} cannot be written to: {error.strerror}.", hint="Give a directory of your own: OUT=path."
        ) from None
    return out


def real_place(out: Path) -> Path:
    """The same directory has one name, however it was written: links and `..` are followed."""
    return Path(os.path.realpath(out))


def _write_check(out: Path) -> None:
    """Try it: whether a directory can be made there is known by making one, also for root."""
    if len(str(out)) > OUT_LENGTH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    place = out
    while not place.exists():
        place = place.parent
    Path(tempfile.mkdtemp(prefix=".loom-", dir=place)).rmdir()


def _out_claim(wish: Wish, out: Path) -> Path:
    """`out` unless a weave of anybody will build there: then another place, or Conflict.

    A weave that failed still will: it can be resumed. Who claims holds a lock until its project is committed,
    so that of two who begin at once the second sees the first's; on SQLite one writes at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIMS])
    begun = Run.objects.filter(flow="prd.weave").exclude(status__in=OVER).values("project_id")
    places = Project.objects.filter(pk__in=begun).exclude(out_dir="").values_list("out_dir", flat=True)
    claimed = {str(real_place(Path(place))) for place in places}  # older weaves kept it as it was written
    if wish.out is None:
        return free_place(out, claimed)
    if str(out) in claimed:
        raise Conflict(
            f"A weave that is not finished will build in {out}.",
            hint="Go on with it: --resume; or give another directory: OUT=path.",
        )
    return out


def free_place(wanted: Path, claimed: Collection[str] = ()) -> Path:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, ... that is neither there nor claimed."""
    place, number = wanted, 1
    while place.exists() or str(place) in claimed:
        number += 1
        place = wanted.with_name(f"{wanted.name}-{number}")
    return place


def machine_check() -> None:
    """Git, sandbox and disk; Unavailable with what is missing and how to get it."""
    check_git()
    status = sandbox_status()
    if not status.available:
        raise Unavailable(f"Commands of agents cannot be sandboxed here: {status.reason}", hint=status.fix)
    free = shutil.disk_usage(settings.LOOM_DATA_DIR).free
    if free < MIN_FREE_BYTES:
        raise Unavailable(
            f"Only {free // 1024 // 1024} MB are free at {settings.LOOM_DATA_DIR}.",
            hint="Free some space, or set LOOM_DATA_DIR to a larger disk.",
        )


def providers_check(prd: str, organization: str) -> list[str]:
    """Some provider that the organization may use answers, and it can do more than the sample if that is
    wanted; warnings otherwise. An organization's own models count like those that all share.
    """
    shared = provider_sync_environment()
    own = Provider.objects.filter(organization__slug=slug_of(organization), enabled=True)
    models = [provider for provider in [*shared, *own] if not provider.is_demo]
    if not models:
        if prd and not is_sample(prd):
            raise NoProvider("No model is connected, and the demo provider only knows its sample PRD.")
        return []
    probes = [provider_check(provider=provider) for provider in models]
    failures = [probe for probe in probes if not probe.ok]
    if len(failures) == len(probes):
        raise ProviderError(failures[0].message, hint=failures[0].hint)
    return [f"{probe.message} {probe.hint}".strip() for probe in failures]


@transaction.atomic
def weave_begin(wish: Wish, *, prd: str, out: Path) -> Project:
    """Create the project with its budget and start its run.

    It builds in `out`, or beside it if another weave will build there and the wish names no directory.
    """
    organization = organization_ensure(name=wish.organization)
    project = project_create(
        organization=organization,
        name=prd_title(prd),
        prd=prd,
        out_dir=str(_out_claim(wish, out)),
        actor="weave",
        **wish.settings,
    )
    if wish.budget_usd is not None:
        _limit(project, wish.budget_usd)
    weave_start(project=project)
    return project


def _limit(project: Project, usd: float) -> None:
    budget_set(
        organization_id=project.organization_id,
        scope=Budget.Scope.PROJECT,
        scope_id=project.pk,
        limit_usd=usd,
        actor="weave",
    )


def weave_find(wish: Wish, prd: str) -> Project:
    """The weave to go on with: by its directory, else by its PRD, else the newest that is not finished.

    One that is named by its directory may be finished: who comes back after a crash need not know that.
    """
    organization = Organization.objects.filter(slug=slug_of(wish.organization)).first()
    everything = (
        Project.objects.filter(organization=organization).exclude(prd="")
        if organization
        else Project.objects.none()
    )
    projects = everything
    if wish.out is not None:
        projects = projects.filter(out_dir__in={str(real_place(wish.out)), str(wish.out.absolute())})
    if prd:
        projects = projects.filter(prd_sha256=hashlib.sha256(prd.encode()).hexdigest())
    begun = list(projects.order_by("-id")[:50])
    if unfinished := _unfinished(begun):
        return unfinished[0]
    if begun and wish.out is not None:
        if Run.objects.filter(key=run_key(begun[0].pk), status=Run.Status.CANCELED).exists():
            raise Conflict(f"The weave in {wish.out} was canceled.", hint=after_cancel(begun[0]))
        if wish.out.is_dir():
            return begun[0]
    if others := _unfinished(everything.exclude(out_dir="").order_by("-id")[:50]):
        places = ", ".join(other.out_dir for other in others[:3])
        raise NotFound(
            "There is no unfinished weave of that directory or PRD.",
            hint=f"Unfinished are those in {places}: give the same OUT, or start one without --resume.",
        )
    raise NotFound("There is no unfinished weave to resume.", hint="Start one without --resume.")


def _unfinished(projects: Iterable[Project]) -> list[Project]:
    return [
        project
        for project in projects
        if Run.objects.filter(key=run_key(project.pk)).exclude(status__in=OVER).exists()
    ]


def after_cancel(project: Project) -> str:
    """What is left to do with a weave that was canceled, which is for good."""
    hub = shlex.quote(str(hub_path(project.pk)))
    return (
        f"It does not go on, and its project is closed. What was merged: git clone {hub}. "
        "To begin anew, leave out --resume."
    )


@transaction.atomic
def weave_resume(wish: Wish, project: Project) -> None:
    """Go on as asked now, with more money if given; whatever waited for a person is tried again."""
    if wish.settings:
        project_update(project=project, actor=A_PERSON, **wish.settings)
    if wish.budget_usd is not None:
        _limit(project, wish.budget_usd)
    stuck = Decision.objects.open().filter(project=project, kind=Decision.Kind.STUCK)
    for decision in stuck.select_related("project", "bead"):
        decision_decide(decision=decision, choice="retry", decider=A_PERSON)
    # Children are taken up again with their parents.
    for run in Run.objects.filter(project_id=project.pk, status=Run.Status.FAILED, parent=None):
        bead = Bead.objects.select_related("project").filter(pk=run.bead_id or 0).first()
        if bead is not None and bead.status == Bead.Status.CLOSED:
            continue
        with suppress(Conflict), transaction.atomic():  # another run has taken its place
            run_retry(run_id=run.pk, actor=A_PERSON)
            if bead is not None:
                bead_resume(bead=bead, actor=A_PERSON)
    weave_start(project=project)
