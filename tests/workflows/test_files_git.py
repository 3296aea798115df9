"""The repository over the API: reading it, changing a draft that becomes work, the remote, its key."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import Role
from apps.agents.browsing import LINE_CHARS
from apps.agents.git import git_alone
from apps.agents.hub import Hub
from apps.agents.merge_models import policy_of
from apps.agents.merge_policies import merge_policy_set
from apps.agents.places import hub_path
from apps.agents.remotes import Remote
from apps.beads.models import Bead
from apps.events.models import Event
from apps.providers.keys import unseal
from tests.api.clients import client_of, send
from tests.workflows.studio import APPROVE, Answer, Studio
from tests.world import World, world_build

SECRET = "sk_live_aB3dE5fG7hI9jK1lM3nO5"
PATCH = """\
--- a/calc/__init__.py
+++ b/calc/__init__.py
@@ -1,2 +1,5 @@
 def add(a, b):
     return a + b
+
+
+double = lambda a: a + a
"""


@pytest.fixture
def world(db: None, tmp_path: Path, settings: Settings) -> World:
    settings.LOOM_DATA_DIR = tmp_path / "loom"
    return world_build(rows=1)


@pytest.fixture
def hub(world: World) -> Hub:
    hub = Hub(hub_path(world.project.pk))
    hub.create("main")
    files: dict[str, bytes | None] = {
        "app/main.py": b"def main():\n    return 'needle'\n",
        "app/deep/er/still.py": b"NEEDLE = 1\n",
        "logo.png": b"\x89PNG\0\0needle",
        "big.txt": b"x" * 1_000_001,
        ".env": f"API_TOKEN={SECRET}\n".encode(),
        "-n.txt": b"needle\n",
        "wide.txt": f"a long line {'.' * (LINE_CHARS - 12 - len(SECRET) // 2)}{SECRET}\n".encode(),
    }
    hub.commit_files("main", files, f"Begin with {SECRET}")
    blob = hub.git.line("hash-object", "-w", "--stdin", stdin=b"/etc/passwd")
    tree = hub.git.run("ls-tree", hub.head() or "").out + f"120000 blob {blob}\tlink\n".encode()
    commit = hub.commit_tree(hub.git.line("mktree", stdin=tree), [hub.head() or ""], "Link")
    assert hub.advance("main", commit, hub.head())
    return hub


@pytest.fixture
def ann(world: World) -> Client:
    return client_of("ann", world.organization)


def get(client: Client, world: World, what: str) -> Any:
    return send(client, "get", f"projects/{world.project.pk}/files/{what}")


def test_files_are_read_bounded_and_no_link_is_followed(world: World, hub: Hub, ann: Client) -> None:
    body = get(ann, world, "read?path=./app//main.py").json()
    assert body["content"] == "def main():\n    return 'needle'\n"
    assert (body["path"], body["size"], body["commit"]) == ("app/main.py", 32, hub.head())
    link = get(ann, world, "read?path=link").json()
    assert (link["type"], link["content"]) == ("link", "/etc/passwd")
    png = get(ann, world, "read?path=logo.png").json()
    assert (png["encoding"], base64.b64decode(png["content"])[:4]) == ("base64", b"\x89PNG")
    assert SECRET not in get(ann, world, "read?path=.env").content.decode()
    for path, status in {
        "big.txt": 413, "app": 400, "../etc/passwd": 400, "link/x": 404, "nope": 404, "": 400,
        "app/main.py&ref=nope": 404, "app/main.py&ref=-x": 404, "app/main.py&ref=a..b": 400,
        "app/main.py&bead=nope-1": 404,
        f"app/main.py&bead={world.beads[0].key}": 404,
    }.items():  # fmt: skip
        assert get(ann, world, f"read?path={path}").status_code == status, path
    assert get(ann, world, f"read?path=link&ref={(hub.head() or '')[:12]}").status_code == 200


def test_the_tree_and_the_search_are_bounded_and_take_no_options(world: World, hub: Hub, ann: Client) -> None:
    tree = get(ann, world, "tree").json()
    found = {entry["path"]: (entry["type"], entry["depth"]) for entry in tree["entries"]}
    assert found["app"] == ("dir", 1)
    assert found["app/deep/er/still.py"] == ("file", 4)
    assert found["link"] == ("link", 1)
    assert [one["path"] for one in get(ann, world, "tree?path=app&max_depth=1").json()["entries"]] == [
        "app/deep", "app/main.py",
    ]  # fmt: skip
    assert get(ann, world, "tree?limit=2").json()["truncated"] is True
    matches = get(ann, world, "search?query=needle").json()["matches"]
    assert [(one["path"], one["line"]) for one in matches] == [
        ("-n.txt", 1), ("app/deep/er/still.py", 1), ("app/main.py", 2),
    ]  # fmt: skip
    assert len(get(ann, world, "search?query=needle&path=app").json()["matches"]) == 2
    assert get(ann, world, "search?query=needle&limit=1").json()["truncated"] is True
    assert get(ann, world, "search?query=--open-files-in-pager").json()["matches"] == []
    assert get(ann, world, "search?query=%0A").status_code == 400
    assert SECRET not in get(ann, world, f"search?query={SECRET[:12]}").content.decode()
    said = get(ann, world, "search?query=long%20line").json()["matches"][0]["text"]
    assert "long line" in said
    assert SECRET[:6] not in said
    log = send(ann, "get", f"projects/git/log?project_id={world.project.pk}")
    assert [row["message"].split()[0] for row in log.json()] == ["Link", "Begin"]
    assert SECRET not in log.content.decode()


def test_a_draft_becomes_work_and_reaches_main_only_proven(open_studio: Callable[..., Studio]) -> None:
    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        return APPROVE

    studio = open_studio(model)
    project, main = studio.project.pk, studio.hub.head()
    ann = client_of("ann", studio.organization)
    files, git = f"projects/{project}/files", f"project_id={project}"
    assert send(ann, "post", f"projects/git/commit?{git}", {"message": "x"}).status_code == 409
    done = send(ann, "post", f"{files}/patch", {"patch": PATCH})
    assert (done.status_code, done.json()["applied"]) == (200, True), done.content
    new = "--- /dev/null\n+++ b/notes/why.md\n@@ -0,0 +1 @@\n+Because.\n"
    assert send(ann, "post", f"{files}/patch", {"patch": new}).status_code == 200
    other = "--- a/calc/__init__.py\n+++ b/calc/__init__.py\n@@ -1,2 +1,1 @@\n-Quite other\n-words.\n+x\n"
    assert send(ann, "post", f"{files}/patch", {"patch": other}).status_code == 400
    assert send(ann, "post", f"{files}/patch", {"patch": "no diff"}).status_code == 400
    for path in ("../out.txt", ".git/hooks/x"):
        bad = send(ann, "post", f"{files}/patch", {"patch": new.replace("notes/why.md", path)})
        assert bad.status_code in {400, 403}, path
    assert studio.hub.head() == main
    assert "double" in send(ann, "get", f"{files}/read?path=calc/__init__.py&ref=draft").json()["content"]
    assert "double" not in send(ann, "get", f"{files}/read?path=calc/__init__.py").json()["content"]
    draft = send(ann, "get", f"projects/git/status?{git}").json()["draft"]
    assert [one["path"] for one in draft["files"]] == ["calc/__init__.py", "notes/why.md"]
    told = send(ann, "post", f"projects/git/commit?{git}", {"message": "Add double\n\nIt doubles."})
    assert told.status_code == 202, told.content
    assert studio.hub.head() == main
    assert send(ann, "get", f"projects/git/status?{git}").json()["draft"] is None
    bead = told.json()["bead_id"]
    assert "double" in send(ann, "get", f"projects/git/diff?{git}&bead={bead}").json()["diff"]
    studio.run()
    row = Bead.objects.get(key=bead)
    assert (row.status, row.title) == ("closed", "Add double")
    assert row.merged_commit == studio.hub.head() != main
    assert "double" in studio.main_file("calc/__init__.py")
    assert not studio.sessions("work")[0].turns.exists()  # nobody had to work on it
    viewer = client_of("vic", studio.organization, Role.VIEWER)
    assert send(viewer, "post", f"{files}/patch", {"patch": new}).status_code == 403
    assert send(viewer, "post", f"projects/git/commit?{git}", {"message": "x"}).status_code == 403


def test_the_remote_is_taken_over_pushed_and_told(
    world: World, hub: Hub, ann: Client, tmp_path: Path, settings: Settings
) -> None:
    settings.LOOM_LOCAL_REMOTES = True
    git = f"project_id={world.project.pk}"
    assert send(ann, "post", f"projects/git/sync?{git}").status_code == 400  # no remote yet
    remote = Hub(tmp_path / "remote.git")
    git_alone("init", "--quiet", "--bare", "--initial-branch=main", str(remote.path))
    policy = merge_policy_set(project=world.project, remote=str(remote.path))
    pushed = send(ann, "post", f"projects/git/push?{git}")
    assert pushed.json() == {
        "success": True, "project_id": str(world.project.pk), "last_commit_hash": hub.head(),
    }  # fmt: skip
    assert remote.head() == hub.head()
    theirs = remote.commit_files("main", {"theirs.txt": b"x\n"}, "Theirs")
    synced = send(ann, "post", f"projects/git/sync?{git}").json()
    assert (synced["last_commit_hash"], hub.head()) == (theirs, theirs)
    status = send(ann, "get", f"projects/git/status?{git}").json()
    assert (status["ahead"], status["behind"], status["has_git"]) == (0, 0, True)
    assert status["last_sync_at"] == synced["last_sync_at"]
    assert Event.objects.filter(kind__in=("project.synced", "project.pushed"), actor="ann").count() == 2
    assert Remote(hub, policy).push(hub.head() or "", "side", before=None)
    remote.commit_files("main", {"theirs.txt": b"y\n"}, "Theirs again")
    hub.commit_files("main", {"ours.txt": b"x\n"}, "Ours")
    for route in ("sync", "push"):
        apart = send(ann, "post", f"projects/git/{route}?{git}")
        assert (apart.status_code, apart.json()["code"]) == (409, "conflict")
    names = send(ann, "get", f"projects/git/branches?{git}").json()
    assert [(one["name"], one["is_main"]) for one in names] == [("main", True)]
    merge_policy_set(project=world.project, strategy="branch-pr")
    assert send(ann, "post", f"projects/git/push?{git}").status_code == 409


def test_a_deploy_key_shows_its_public_half_alone(world: World) -> None:
    boss = client_of("boss", world.organization, Role.ADMIN)
    at = f"projects/{world.project.pk}/git-key"
    assert send(boss, "get", at).status_code == 404
    made = send(boss, "post", at)
    assert (made.status_code, made.json()["rotated"]) == (200, False)
    policy = policy_of(world.project.pk)
    private = load_ssh_private_key(f"{unseal(policy.credential_sealed)}\n".encode(), None)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert made.json()["public_key"] == f"{public} loom-{world.project.slug}"
    assert "PRIVATE" not in policy.credential_sealed + made.content.decode()
    assert send(boss, "get", at).json()["public_key"] == made.json()["public_key"]
    again = send(boss, "post", at).json()
    assert (again["rotated"], again["public_key"] != made.json()["public_key"]) == (True, True)
    ann = client_of("ann", world.organization)
    assert send(ann, "post", at).status_code == 403
    merge_policy_set(project=world.project, remote="https://example.com/a.git", credential="tok")
    assert send(boss, "get", at).status_code == 404  # another credential took its place
    assert send(boss, "post", at).status_code == 400
