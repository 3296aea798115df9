"""`manage.py weave`: a PRD in, merged software out, watched from the terminal.

Exit codes: 0 every story is merged with evidence; 1 something waits or failed (go on with --resume);
2 the request cannot be carried out as it stands; 130 interrupted (go on with --resume).
"""

from __future__ import annotations

import json
import signal
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connections
from rich.console import Console

from apps.agents.persona_services import personas_sync
from apps.core.errors import LoomError
from apps.core.preparation import data_dir_check, database_prepare
from apps.core.supervisor import Supervisor
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.projects.models import Project
from apps.projects.prd import prd_title
from apps.workflows.progress import Progress, events_after, events_last, is_over, is_stuck, progress_read
from apps.workflows.summary import summary_make
from apps.workflows.terminal import LineView, LiveView, tell_summary
from apps.workflows.weaving import (
    Wish,
    machine_check,
    out_check,
    prd_read,
    providers_check,
    weave_begin,
    weave_find,
    weave_resume,
)

TICK_S = 0.25
FRESH_S = 1.0  # what changes without an event, such as what an agent does, is looked up that often
STUCK_TICKS = 8  # nothing moves for that long before we say so
WIDTH = 140  # of lines that go to a file or a pipe
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


def few(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise ArgumentTypeError("the number of sessions goes from 1 to 64")
    return int(text)


class Command(BaseCommand):
    help = "Turn a PRD into merged software in a new git repository."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "prd", nargs="?", type=Path, help="the PRD, a Markdown file (default: the sample)"
        )
        parser.add_argument("--out", type=Path, help="directory of the new repository (default: out/<name>)")
        parser.add_argument(
            "--budget", type=dollars, metavar="USD", help="stop before more than this is spent"
        )
        parser.add_argument(
            "--approve", choices=["auto", "ask"], default="auto", help="who approves the plan"
        )
        parser.add_argument("--sessions", type=few, default=4, help="agents at work at once (default: 4)")
        parser.add_argument("--org", default="local", help="organization that owns the project")
        parser.add_argument(
            "--allow-network", action="store_true", help="let commands of agents use the network"
        )
        parser.add_argument("--resume", action="store_true", help="go on with an unfinished weave")
        parser.add_argument(
            "--json", action="store_true", help="print the summary as JSON, and nothing else, on stdout"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        # Progress goes to stderr when stdout is promised to the JSON.
        self.console = Console(stderr=options["json"])
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
        except DatabaseError as error:
            self._complain(
                f"The database does not work: {error}. Check DATABASE_URL and the disk of LOOM_DATA_DIR."
            )

    def _complain(self, text: str) -> None:
        Console(stderr=True).print(f"weave: {text}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(BAD_REQUEST)

    def _weave(self, wish: Wish, *, resume: bool, as_json: bool) -> int:
        prd = prd_read(wish.prd) if wish.prd or not resume else ""
        out = wish.out if resume else out_check(wish.out, prd_title(prd))
        data_dir_check()
        machine_check()
        self._prepare(prd)
        supervisor = Supervisor(["worker", "beat"], quiet=True)
        self.seen = 0
        started = time.monotonic()
        if resume:
            project = weave_find(wish, prd)
            self.seen = events_last(project)
            connections.close_all()
            supervisor.start()
            weave_resume(wish, project)
        else:
            connections.close_all()
            supervisor.start()
            project = weave_begin(wish, prd=prd, out=out or Path())
        code = self._watch(project, supervisor)
        summary = summary_make(project, progress_read(project), seconds=time.monotonic() - started)
        self._tell(summary, project, as_json=as_json)
        return code if code else 0 if summary["status"] == "done" else 1

    def _prepare(self, prd: str) -> None:
        database_prepare()
        personas_sync()
        for warning in providers_check(prd):
            self.console.print(f"! {warning}", highlight=False, markup=False)

    def _watch(self, project: Project, supervisor: Supervisor) -> int:
        live = self.console.is_terminal
        view = LiveView(self.console, project.name) if live else LineView(self.console, project.name)
        try:
            with view:
                self._follow(project, supervisor, view, self.seen)
        except KeyboardInterrupt:
            self.console.print("Interrupted; the work in hand is kept.", highlight=False)
            connections.close_all()  # a query may have been cut off between its question and its answer
            return INTERRUPTED
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave orphans
            supervisor.stop()
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return 0

    def _follow(self, project: Project, supervisor: Supervisor, view: LiveView | LineView, last: int) -> None:
        still = 0
        told: set[int] = set()
        progress, due = progress_read(project), time.monotonic() + FRESH_S
        while True:
            supervisor.poll()
            events = list(events_after(project, last))
            last = events[-1].pk if events else last
            if events or time.monotonic() > due or is_over(project):
                progress, due = progress_read(project), time.monotonic() + FRESH_S
            view.show(progress, events)
            if progress.is_over and not events:
                return
            self._offer(progress, view, told)
            still = still + 1 if is_stuck(project) and not events else 0
            if still >= STUCK_TICKS:
                return
            time.sleep(TICK_S)

    def _offer(self, progress: Progress, view: LiveView | LineView, told: set[int]) -> None:
        """Put plans that wait for a person before the person at the terminal, or say how to answer."""
        for decision in progress.waiting:
            if decision.kind == Decision.Kind.STUCK or decision.pk in told:
                continue
            told.add(decision.pk)
            options = "/".join(option["key"] for option in decision.options) or "answer"
            if not (sys.stdin.isatty() and isinstance(view, LiveView)):
                view.say(f"◆ {decision.question}: answer with  manage.py decide {decision.pk} {options}")
                continue
            view.say(f"◆ {decision.question}\n{decision.context}")
            self._read_answer(decision, view, options)

    def _read_answer(self, decision: Decision, view: LiveView, options: str) -> None:
        while True:
            words = view.ask(f"{options}, and why: ").strip().split(maxsplit=1)
            if not words:
                continue
            try:
                decision_decide(
                    decision=decision,
                    choice=words[0],
                    rationale=words[1] if len(words) > 1 else "",
                    decider="the person at the terminal",
                )
            except LoomError as error:
                view.say(f"{error.message} {error.hint}")
            else:
                return

    def _tell(self, summary: dict[str, Any], project: Project, *, as_json: bool) -> None:
        tell_summary(self.console, summary)
        if summary["status"] not in {"done", "dropped"}:
            again = f"make weave OUT={project.out_dir} ARGS=--resume"
            more = any("budget" in row["question"] for row in summary["waiting"])
            if more:
                again = f'make weave OUT={project.out_dir} ARGS="--resume --budget USD"'
            self.console.print(
                f"Go on with: {again}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        if as_json:
            sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
