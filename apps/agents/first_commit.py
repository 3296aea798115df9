"""The first commit of a project's repository, for projects that begin with nothing."""

from __future__ import annotations

from apps.agents.hub import Hub
from apps.agents.merge_models import policy_of
from apps.agents.models import Session
from apps.agents.places import hub_path
from apps.core.errors import NotFound
from apps.projects.models import Project

SOURCE_PATH = "plans/SOURCE.md"
AUTHOR = "Loom <loom@loom.invalid>"
IGNORED = "__pycache__/\n*.py[cod]\n.venv/\nnode_modules/\ndist/\nbuild/\n*.egg-info/\n"


def repository_begin(project: Project) -> str:
    """Make the repository with a first commit that holds the PRD as it was given, if there is one.

    A repository that has commits is left as it is. Writes git, so not inside a transaction.
    """
    hub = Hub(hub_path(project.pk))
    hub.create(project.branch)
    if head := hub.head(project.branch):
        return head
    files: dict[str, bytes | None] = {".gitignore": IGNORED.encode()}
    if project.prd:
        files[SOURCE_PATH] = project.prd.encode()
    return hub.commit_files(project.branch, files, f"Start {project.name}", AUTHOR)


def main_commit(project: Project) -> str:
    """The newest commit of the project's branch; the first work on a new project makes it."""
    hub = Hub(hub_path(project.pk))
    is_there = (hub.path / "HEAD").exists()
    if is_there and (head := hub.head(project.branch)):
        return head
    if is_there and hub.refs("refs/heads/"):
        raise NotFound(f"The repository of {project.name} has no branch {project.branch}.")
    if Session.objects.filter(project=project).exclude(base_commit="").exists():
        # A disk that is not mounted: an empty repository would take the place of the work on it.
        raise NotFound(
            f"The repository of {project.name} is not where it was.",
            hint="Bring back the directory hubs of LOOM_DATA_DIR.",
        )
    if address := policy_of(project.pk).remote or project.git_repo:
        raise NotFound(
            f"{address} was not copied to {project.name} yet.",
            hint="Make it the remote of the project's merge policy and sync; then the work can go on.",
        )
    return repository_begin(project)
