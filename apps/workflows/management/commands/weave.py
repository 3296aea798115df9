"""`manage.py weave`: a PRD in, merged software out, watched from the terminal.

Exit codes: 0 every story is merged with evidence; 1 something waits or failed (go on with --resume);
2 the request cannot be carried out as it stands; 130 interrupted (go on with --resume).
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connections

from apps.accounts.services import DEFAULT_ORGANIZATION
from apps.agents.persona_services import personas_sync
from apps.core.errors import LoomError
from apps.core.preparation import data_dir_check, database_prepare
from apps.core.show import plain
from apps.core.supervisor import Supervisor
from apps.projects.models import Project
from apps.projects.prd import prd_title
from apps.workflows.following import Follower, view_for
from apps.workflows.interruption import Terminals, interruptible
from apps.workflows.progress import events_last, progress_read
from apps.workflows.summary import summary_make
from apps.workflows.terminal import console_make, tell_summary
from apps.workflows.weaving import (
    Wish,
    after_cancel,
    machine_check,
    out_check,
    prd_read,
    providers_check,
    weave_begin,
    weave_find,
    weave_resume,
)

WIDTH = 140  # of lines that go to a file or a pipe
FAILED = 1
BAD_REQUEST = 2
INTERRUPTED = 130


def dollars(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no amount of dollars") from None
    if not 0 < amount < 1e6:
        raise ArgumentTypeError("a budget is more than 0 and less than a million dollars")
    return amount


def place(text: str) -> Path:
    """Not every shell opens the ~ of `make weave OUT=~/product`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def few(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ArgumentTypeError("the number of sessions goes from 1 to 64")
    return int(text)


class Command(BaseCommand):
    help = "Turn a PRD into merged software in a new git repository."
    requires_system_checks: list[str] = []
    project: Project | None = None  # once it is begun

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "prd", nargs="?", type=place, help="the PRD, a Markdown file (default: the sample)"
        )
        parser.add_argument("--out", type=place, help="directory of the new repository (default: out/<name>)")
        parser.add_argument(
            "--budget", type=dollars, metavar="USD", help="stop before more than this is spent"
        )
        parser.add_argument(
            "--approve", choices=["auto", "ask"], help="who approves the plan (default: auto)"
        )
        parser.add_argument("--sessions", type=few, help="agents at work at once (default: 4)")
        parser.add_argument("--org", default=DEFAULT_ORGANIZATION, help="organization that owns the project")
        parser.add_argument(
            "--allow-network", action="store_true", help="let commands of agents use the network"
        )
        parser.add_argument("--resume", action="store_true", help="go on with an unfinished weave")
        parser.add_argument(
            "--json", action="store_true", help="print the summary as JSON, and nothing else, on stdout"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        # Progress goes to stderr when stdout is promised to the JSON.
        self.console = console_make(stderr=options["json"])
        self.terminals = Terminals()
        if not self.console.is_terminal:
            self.console.width = WIDTH
        wish = Wish(
            prd=options["prd"],
            out=options["out"],
            organization=options["org"],
            approval=options["approve"],
            budget_usd=options["budget"],
            sessions=options["sessions"],
            allow_network=options["allow_network"],
        )
        try:
            sys.exit(self._weave(wish, resume=options["resume"], as_json=options["json"]))
        except LoomError as error:
            self._complain(f"{error.message} {error.hint}".strip())
        except KeyboardInterrupt:  # before there was anything to watch
            sys.exit(INTERRUPTED)
        except DatabaseError as error:
            self._complain(
                f"The database does not work: {str(error).strip().rstrip('.')}. "
                "Check DATABASE_URL and the disk of LOOM_DATA_DIR."
            )

    def _complain(self, text: str) -> None:
        """The end, with what to do; what had begun goes on with --resume."""
        more = " Then go on with --resume." if self.project else ""
        console_make(stderr=True).print(f"weave: {plain(text)}{more}", soft_wrap=True)
        sys.exit(FAILED if self.project else BAD_REQUEST)

    def _weave(self, wish: Wish, *, resume: bool, as_json: bool) -> int:
        prd = prd_read(wish.prd) if wish.prd or not resume else ""
        out = wish.out if resume else out_check(wish.out, prd_title(prd))
        data_dir_check()
        machine_check()
        self._prepare(prd, wish.organization)
        supervisor = Supervisor(["worker", "beat"], quiet=True)
        self.seen = 0
        started = time.monotonic()

        def begin() -> Project:
            return self._resume(wish, prd, supervisor) if resume else self._begin(wish, prd, out, supervisor)

        code = self._work(begin, supervisor)
        if self.project is None:
            return code
        summary = summary_make(self.project, progress_read(self.project), seconds=time.monotonic() - started)
        self._tell(summary, self.project, as_json=as_json)
        return code if code else 0 if summary["status"] == "done" else 1

    def _begin(self, wish: Wish, prd: str, out: Path | None, supervisor: Supervisor) -> Project:
        connections.close_all()
        supervisor.start()
        return weave_begin(wish, prd=prd, out=out or Path())

    def _resume(self, wish: Wish, prd: str, supervisor: Supervisor) -> Project:
        project = weave_find(wish, prd)
        self.seen = events_last(project)
        connections.close_all()
        supervisor.start()
        weave_resume(wish, project)
        return project

    def _prepare(self, prd: str, organization: str) -> None:
        database_prepare()
        personas_sync()
        for warning in providers_check(prd, organization):
            self.console.print(f"! {plain(warning)}")

    def _work(self, begin: Callable[[], Project], supervisor: Supervisor) -> int:
        """Begin, and watch until it is over; what runs in the background is ended whatever comes."""
        with interruptible(supervisor.stop):
            try:
                self.project = begin()
                self._follow(self.project, supervisor)
            except (KeyboardInterrupt, EOFError, OSError) as error:
                if not self.terminals.let_go() and isinstance(error, OSError):
                    raise
                with suppress(OSError):  # a pipe may have gone
                    self.console.print("Interrupted; the work in hand is kept.")
                connections.close_all()  # a query may have been cut off between its question and its answer
                return INTERRUPTED
        return 0

    def _follow(self, project: Project, supervisor: Supervisor) -> None:
        with view_for(self.console, project.name) as view:
            Follower(project, view, supervisor.poll, self.seen).follow()

    def _tell(self, summary: dict[str, Any], project: Project, *, as_json: bool) -> None:
        self.terminals.let_go()
        tell_summary(self.console, summary)
        if summary["status"] == "canceled":
            self.console.print(after_cancel(project), soft_wrap=True)
        elif summary["status"] not in {"done", "dropped"}:
            more = any("budget" in row["question"] for row in summary["waiting"])
            again = ["--resume"]
            if (slug := project.organization.slug) != DEFAULT_ORGANIZATION:
                again.append(f"--org {slug}")
            again += ["--budget USD"] if more else []
            said = f'"{" ".join(again)}"' if len(again) > 1 else again[0]
            self.console.print(
                f"Go on with: make weave OUT={shlex.quote(project.out_dir)} ARGS={said}", soft_wrap=True
            )
        if as_json:
            sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
