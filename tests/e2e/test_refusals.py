"""What `weave` refuses before it starts anything: asked in this process, which saves the start of another."""

from __future__ import annotations

import subprocess
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections

from apps.accounts.services import organization_ensure
from apps.agents.git import check_git
from apps.agents.places import hub_path
from apps.agents.sandbox import status
from apps.core.supervisor import Supervisor
from apps.engine.models import Run
from apps.workflows.management.commands.weave import few
from apps.workflows.progress import progress_read
from apps.workflows.summary import summary_make
from apps.workflows.weaving import Wish, prd_read, weave_begin, weave_find, weave_resume
from tests.e2e.test_bad_input import PRD, refused
from tests.e2e.weaves import MODEL_VARIABLES, ROOT, Done
from tests.engine.flows import at_once
from tests.providers.script_server import ScriptServer

pytestmark = pytest.mark.django_db
Weave = Callable[..., Done]


@pytest.fixture
def weave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Weave:
    for name in MODEL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOOM_DETECT_LOCAL", "off")

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            call_command("weave", "--json", *arguments)
        return Done(int(str(ended.value.code)), *capsys.readouterr())

    return run


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def use(url: str) -> None:
        for name, value in {"PROVIDER_URL": url, "MODEL": "script", "API_KEY": "key"}.items():
            monkeypatch.setenv(f"LOOM_{name}", value)

    return use


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("empty",)),
        (b" \n\t\n", ("empty",)),
        ("# Pr\xe9sentation\n- doit marcher\n".encode("latin-1"), ("UTF-8", "byte 4")),
        (b"# Big\n" + b"- must do a thing\n" * 300_000, ("5.1 MB", "at most 1 MB")),
    ],
    ids=["empty", "blank", "latin-1", "5 MB"],
)
def test_a_prd_that_cannot_be_read_is_refused(
    weave: Weave, tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    prd = tmp_path / "prd.md"
    prd.write_bytes(content)
    refused(weave(str(prd), "--out", str(tmp_path / "out")), *words, "prd.md")
    assert not (tmp_path / "out").exists()


def test_a_missing_prd_is_refused(weave: Weave, tmp_path: Path) -> None:
    refused(weave(str(tmp_path / "none.md")), "There is no file", "PRD=path/to/prd.md")
    refused(weave(str(tmp_path)), "is a directory")
    refused(weave("/dev/zero"), "far too large")


def test_an_output_directory_in_use_is_refused_and_kept(weave: Weave, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    refused(weave("--out", str(out)), "is not empty", "OUT=")
    assert (out / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "out", ["/proc/loom/product", "x" * 300, "/".join(["x" * 99] * 11)], ids=["/proc", "name", "path"]
)
def test_a_directory_that_cannot_be_made_is_refused_before_the_work(weave: Weave, out: str) -> None:
    refused(weave("--out", out), "cannot be written to", "OUT=")


@pytest.fixture
def no_background(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of start and stop was asked of the background processes, which are not there."""
    asked: list[str] = []
    monkeypatch.setattr(Supervisor, "start", lambda _: asked.append("start"))
    monkeypatch.setattr(Supervisor, "stop", lambda _: asked.append("stop"))
    monkeypatch.setattr(connections, "close_all", lambda: None)  # the test's transaction is open
    return asked


@pytest.mark.parametrize("status", [Run.Status.READY, Run.Status.PAUSED, Run.Status.FAILED])
def test_a_directory_where_a_weave_will_build_is_refused(
    weave: Weave, no_background: list[str], tmp_path: Path, status: str
) -> None:
    """Also one that failed: it is what --resume goes on with."""
    out = tmp_path / "out"
    other = weave_begin(Wish(organization="other"), prd=prd_read(None), out=out)
    Run.objects.filter(project_id=other.pk).update(status=status)

    refused(weave("--out", str(out)), "not finished", "--resume", "OUT=")
    assert no_background in ([], ["start", "stop"])

    beside = weave_begin(Wish(), prd=prd_read(None), out=out)
    assert beside.out_dir == f"{out}-2"
    Run.objects.filter(project_id=other.pk).update(status=Run.Status.CANCELED)
    again = weave_begin(Wish(out=out), prd=prd_read(None), out=out)
    assert again.out_dir == str(out)


@pytest.mark.usefixtures("no_background")
def test_a_directory_has_one_name_however_it_is_written(weave: Weave, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    begun = weave_begin(Wish(), prd=prd_read(None), out=tmp_path / "out")
    for other in (tmp_path / "link" / "out", tmp_path / "x" / ".." / "out"):
        refused(weave("--out", str(other)), "A weave that is not finished", begun.out_dir)
        assert weave_find(Wish(out=other), "").pk == begun.pk


@pytest.mark.django_db(transaction=True)
def test_two_who_begin_at_once_build_in_two_directories(tmp_path: Path) -> None:
    organization_ensure(name="local")

    def begin() -> str:
        return weave_begin(Wish(), prd=prd_read(None), out=tmp_path / "out").out_dir

    assert sorted(at_once(begin, begin)) == [f"{tmp_path}/out", f"{tmp_path}/out-2"]


@pytest.mark.parametrize("given", ["0", "65", "²", "many"])
def test_a_number_of_sessions_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ArgumentTypeError, match="from 1 to 64"):
        few(given)


def test_a_tilde_that_the_shell_left_is_the_home_directory(
    weave: Weave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    refused(weave("~/none.md"), f"There is no file {tmp_path}/none.md")
    refused(weave("--out", "~/out"), f"{tmp_path}/out is not empty")


def test_the_demo_says_how_to_connect_a_model(weave: Weave, tmp_path: Path) -> None:
    refused(
        weave(PRD, "--out", str(tmp_path / "out")),
        "only knows its sample",
        "OPENAI_API_KEY",
        "LOOM_PROVIDER_URL",
    )


def test_nothing_to_resume_is_said(weave: Weave, tmp_path: Path) -> None:
    refused(weave("--resume"), "no unfinished weave")
    begun = weave_begin(Wish(), prd=prd_read(None), out=tmp_path / "out")
    refused(weave("--resume", "--out", str(tmp_path / "other")), "Unfinished", begun.out_dir)


def test_a_canceled_weave_says_that_it_does_not_go_on(weave: Weave, tmp_path: Path) -> None:
    organization_ensure(name="local")
    project = weave_begin(Wish(), prd=prd_read(None), out=tmp_path / "out")
    Run.objects.filter(project_id=project.pk).update(status=Run.Status.CANCELED)
    refused(weave("--resume", "--out", project.out_dir), "was canceled", f"git clone {hub_path(project.pk)}")
    refused(weave("--resume"), "no unfinished weave")
    summary = summary_make(project, progress_read(project), seconds=1)
    assert summary["status"] == "canceled"


def test_what_is_asked_when_resuming_counts_from_then_on(tmp_path: Path) -> None:
    organization_ensure(name="local")
    project = weave_begin(Wish(approval="ask"), prd=prd_read(None), out=tmp_path / "out")

    def settings() -> tuple[str, int, bool]:
        project.refresh_from_db()
        return project.approval, project.max_sessions, project.allow_network

    assert settings() == ("ask", 4, False)
    weave_resume(Wish(sessions=2, allow_network=True), project)
    assert settings() == ("ask", 2, True)
    weave_resume(Wish(approval="auto"), project)
    assert settings() == ("auto", 2, True)


def test_an_unreachable_provider_is_refused(
    weave: Weave, connect: Callable[[str], None], tmp_path: Path
) -> None:
    connect("http://127.0.0.1:9/v1")
    refused(weave(PRD, "--out", str(tmp_path / "out")), "127.0.0.1:9", "Check")


def test_a_wrong_key_is_refused(
    weave: Weave, connect: Callable[[str], None], server: ScriptServer, tmp_path: Path
) -> None:
    server.switches.key = "another"
    connect(server.url)
    done = weave(PRD, "--out", str(tmp_path / "out"))
    refused(done, "key")
    assert "another" not in done.err


def test_missing_git_is_said(weave: Weave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    check_git.cache_clear()
    refused(weave("--out", str(tmp_path / "out")), "git", "install")


def test_a_missing_sandbox_is_said(weave: Weave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_BWRAP", "/bin/false")
    monkeypatch.setattr(status, "_known", {})  # what this process found before
    refused(weave("--out", str(tmp_path / "out")), "sandbox", "LOOM_SANDBOX=off")


def test_make_hands_on_paths_with_spaces_and_quotes() -> None:
    words = ['PRD=Ann\'s "plan".md', "OUT=/srv/Ann's product", "ARGS=--budget 2"]
    done = subprocess.run(
        ["make", "--no-print-directory", "--old-file=install", "weave", "MANAGE=printf '%s|'", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "weave|Ann's \"plan\".md|--out|/srv/Ann's product|--budget|2|"
