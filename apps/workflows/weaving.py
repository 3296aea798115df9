"""Preparing a weave: everything that can be wrong is found before anything is started or spent."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from apps.accounts.models import Organization
from apps.accounts.services import organization_ensure
from apps.agents.git import check_git
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
from apps.projects.services import project_create
from apps.providers.errors import NoProvider
from apps.providers.models import Budget
from apps.providers.services import budget_set, provider_check, provider_sync_environment
from apps.workflows.prd_flow import run_key, weave_start

SAMPLE = Path(__file__).resolve().parent.parent / "providers" / "demo" / "prd.md"
MAX_READ = 64 * 1024 * 1024
MIN_FREE_BYTES = 200 * 1024 * 1024
A_PERSON = "the person who resumed"


@dataclass(frozen=True)
class Wish:
    """What the user asked for on the command line."""

    prd: Path | None = None
    out: Path | None = None
    organization: str = "local"
    approval: str = Project.Approval.AUTO
    budget_usd: float | None = None
    sessions: int = 4
    allow_network: bool = False


def prd_read(path: Path | None) -> str:
    """The PRD's text from a file, the sample if none is named; BadInput with one sentence otherwise."""
    source = path or SAMPLE
    try:
        if source.stat().st_size > MAX_READ:
            raise TooLarge(f"{source} is far too large for a PRD.", hint="Give the PRD alone, as Markdown.")
        data = source.read_bytes()
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
    out = out.absolute()
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file.", hint="Give a directory that does not exist yet: OUT=path.")
    if out.is_dir() and any(out.iterdir()):
        raise Conflict(
            f"{out} is not empty.",
            hint="Give another directory with OUT=path, or go on with an earlier weave: --resume.",
        )
    place = out
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        raise BadInput(f"{place} cannot be written to.", hint="Give a directory of your own: OUT=path.")
    return out


def free_place(wanted: Path) -> Path:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, ... that does not exist."""
    place, number = wanted, 1
    while place.exists():
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


def providers_check(prd: str) -> list[str]:
    """Some provider answers, and it can do more than the sample if that is wanted; warnings otherwise."""
    providers = provider_sync_environment()
    if all(provider.is_demo for provider in providers):
        if prd and not is_sample(prd):
            raise NoProvider("No model is connected, and the demo provider only knows its sample PRD.")
        return []
    probes = [provider_check(provider=provider) for provider in providers]
    failures = [probe for probe in probes if not probe.ok]
    if len(failures) == len(probes):
        raise ProviderError(failures[0].message, hint=failures[0].hint)
    return [f"{probe.message} {probe.hint}".strip() for probe in failures]


@transaction.atomic
def weave_begin(wish: Wish, *, prd: str, out: Path) -> Project:
    """Create the project with its budget and start its run."""
    organization = organization_ensure(name=wish.organization)
    project = project_create(
        organization=organization,
        name=prd_title(prd),
        prd=prd,
        approval=wish.approval,
        max_sessions=wish.sessions,
        out_dir=str(out),
        allow_network=wish.allow_network,
        actor="weave",
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
    """The unfinished weave to go on with: by its directory, else by its PRD, else the newest."""
    organization = Organization.objects.filter(slug=organization_slug(wish.organization)).first()
    projects = (
        Project.objects.filter(organization=organization).exclude(prd="")
        if organization
        else Project.objects.none()
    )
    if wish.out is not None:
        projects = projects.filter(out_dir=str(wish.out.absolute()))
    if prd:
        projects = projects.filter(prd_sha256=hashlib.sha256(prd.encode()).hexdigest())
    unfinished = [
        project
        for project in projects.order_by("-id")[:50]
        if Run.objects.filter(key=run_key(project.pk)).exclude(status=Run.Status.DONE).exists()
    ]
    if not unfinished:
        raise NotFound("There is no unfinished weave to resume.", hint="Start one without --resume.")
    return unfinished[0]


def organization_slug(name: str) -> str:
    return slugify(name)[:60]


@transaction.atomic
def weave_resume(wish: Wish, project: Project) -> None:
    """Go on: with more money if given, and with whatever waited for a person tried again."""
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
