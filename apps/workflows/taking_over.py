"""A project from a repository that exists: its branch, with its history, becomes the project's."""

from __future__ import annotations

import ipaddress
import shutil
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction

from apps.accounts.models import Organization
from apps.agents.hub import Hub
from apps.agents.merge_models import MergePolicy
from apps.agents.merge_policies import merge_policy_set, remote_checked
from apps.agents.places import hub_path
from apps.agents.remotes import Remote
from apps.core.errors import BadInput, TooLarge
from apps.engine.flow import Handle, Retry, call, flow
from apps.engine.models import Run
from apps.engine.services import run_start
from apps.events.bus import emit
from apps.projects.models import Project
from apps.projects.services import project_create

FLOW = "repository.take-over"
KEEP = "keep"  # what is merged stays in Loom's copy of the repository
WAYS = (KEEP, *MergePolicy.Strategy.values)
TRY = Retry(attempts=3, delay=5.0, factor=3.0, never=(BadInput, TooLarge))


@transaction.atomic
def project_take_over(
    *,
    organization: Organization,
    address: str,
    name: str = "",
    branch: str = "",
    way: str = KEEP,
    username: str = "",
    credential: str = "",
    actor: str = "",
) -> tuple[Project, Run]:
    """Make the project and begin to copy; `way` says what becomes of merged work.

    Empty: the branch is the remote's own. A credential is for remotes that work goes back to.
    """
    address = _checked(address, way, credential)
    project = project_create(
        organization=organization,
        name=name.strip() or name_of(address),
        git_repo=address,
        branch=branch or "main",
        actor=actor,
    )
    if way != KEEP:
        rules = {"strategy": way, "remote": address, "username": username}
        merge_policy_set(
            project=project, actor=actor, **rules, **({"credential": credential} if credential else {})
        )
    run = run_start(
        flow=FLOW,
        key=f"take-over:{project.pk}",
        input={"project_id": project.pk, "wanted": branch},
        organization_id=organization.pk,
        project_id=project.pk,
    )
    return project, run


def _checked(address: str, way: str, credential: str) -> str:
    """The address, if there can be work on it in this way."""
    checked = remote_checked(address)
    if not checked:
        raise BadInput("Give the address of the repository.", details={"field": "address"})
    if way not in WAYS:
        raise BadInput(f"way is one of: {', '.join(WAYS)}.", details={"field": "way"})
    if way == KEEP and credential:
        raise BadInput(
            "A credential is kept only for a repository that work goes back to.",
            hint=f"Choose {' or '.join(MergePolicy.Strategy.values)}.",
            details={"field": "credential"},
        )
    return checked


def name_of(address: str) -> str:
    """What a repository is called: the last part of its address."""
    return address.rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".git")[:200] or "Repository"


@flow(FLOW)
def repository_take_over(project_id: int, wanted: str = "") -> dict[str, Any]:
    fetched: dict[str, Any] = call(repository_fetch, retry=TRY, project_id=project_id, wanted=wanted)
    return fetched


def repository_fetch(handle: Handle, project_id: int, wanted: str) -> dict[str, Any]:
    """Copy the branch into the hub; what is there already from an interrupted try is only completed."""
    project = Project.objects.get(pk=project_id)
    policy = MergePolicy.objects.filter(project=project).exclude(remote="").first()
    policy = policy or MergePolicy(project=project, remote=project.git_repo)
    host_require(policy.remote)
    hub = Hub(hub_path(project_id))
    hub.create(project.branch)
    remote = Remote(hub, policy)
    branch = wanted or remote.head_branch() or project.branch
    commit = remote.fetch(branch)
    if commit is None:
        raise BadInput(f"{policy.remote} has no branch {branch}.", hint="Name one that it has.")
    _size_require(hub)
    if branch != project.branch:
        hub.git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    if hub.head(branch) is None:
        hub.advance(branch, commit, None)
    with transaction.atomic():
        Project.objects.filter(pk=project_id).update(branch=branch)
        emit(
            "project.synced",
            organization_id=project.organization_id,
            project_id=project_id,
            subject=f"project:{project.slug}",
            actor="loom",
            before="",
            commit=commit,
        )
        handle.finish({"commit": commit, "branch": branch})
    return {"commit": commit, "branch": branch}


def host_require(address: str) -> None:
    """BadInput for an address that leads back to this machine or to the metadata of its cloud."""
    if settings.LOOM_LOCAL_REMOTES:
        return
    host = urlsplit(address).hostname if "://" in address else address.rpartition("@")[2].partition(":")[0]
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise BadInput(f"The host {host} is not known.", hint="Look at the address again.") from error
    for place in found:
        ip = ipaddress.ip_address(place.partition("%")[0])
        if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            raise BadInput(f"{host} is no place that repositories are taken from.")


def _size_require(hub: Hub) -> None:
    """Repositories that would fill the disk are not kept."""
    size = sum(file.stat().st_size for file in Path(hub.path).rglob("*") if file.is_file())
    most = settings.LOOM_MAX_REPOSITORY_MB
    if size > most * 1024 * 1024:
        shutil.rmtree(hub.path)
        raise TooLarge(
            f"The repository takes {size // 1024 // 1024:,} MB; {most:,} MB are taken over at most.",
            hint="Raise LOOM_MAX_REPOSITORY_MB, or give a smaller repository.",
        )
