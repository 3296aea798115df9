"""`manage.py sessions`: record a session to a file, and play a recording without a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.models import Session
from apps.agents.recording import recording_of, recording_read
from apps.agents.replay import replay
from apps.core.errors import LoomError

# A replay has a database of its own, asks no model and needs no broker.
OTHERS = ("DATABASE_URL", "REDIS_URL", "LOOM_PROVIDER_URL", "LOOM_MODEL", "LOOM_API_KEY")


class Command(BaseCommand):
    help = (
        "Record a session with its repository, secrets masked: sessions record ID [-o FILE]. Play a "
        "recording without a model, in a database of its own, and tell where it goes another way: "
        "sessions replay FILE."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["list", "record", "replay"])
        parser.add_argument("which", nargs="?", help="the session's id; for replay: the file")
        parser.add_argument("-o", "--out", default="", help="record: the file to write; else standard output")
        parser.add_argument("--project", default="", help="list: only sessions of this project (slug)")
        parser.add_argument("--inside", action="store_true", help="replay: in the database of this process")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["what"] != "list" and not options["which"]:
            raise CommandError(f"Say which: sessions {options['what']} ...")
        try:
            getattr(self, options["what"])(options)
        except LoomError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error

    def list(self, options: dict[str, Any]) -> None:
        rows = Session.objects.select_related("project", "agent", "bead").order_by("-pk")
        if options["project"]:
            rows = rows.filter(project__slug=options["project"])
        for row in rows[:100]:
            about = row.bead.key if row.bead else row.project.name
            ended = row.reason or row.status
            did = f"{row.kind} by {row.agent.name}: {row.turn_count} turns, {ended}"
            self.stdout.write(f"{row.pk}  {about}  {did}")

    def record(self, options: dict[str, Any]) -> None:
        rows = Session.objects.select_related("project", "agent", "bead")
        which = options["which"]
        session = rows.filter(pk=int(which)).first() if which.isdecimal() else None
        if session is None:
            raise CommandError(f"There is no session {which}; list them with: sessions list")
        text = json.dumps(recording_of(session), indent=1, ensure_ascii=False)
        if not options["out"]:
            self.stdout.write(text)
            return
        Path(options["out"]).write_text(f"{text}\n", encoding="utf-8")
        self.stdout.write(f"Recorded {session.turn_count} turns of session {session.pk} to {options['out']}.")

    def replay(self, options: dict[str, Any]) -> None:
        recording = recording_read(Path(options["which"]).read_bytes())
        if not options["inside"]:
            self._replay_apart(Path(options["which"]).absolute())
            return
        report = replay(recording)
        self.stdout.write(json.dumps(report.body(), indent=2, ensure_ascii=False))
        if not report.is_same:
            raise CommandError("The replay went another way.")

    def _replay_apart(self, file: Path) -> None:
        """In a process with a data directory, and so a database, of its own."""
        with tempfile.TemporaryDirectory(prefix="loom-replay-") as place:
            env = {name: value for name, value in os.environ.items() if name not in OTHERS}
            env |= {"LOOM_DATA_DIR": place, "LOOM_LOG_LEVEL": env.get("LOOM_LOG_LEVEL", "ERROR")}
            manage = [sys.executable, str(Path(sys.argv[0]).absolute())]
            prepared = subprocess.run([*manage, "migrate", "--verbosity", "0"], env=env, check=False)
            if prepared.returncode:
                raise CommandError("The database for the replay could not be made.")
            play = [*manage, "sessions", "replay", str(file), "--inside"]
            done = subprocess.run(play, env=env, check=False, stdout=subprocess.PIPE)
        self.stdout.write(done.stdout.decode("utf-8", "replace").rstrip())
        if done.returncode:
            raise CommandError("The replay went another way, or could not be played.")
