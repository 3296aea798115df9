"""`python manage.py loom` as people run it: real processes, a running site, in pipes and terminals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.client import IncompleteRead
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from django.db import transaction
from rich.cells import cell_len

from apps.accounts.models import Role, User
from apps.beads.models import Bead
from apps.core.client import Api, Refused
from apps.core.errors import Unavailable
from apps.core.show import CONTROLS, harmless
from apps.core.terminal import main
from apps.events.bus import emit
from apps.projects.services import project_close
from tests.activity.serving import Site, serving
from tests.api.clients import person
from tests.core.processes import wait_until
from tests.world import World, world_build

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "manage.py", "loom"]
PASSWORD = "a rather long passphrase"
TITLE = "[/red] Größer als 漢字 \x1b[31mand rather longer than a narrow terminal is wide"

pytestmark = pytest.mark.slow


@dataclass
class Terminal:
    """One person's: `loom` gives exit code, output and complaints."""

    home: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)

    def env(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOM_")}
        own = {"XDG_CONFIG_HOME": str(self.home), "LOOM_URL": self.url, "LOOM_PASSWORD": PASSWORD}
        return {**kept, **own, **self.environment, **more}

    def start(self, *arguments: str, out: Any = subprocess.PIPE, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT, env=self.env(**more), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip

    def loom(self, *arguments: str, **more: Any) -> tuple[int, str, str]:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self.loom(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def seen(self, *arguments: str, columns: int) -> list[str]:
        """The lines that a terminal of this width shows."""
        master, slave = pty.openpty()
        process = self.start(*arguments, out=slave, COLUMNS=str(columns))
        os.close(slave)
        shown = b""
        while True:
            try:
                shown += os.read(master, 65536)
            except OSError:  # the other side is closed
                break
        os.close(master)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
        return shown.decode().replace("\r\n", "\n").splitlines()


@pytest.fixture
def world(transactional_db: None, nobody_reacts: None) -> World:
    world = world_build("ours", rows=3)
    Bead.objects.filter(pk=world.beads[0].pk).update(title=TITLE)
    return world


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with serving() as site:
        yield site


def terminal_of(name: str, role: str, site: Site, world: World, home: Path) -> Terminal:
    user = person(name, world.organization, role)
    user.set_password(PASSWORD)
    user.save()
    terminal = Terminal(home / name, site.url)
    assert terminal.loom("login", name) == (0, f"Logged in at {site.url}.\n", "")
    return terminal


def test_work_is_looked_at_and_steered(site: Site, world: World, tmp_path: Path) -> None:
    ann = terminal_of("ann", Role.USER, site, world, tmp_path)
    first, second, _ = world.beads
    name = world.project.name
    assert name in ann.loom("projects")[1]
    assert [one["name"] for one in ann.json("projects", "list")] == [name]
    assert {one["id"] for one in ann.json("beads", "list", "--project", name)} == {b.key for b in world.beads}
    code, out, err = ann.loom("beads", "--limit", "2")
    assert (code, len(out.splitlines()), err) == (0, 3, "2 of 3; --limit shows more.\n")
    assert [one["id"] for one in ann.json("beads", "ready")] == [first.key]
    assert ann.loom("beads", "why", second.key)[1] == f"{second.key}: It waits for {first.key} (open).\n"
    assert ann.json("beads", "why", second.key)["status"] == "open"
    made = ann.json("beads", "create", "Import", "größer", "--project", name.upper(), "--priority", "1")
    assert (made["title"], made["priority"]) == ("Import größer", 1)
    assert "title: Import größer" in ann.loom("beads", "show", made["id"])[1]
    assert world.agent.name in ann.loom("agents", "--project", name)[1]
    number = str(world.decisions[0].pk)
    assert "Keep addresses of part 1?" in ann.loom("decisions", "list")[1]
    assert "recommendation: hash" in ann.loom("decisions", "show", number)[1]
    assert ann.json("decisions", "answer", number, "hash", "--because", "Safer.")["rationale"] == "Safer."
    assert ann.loom("decisions", "answer", number, "drop")[0] == 1
    assert ann.json("runs", "--status", "waiting")[0]["flow"] == "world"
    assert ann.loom("runs", "--status", "done") == (0, "", "No runs.\n")
    for wrong in (["beads", "show", "../agents"], ["beads", "show", "zz-9"], ["beads", "--priority", "9"]):
        code, out, err = ann.loom(*wrong)
        assert (code, out, err.count("\n")) == (1, "", 1), wrong
    senseless_ones = ("beads create x", "beads --project none", "dance", "beads --limit 0", "beads list x")
    for senseless in (*senseless_ones, "decisions list 7"):
        assert ann.loom(*senseless.split())[0] == 2, senseless
    project_close(project=world.project, reason="Enough.")
    assert "Its project is closed" in ann.loom("beads", "why", first.key)[1]
    assert ann.loom("logout")[0] == 0
    code, _, err = ann.loom("projects")
    assert (code, "loom login" in err) == (1, True)


def test_output_fits_pipes_and_terminals(site: Site, world: World, tmp_path: Path) -> None:
    ann = terminal_of("ann", Role.VIEWER, site, world, tmp_path)
    shown = TITLE.replace("\x1b", "")
    assert shown in ann.loom("beads", "list")[1], "all of it, where a program reads"
    assert shown in ann.loom("beads", "show", world.beads[0].key)[1]
    narrow = ann.seen("beads", "list", columns=50)
    assert max(map(cell_len, narrow)) <= 50
    assert any("…" in line for line in narrow)
    assert any(shown in line for line in ann.seen("beads", "list", columns=200))
    code, out, _ = ann.loom("beads", "list", PYTHONIOENCODING="ascii")
    assert (code, "Gr??er als ??" in out) == (0, True)
    for piped in ("true", "head -n 1"):
        line = f"set -o pipefail; {' '.join(COMMAND)} beads --json | {piped}"
        done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=ann.env(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


def test_who_may_not_and_what_is_no_loom_is_said_in_a_line(site: Site, world: World, tmp_path: Path) -> None:
    vic = terminal_of("vic", Role.VIEWER, site, world, tmp_path)
    code, _, err = vic.loom("beads", "create", "x", "--project", str(world.project.pk))
    assert (code, "beads:write" in err) == (1, True)
    assert vic.loom("login", "vic", LOOM_PASSWORD="wrong")[0] == 1
    assert vic.loom("login", "vic", LOOM_PASSWORD="")[0] == 2
    assert vic.loom("projects")[0] == 0, "the login before is kept"
    for url, said in (
        ("http://127.0.0.1:9", "does not answer"),
        ("http://127.0.0.1:many", "does not answer"),
        (f"{site.url}/elsewhere", "not as a Loom does"),
        ("ftp://127.0.0.1", "is no address of a Loom"),
    ):
        code, out, err = vic.loom("projects", "--url", url)
        assert (code, out, said in err, err.count("\n")) == (1 + url.startswith("ftp"), "", True, 1), url


def test_a_login_is_renewed_until_it_ends(site: Site, world: World, tmp_path: Path, settings: Any) -> None:
    settings.LOOM_TOKEN_SECONDS = -60
    ann = terminal_of("ann", Role.USER, site, world, tmp_path)
    settings.LOOM_TOKEN_SECONDS = 900
    at_once = [ann.start("projects") for _ in range(3)]
    for process in at_once:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    User.objects.filter(username="ann").update(is_active=False)
    code, _, err = ann.loom("projects")
    assert (code, "loom login" in err) == (1, True)


def test_events_are_followed_over_a_restart_until_interrupted(
    site: Site, world: World, tmp_path: Path
) -> None:
    ann = terminal_of("ann", Role.VIEWER, site, world, tmp_path)
    said, complaints = tmp_path / "said", tmp_path / "complaints"

    def tell(title: str) -> None:
        with transaction.atomic():
            emit("bead.created", organization_id=world.organization.pk, title=title)

    with said.open("w") as out, complaints.open("w") as err:
        process = subprocess.Popen(
            [*COMMAND, "events", "follow", "--type", "bead.*"],
            cwd=ROOT, env=ann.env(), stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
        beating = iter(range(1000))

        def hears(text: str) -> bool:
            return text in said.read_text()

        def first() -> bool:
            tell(f"Beat {next(beating)}")
            return hears("bead.created  Beat")

        wait_until(first, seconds=60, what="events are shown")
        site.stop()
        wait_until(lambda: "connection is lost" in complaints.read_text(), seconds=60)
        tell("While it was away")
        site.start()
        wait_until(lambda: hears("While it was away"), seconds=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "Traceback" not in complaints.read_text()
    assert "Connected again." in complaints.read_text()
    numbers = [line.rpartition(" ")[2] for line in said.read_text().splitlines() if "Beat" in line]
    assert numbers == sorted(set(numbers), key=int), "once each, and in order"

    follower = ann.start("events", "--json")
    User.objects.filter(username="ann").update(is_active=False)
    _, err_text = follower.communicate(timeout=60)
    assert (follower.returncode, "loom login" in err_text) == (1, True)


def test_json_steers_no_terminal_and_means_the_same() -> None:
    body = {"title": "a\x9b31m\u202e\x7f\n", "ok": "Grüße"}
    written = harmless(json.dumps(body, indent=2, ensure_ascii=False))
    assert json.loads(written) == body
    assert CONTROLS.search(written) is None
    assert "Grüße" in written


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (502, b"<html>Bad gateway", Unavailable),
        (503, b'{"error": "Later.", "code": "unavailable", "details": {}}', Unavailable),
        (502, b'{"error": "The model is away.", "code": "provider_error"}', Refused),
        (404, b"<html>", Refused),
        (400, b'{"error": "No.", "details": {"fields": ["title"]}}', Refused),
    ],
)
def test_a_server_that_is_away_is_no_refusal(status: int, text: bytes, kind: type[Exception]) -> None:
    error = HTTPError("http://127.0.0.1:9", status, "", Message(), BytesIO(text))
    assert type(Api("http://127.0.0.1:9")._refused(error)) is kind


def test_an_error_that_breaks_off_is_told_as_one() -> None:
    class Torn(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise IncompleteRead(b'{"error": ')

    error = HTTPError("http://127.0.0.1:9", 503, "", Message(), Torn())
    assert type(Api("http://127.0.0.1:9")._refused(error)) is Unavailable


def test_more_rows_than_a_page_holds_are_asked_for_in_pages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server gives a thousand at once, whatever it is asked for."""
    rows, asked = [{"id": number, "name": "x"} for number in range(2500)], []

    def page(api: Api, path: str, *, limit: int, offset: int = 0, **query: Any) -> tuple[Any, int]:
        asked.append(offset)
        return rows[offset : offset + min(limit, 1000)], len(rows)

    monkeypatch.setattr(Api, "page", page)
    assert main(["projects", "--json", "--limit", "2100"]) == 0
    told = capsys.readouterr()
    assert [row["id"] for row in json.loads(told.out)] == list(range(2100))
    assert (asked, told.err) == ([0, 1000, 2000], "2100 of 2500; --limit shows more.\n")
