"""`loom` in a terminal: projects, beads, decisions, runs and events of a Loom, over its API.

It loads nothing of Django, so that a command answers at once.
"""

from __future__ import annotations

import argparse
import getpass
import http.client
import os
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from apps.core.client import Api, Refused
from apps.core.errors import BadInput, LoomError, Unavailable
from apps.core.show import Shown, plain

REST_SECONDS = 2.0  # before a stream that broke is asked for again
LIMIT = 100
HELP = "Look at and steer a running Loom; LOOM_URL says where it is, LOOM_CLIENT_KEY who you are."


def main(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(prog="manage.py loom", description=HELP)
    arguments_add(parser)
    code = run(vars(parser.parse_args(arguments)), sys.stdout, sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
    return code


def run(given: dict[str, Any], out: Any, err: Any) -> int:
    """Do what was given; the exit code."""
    try:
        Loom(given, Shown(out, err, as_json=given["json"])).do()
    except LoomError as error:
        err.write(plain(f"{error.message} {error.hint}").strip() + "\n")
        return 2 if isinstance(error, BadInput) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has enough, as `head` has
        return 0
    return 0


def arguments_add(parser: argparse.ArgumentParser) -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print what the API answered")
    shared.add_argument("--url", default="", help="address of the Loom")
    what = parser.add_subparsers(
        dest="what", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
    )

    def add(name: str, text: str, *actions: str, limit: bool = True) -> argparse.ArgumentParser:
        made = what.add_parser(name, parents=[shared], help=text, description=f"{text[0].upper()}{text[1:]}.")
        if actions:
            made.add_argument("action", nargs="?", default=actions[0], choices=actions)
        if limit:
            made.add_argument("--limit", type=int, default=LIMIT, help=f"rows at most ({LIMIT})")
            made.add_argument("--project", default="", help="number or name of a project")
        return made

    add("login", "log in and keep the login", limit=False).add_argument("username")
    add("logout", "end the login and forget it", limit=False)
    for name in ("projects", "agents"):
        add(name, f"list {name}", "list")
    add("runs", "list runs, the newest first", "list").add_argument("--status", default="")
    beads = add(
        "beads", "list, show or create beads, say what is ready, or why one waits",
        "list", "show", "create", "ready", "why",
    )  # fmt: skip
    beads.add_argument("words", nargs="*", help="a bead's key, or the title of a new one")
    beads.add_argument("--status", default="")
    beads.add_argument("--priority", type=int)
    decisions = add(
        "decisions", "list what waits for an answer, show one, or answer", "list", "show", "answer"
    )
    decisions.add_argument("words", nargs="*", help="number and choice")
    decisions.add_argument("--because", default="", help="why")
    events = add("events", "follow what happens, until interrupted", "follow", limit=False)
    events.add_argument("--project", default="", help="number or name of a project")
    events.add_argument("--type", default="", help="kinds of events, such as bead.*,decision.created")


class Loom:
    def __init__(self, given: dict[str, Any], shown: Shown) -> None:
        self.given, self.shown = given, shown
        self.api = Api(given["url"])

    def do(self) -> None:
        chosen: Callable[[], None] = getattr(self, f"do_{self.given['what']}")
        chosen()

    def do_login(self) -> None:
        try:
            password = os.environ.get("LOOM_PASSWORD") or getpass.getpass()
        except EOFError:
            raise BadInput("No password was given.", hint="Type it, or set LOOM_PASSWORD.") from None
        self.api.login(self.given["username"], password)
        self.shown.say(f"Logged in at {self.api.url}.")

    def do_logout(self) -> None:
        self.api.logout()
        self.shown.say(f"Logged out at {self.api.url}.")

    def do_projects(self) -> None:
        self._list("projects", "projects", search=self.given["project"])

    def do_agents(self) -> None:
        self._list("agents", "agents", project_id=self._project())

    def do_runs(self) -> None:
        self._list("runs", "runs", project=self._project(), status=self.given["status"])

    def do_beads(self) -> None:
        match self.given["action"]:
            case "list" | "ready" as action:
                self._no_words()
                self._list(
                    "beads",
                    "beads/ready" if action == "ready" else "beads",
                    project_id=self._project(),
                    status=self.given["status"],
                    priority=self.given["priority"],
                )
            case "create":
                self._bead_create()
            case "show":
                self.shown.one(self._bead())
            case _:
                self._why(self._bead())

    def _no_words(self) -> None:
        if words := self.given["words"]:
            raise BadInput(f"A list takes no {words[0]!r}.", hint="Filter it by --project or --status.")

    def _bead(self) -> dict[str, Any]:
        if len(self.given["words"]) != 1:
            raise BadInput("Say the key of one bead.")
        found: dict[str, Any] = self.api.get(f"beads/{quote(self.given['words'][0], safe='')}")
        return found

    def _bead_create(self) -> None:
        title = " ".join(self.given["words"])
        if not title or not self.given["project"]:
            raise BadInput("Say the title, and the project with --project.")
        body = {"title": title, "project_id": self._project()}
        if self.given["priority"] is not None:
            body["priority"] = self.given["priority"]
        self.shown.one(self.api.send("POST", "beads", body))

    def _why(self, bead: dict[str, Any]) -> None:
        """Why a bead is not being worked on, or what happens with it."""
        waits = [self.api.get(f"beads/{quote(key, safe='')}") for key in bead["blocked_by"]]
        waits = [other for other in waits if other["status"] != "closed"]
        reasons = {
            "closed": f"It is closed: {bead['close_reason']}",
            "blocked": f"It waits for a person: {bead['blocked_reason']}",
            "deferred": "It is put off; open it to have it done.",
            "in_progress": f"{bead['assigned_to']} is at it ({bead['stage'] or 'working'}).",
            "open": "It is ready and waits for a free agent.",
        }
        reason = reasons[bead["status"]]
        if bead["status"] == "open" and waits:
            reason = (
                "It waits for " + ", ".join(f"{other['id']} ({other['status']})" for other in waits) + "."
            )
        elif bead["status"] == "open" and self._is_closed(bead["project_id"]):
            reason = "Its project is closed; reopen that to have it done."
        self.shown.told(
            {"id": bead["id"], "status": bead["status"], "reason": reason}, f"{bead['id']}: {reason}"
        )

    def _is_closed(self, project_id: str) -> bool:
        try:
            return bool(self.api.get(f"projects/{quote(project_id, safe='')}")["status"] == "closed")
        except Refused:  # a key may be for beads only
            return False

    def do_decisions(self) -> None:
        action, words = self.given["action"], self.given["words"]
        if action == "list":
            self._no_words()
            self._list("decisions", "decisions", status="open", project_id=self._project())
            return
        if len(words) < (2 if action == "answer" else 1):
            raise BadInput("Say the number of the decision" + " and the choice." * (action == "answer"))
        place = f"decisions/{quote(words[0], safe='')}"
        if action == "show":
            self.shown.one(self.api.get(place))
            return
        body = {"decision": " ".join(words[1:]), "rationale": self.given["because"]}
        self.shown.one(self.api.send("POST", f"{place}/decide", body))

    def do_events(self) -> None:
        """Over restarts of the server, until one may not read any more."""
        asked = [("project_id", self._project()), ("type", self.given["type"])]
        path = "events/stream?" + "&".join(f"{name}={quote(value)}" for name, value in asked if value)
        last, lost = "", False
        while True:
            try:
                with self.api.stream(path, last) as stream:
                    if lost:
                        self.shown.note("Connected again.")
                    lost = False
                    for last, text in _frames(stream):  # noqa: B007 - kept for the next time
                        self.shown.event(text)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, BrokenPipeError):
                    raise
            except Unavailable:
                if not last:
                    raise
            if not lost:
                self.shown.note("The connection is lost; trying again.")
            lost = True
            time.sleep(REST_SECONDS)

    def _project(self) -> str:
        """The number of the project that --project names."""
        named = self.given["project"]
        if not named or named.isdigit():
            return str(named)
        found = [
            one for one in self.api.get("projects", search=named) if one["name"].lower() == named.lower()
        ]
        if len(found) != 1:
            raise BadInput(f"{len(found) or 'No'} projects are called {named!r}.", hint="Give its number.")
        return str(found[0]["id"])

    def _list(self, name: str, path: str, **asked: Any) -> None:
        limit = self.given["limit"]
        if limit < 1:
            raise BadInput("--limit begins at 1.")
        rows, total = self.api.page(path, limit=limit, **asked)
        while len(rows) < min(limit, total):
            more, total = self.api.page(path, limit=limit - len(rows), offset=len(rows), **asked)
            if not more:
                break
            rows += more
        self.shown.rows(name, rows)
        if total > len(rows):
            self.shown.note(f"{len(rows)} of {total}; --limit shows more.")


def _frames(stream: Any) -> Any:
    """Place and data of each event of a stream."""
    place = ""
    for line in stream:
        name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
        if name == "id":
            place = value
        elif name == "data":
            yield place, value
