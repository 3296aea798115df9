"""Loom improves Loom: a repository that is only read, a gate before every merge, a project that stays."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.services import organization_ensure
from apps.agents.hub import Hub
from apps.agents.importing import repository_import
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.beads.services import bead_create, project_is_finished
from apps.core.errors import BadInput, Conflict
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.projects.models import Project
from apps.projects.services import project_close, project_delete, project_update
from apps.workflows.self_improvement import (
    WORKFLOW,
    self_improve,
    self_improvement_mark,
    self_improvement_unmark,
)
from tests.engine.flows import at_once
from tests.workflows.studio import APPROVE, CALC, TEST, Answer, Studio, done, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]


def git(place: Path, *words: str) -> str:
    options = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    done = subprocess.run(
        ["git", *options, *words], cwd=place, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Somebody's repository, with two commits."""
    place = tmp_path / "source"
    (place / "calc").mkdir(parents=True)
    (place / "tests").mkdir()
    git(place, "init", "--quiet", "--initial-branch=trunk")
    (place / "calc" / "__init__.py").write_text(CALC)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "One")
    (place / "tests" / "__init__.py").write_text("")
    (place / "tests" / "test_calc.py").write_text(TEST)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "Two")
    return place


def improving(kind: str, title: str, messages: Messages) -> Answer:
    return APPROVE if kind == "review" else [write("IMPROVED.md", f"{title}\n"), done("Better.")]


def snapshot(place: Path) -> dict[str, bytes]:
    """Every file of a repository, its git directory too."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def command(*words: str) -> str:
    out = StringIO()
    call_command("self_improve", *words, "--org", "Studio", stdout=out)
    return out.getvalue()


def improved() -> Project:
    return Project.objects.get(name="Loom")


def bead(title: str, **fields: Any) -> Bead:
    return bead_create(project=improved(), title=title, role="loom", acceptance=["It is."], **fields)


# -- the way of a change ---------------------------------------------------------------------------


def test_a_change_is_proven_reviewed_and_waits_for_a_person_before_it_is_merged(
    open_studio: Open, repo: Path
) -> None:
    studio = open_studio(improving)
    before = snapshot(repo)
    told = command("--repo", str(repo))
    project = improved()
    hub = Hub(hub_path(project.pk))
    start = hub.head("main")
    assert start == git(repo, "rev-parse", "trunk")
    assert f"git -C {repo} fetch {hub.path} main" in told

    change = bead("Say it better", type="bug")
    studio.run()
    gate = Decision.objects.open().get()
    assert (gate.bead_id, gate.needs_person, gate.decided_at) == (change.pk, True, None)
    assert change.evidence.filter(passed=True).exists()
    assert change.reviews.get().verdict == "approve"
    assert hub.head("main") == start, "nothing is merged before a person said yes"

    decision_decide(decision=gate, choice="approve", decider="ann")
    studio.run()
    change.refresh_from_db()
    assert change.status == Bead.Status.CLOSED
    assert hub.head("main") == change.merged_commit != start
    assert snapshot(repo) == before, "the repository it came from is only read"
    git(repo, "fetch", "--quiet", str(hub.path), "main")
    assert git(repo, "show", "FETCH_HEAD:IMPROVED.md") == "Say it better"


@pytest.mark.parametrize("type_", ["bug", "story"])
def test_no_bead_of_the_project_goes_another_way(open_studio: Open, repo: Path, type_: str) -> None:
    studio = open_studio(improving)
    command("--repo", str(repo))
    bead("Sneak", type=type_, labels=["ui", "workflow:story"])
    studio.run()
    assert Decision.objects.open().get().needs_person
    assert Hub(hub_path(improved().pk)).head("main") == git(repo, "rev-parse", "trunk")


def test_a_change_that_is_sent_back_comes_again_and_one_that_is_rejected_does_not(
    open_studio: Open, repo: Path
) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        heard = "Too loud." in str(messages)
        return [write("IMPROVED.md", "quiet\n" if heard else "LOUD\n"), done()]

    studio = open_studio(model)
    command("--repo", str(repo))
    change = bead("Speak")
    studio.run()
    first = Decision.objects.open().get()
    back = next(one["key"] for one in first.options if one["key"] not in {"approve", "reject"})
    decision_decide(decision=first, choice=back, decider="ann", rationale="Too loud.")
    studio.run()
    second = Decision.objects.open().get()
    assert second.pk != first.pk
    hub = Hub(hub_path(improved().pk))
    assert hub.head("main") == git(repo, "rev-parse", "trunk")
    decision_decide(decision=second, choice="approve", decider="ann")
    studio.run()
    change.refresh_from_db()
    assert hub.read(change.merged_commit, "IMPROVED.md") == b"quiet\n"


def test_without_the_workflow_nothing_is_worked_on_unguarded(open_studio: Open, repo: Path) -> None:
    studio = open_studio(improving)
    command("--repo", str(repo))
    project_update(project=improved(), workflow="gone")
    change = bead("Unguarded")
    studio.run()
    change.refresh_from_db()
    assert change.merged_commit == ""
    assert Hub(hub_path(improved().pk)).head("main") == git(repo, "rev-parse", "trunk")


# -- the project stays -----------------------------------------------------------------------------


def test_it_is_never_finished_and_neither_closed_nor_deleted(open_studio: Open, repo: Path) -> None:
    open_studio(improving)
    command("--repo", str(repo))
    project = improved()
    assert (project.is_perpetual, project.is_sticky, project.workflow) == (True, True, WORKFLOW)
    assert not project_is_finished(project.pk), "though there is no bead at all"
    with pytest.raises(Conflict):
        project_close(project=project, reason="Enough.")
    with pytest.raises(Conflict):
        project_delete(project=project, confirm=project.slug)
    command("--project", project.slug, "--off")
    project_close(project=improved(), reason="Enough.")
    with pytest.raises(CommandError, match="is closed"):
        command("--project", project.slug)


def test_any_project_can_be_marked_and_has_the_loom_persona_then(open_studio: Open) -> None:
    studio = open_studio(improving)
    for _ in range(2):
        assert "improves itself" in command("--project", studio.project.slug)
    project = studio.project_row()
    assert (project.is_perpetual, project.workflow, project.approval) == (True, WORKFLOW, "ask")
    assert [agent.role for agent in project.agents.all()] == ["loom"]
    self_improvement_unmark(project=project)
    assert not studio.project_row().is_sticky


# -- the repository --------------------------------------------------------------------------------


def test_called_again_it_takes_over_what_is_new(open_studio: Open, repo: Path) -> None:
    open_studio(improving)
    command("--repo", str(repo))
    (repo / "NEW.md").write_text("new\n")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "-m", "Three")
    command("--repo", str(repo))
    assert Project.objects.filter(name="Loom").count() == 1
    hub = Hub(hub_path(improved().pk))
    assert hub.head("main") == git(repo, "rev-parse", "trunk")
    hub.commit_files("main", {"MERGED.md": b"here\n"}, "Merged here")
    ahead = hub.head("main")
    command("--repo", str(repo))
    assert hub.head("main") == ahead, "what was merged here and not fetched yet stays"
    (repo / "OTHER.md").write_text("other\n")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "-m", "Four")
    with pytest.raises(CommandError, match=r"holds work that .* does not have"):
        command("--repo", str(repo))
    assert hub.head("main") == ahead


def test_two_calls_at_once_make_one_project(open_studio: Open, repo: Path) -> None:
    studio = open_studio(improving)

    def improve() -> None:
        self_improve(organization=studio.organization, repo=repo)

    at_once(improve, improve, improve)
    assert Project.objects.filter(name="Loom").count() == 1
    assert improved().agents.count() == 1


def test_a_name_that_is_taken_is_not_taken_over(open_studio: Open, repo: Path) -> None:
    studio = open_studio(improving)
    with pytest.raises(CommandError, match=r"There is a project called 'Calculator' already.*--project"):
        command("--repo", str(repo), "--name", "Calculator")
    assert studio.project_row().workflow == ""
    other = organization_ensure(name="rivals")
    done = self_improve(organization=other, repo=repo, name="Calculator")
    assert done.project.organization_id == other.pk


@pytest.mark.parametrize("bad", ["nowhere", "empty", "file", "worktree"])
def test_what_is_no_repository_is_refused_before_anything_is_made(
    open_studio: Open, repo: Path, tmp_path: Path, bad: str
) -> None:
    open_studio(improving)
    place = tmp_path / bad
    if bad == "empty":
        place.mkdir()
    elif bad == "file":
        place.write_text("x")
    elif bad == "worktree":
        git(repo, "worktree", "add", "--quiet", str(place))
    with pytest.raises(CommandError, match=r"no git repository|a worktree of another"):
        command("--repo", str(place))
    assert not Project.objects.filter(name="Loom").exists()


@pytest.mark.parametrize("wanted", ["no-such-branch", "--upload-pack=touch /tmp/x", "a..b", ""])
def test_a_branch_that_is_none_is_refused(tmp_path: Path, repo: Path, wanted: str) -> None:
    hub = Hub(tmp_path / "hub.git")
    with pytest.raises(BadInput):
        repository_import(hub, repo, branch="main", wanted=wanted)
    assert not hub.path.exists() or hub.head("main") is None


def test_a_bare_repository_and_another_branch_will_do(tmp_path: Path, repo: Path) -> None:
    git(repo, "branch", "older", "HEAD~1")
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(bare))
    hub = Hub(tmp_path / "hub.git")
    assert repository_import(hub, bare, branch="main", wanted="older") == git(repo, "rev-parse", "older")
    assert hub.files("main") == ["calc/__init__.py"]


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "fresh")
    with pytest.raises(BadInput, match="has no commit 'HEAD'"):
        repository_import(Hub(tmp_path / "hub.git"), tmp_path / "fresh", branch="main")


def test_a_closed_project_is_not_marked(open_studio: Open) -> None:
    studio = open_studio(improving)
    project_close(project=studio.project, reason="Done.")
    with pytest.raises(Conflict, match="is closed"):
        self_improvement_mark(project=studio.project_row())
    assert not studio.project_row().is_perpetual
