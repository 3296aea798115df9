"""What `weave` refuses before it starts anything: asked in this process, which saves the start of another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.agents.git import check_git
from apps.agents.sandbox import status
from tests.e2e.test_bad_input import PRD, refused
from tests.e2e.weaves import MODEL_VARIABLES, Done
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


def test_an_output_directory_in_use_is_refused_and_kept(weave: Weave, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    refused(weave("--out", str(out)), "is not empty", "OUT=")
    assert (out / "mine.txt").read_text() == "precious"


def test_the_demo_says_how_to_connect_a_model(weave: Weave, tmp_path: Path) -> None:
    refused(
        weave(PRD, "--out", str(tmp_path / "out")),
        "only knows its sample",
        "OPENAI_API_KEY",
        "LOOM_PROVIDER_URL",
    )


def test_nothing_to_resume_is_said(weave: Weave) -> None:
    refused(weave("--resume"), "no unfinished weave")


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
