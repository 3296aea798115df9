"""Work that goes to a remote: pushed, or as a branch that a person merges in Loom or there."""

from __future__ import annotations

import base64
import os
import stat
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.agents.git import GitError, git_alone
from apps.agents.hub import Hub
from apps.agents.merge_models import PullRequest, policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.agents.proof_queries import bead_proof
from apps.agents.pull_requests import pulls_watch
from apps.agents.remotes import Remote, credentials, main_sync
from apps.beads.models import Bead
from apps.core.errors import Conflict
from apps.decisions.services import decision_decide
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, write
from tests.world import world_build

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]


def noting(kind: str, title: str, messages: Messages) -> Answer:
    if kind == "review":
        return APPROVE
    if "Changes requested by" in last(messages):
        return [write("WHY.md", "Because.\n"), done("Said why.")]
    return [write("NOTES.md", f"{title}\n"), done("Noted.")]


@pytest.fixture
def remote(tmp_path: Path, settings: Settings) -> Hub:
    settings.LOOM_LOCAL_REMOTES = True
    hub = Hub(tmp_path / "remote.git")
    git_alone("init", "--quiet", "--bare", "--initial-branch=main", str(hub.path))
    return hub


def asked(open_studio: Open, remote: Hub) -> tuple[Studio, Bead]:
    """A bead whose pull request waits for a person."""
    studio = open_studio(noting)
    merge_policy_set(project=studio.project, strategy="branch-pr", remote=str(remote.path))
    assert Remote(studio.hub, policy_of(studio.project.pk)).push(studio.hub.head() or "", "main", before=None)
    bead = studio.bead("Note")
    studio.run()
    return studio, bead


def test_a_person_merges_a_pull_request_in_loom(open_studio: Open, remote: Hub) -> None:
    studio, bead = asked(open_studio, remote)
    pull = PullRequest.objects.get()
    assert (pull.status, pull.branch) == ("open", f"loom/{bead.key}")
    assert remote.head(pull.branch) == pull.commit
    assert "NOTES.md" not in remote.files("main")
    assert studio.refreshed(bead).stage == Bead.Stage.ASKING
    question = studio.open_question()
    assert question.needs_person
    assert "Verified by the platform" in question.context

    decision_decide(decision=question, choice="merge", decider="Ada")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert "NOTES.md" in remote.files("main")
    assert remote.head("main") == studio.hub.head("main") == studio.refreshed(bead).merged_commit
    pull.refresh_from_db()
    assert (pull.status, pull.merged_commit, pull.closed_by) == ("merged", remote.head("main"), "Ada")
    assert bead_proof(studio.refreshed(bead))["claims"][0]["pull_request"]["status"] == "merged"


def test_a_merge_on_the_remote_closes_the_bead_also_a_squashed_one_behind_others(
    open_studio: Open, remote: Hub
) -> None:
    studio, bead = asked(open_studio, remote)
    assert pulls_watch() == 0
    decision_decide(decision=studio.open_question(), choice="merged", decider="Ada")
    studio.run()
    question = studio.open_question()
    assert "not on main of the remote yet" in question.context, "saying so does not make it so"

    remote.commit_files("main", {"OTHER.md": b"x\n"}, "Somebody's")
    squashed = remote.commit_files("main", {"NOTES.md": b"Note\n"}, "Note (#1)")
    assert pulls_watch() == 1
    studio.run()
    bead = studio.refreshed(bead)
    assert (bead.status, bead.merged_commit) == (Bead.Status.CLOSED, squashed)
    assert studio.hub.head("main") == squashed
    assert PullRequest.objects.get().closed_by == "the remote"


def test_changes_that_a_person_requests_go_to_the_author_and_give_a_new_pull_request(
    open_studio: Open, remote: Hub
) -> None:
    studio, bead = asked(open_studio, remote)
    first = PullRequest.objects.get()
    decision_decide(decision=studio.open_question(), choice="change", decider="Ada", rationale="Say why.")
    studio.run()
    second = PullRequest.objects.latest("id")
    assert first.pk != second.pk
    assert PullRequest.objects.get(pk=first.pk).status == "closed"
    assert {"NOTES.md", "WHY.md"} <= set(remote.files(second.branch))

    decision_decide(decision=studio.open_question(), choice="reject", decider="Ada", rationale="No.")
    studio.run()
    bead = studio.refreshed(bead)
    assert (bead.status, bead.merged_commit) == (Bead.Status.CLOSED, "")
    assert remote.head(second.branch), "the branch stays"


def test_direct_work_is_pushed_and_what_others_pushed_comes_before_it(open_studio: Open, remote: Hub) -> None:
    studio = open_studio(noting)
    merge_policy_set(project=studio.project, remote=str(remote.path))
    Remote(studio.hub, policy_of(studio.project.pk)).push(studio.hub.head() or "", "main", before=None)
    theirs = remote.commit_files("main", {"OTHER.md": b"x\n"}, "Somebody's")
    bead = studio.bead("Note")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert remote.head("main") == studio.hub.head("main")
    assert remote.parents("main") == [theirs]


def test_a_remote_that_went_another_way_is_said(open_studio: Open, remote: Hub) -> None:
    studio = open_studio(noting)
    merge_policy_set(project=studio.project, remote=str(remote.path))
    remote.commit_files("main", {"a": b"x"}, "Nothing in common")
    with pytest.raises(Conflict, match="gone different ways"):
        main_sync(studio.hub, policy_of(studio.project.pk), "main")


# -- credentials -------------------------------------------------------------------------------------


def test_credentials_lie_in_files_of_one_call() -> None:
    with credentials("s3cret-token", "bot") as environment:
        assert "s3cret" not in str(environment)
        folder = Path(environment["GIT_ASKPASS"]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert not folder.exists()
    with credentials(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----", ""
    ) as ssh:
        assert "-o BatchMode=yes" in ssh["GIT_SSH_COMMAND"]
        assert "abc" not in ssh["GIT_SSH_COMMAND"]


class Gate(BaseHTTPRequestHandler):
    """A git server that lets nobody in, and remembers who tried, and how their git was started."""

    tried: list[str] = []
    processes: list[bytes] = []

    def do_GET(self) -> None:
        if given := self.headers.get("Authorization"):
            self.tried.append(given)
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    try:
                        self.processes.append((entry / "cmdline").read_bytes())
                    except OSError:
                        continue
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()
        self.wfile.write(b"no s3cret-token here")

    def log_message(self, *_: Any) -> None:
        return


@pytest.mark.django_db
def test_a_token_reaches_the_server_and_no_argument_or_error(tmp_path: Path) -> None:
    project = world_build(rows=0).project
    server = HTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = Hub(tmp_path / "hub.git")
    hub.create()
    address = f"http://127.0.0.1:{server.server_port}/x.git"
    policy = merge_policy_set(project=project, remote=address, username="bot", credential="s3cret-token")
    try:
        with pytest.raises(GitError) as failed:
            Remote(hub, policy).fetch("main")
    finally:
        server.shutdown()
        server.server_close()
    assert base64.b64encode(b"bot:s3cret-token").decode() in Gate.tried[0]
    assert any(b"ls-remote" in line for line in Gate.processes)
    assert not any(b"s3cret" in line for line in Gate.processes)
    assert "s3cret" not in f"{failed.value.message} {failed.value.details}"
