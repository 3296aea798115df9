"""Plays the bundled sample without the platform: a small stand-in for sessions, reviews and the merge queue.

Git and the product's test runs are real; only the order of things is chosen here.
"""

from __future__ import annotations

import functools
import graphlib
import itertools
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agents.actions import bind
from apps.agents.editing.match import edit_text
from apps.agents.prompts import kind_actions
from apps.agents.replies import read_reply
from apps.projects.prd import prd_title, requirement_keys, requirements_cut
from apps.providers.scripted import Scene, Script

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "apps" / "providers" / "demo"
PROJECT = prd_title((DEMO / "prd.md").read_text(encoding="utf-8"))
SUITE = (sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", ".")
PARALLEL = 4


@functools.cache
def script() -> Script:
    return Script.load(DEMO / "script.yaml")


def scenes() -> list[Scene]:
    return [scene for rivals in script().scenes.values() for scene in rivals]


class Talk:
    """One conversation with the scripted model, read and bound as the platform does."""

    def __init__(self, task: str, title: str, message: str = "") -> None:
        self.task = task
        self.messages = [{"role": "system", "content": "You act."}]
        self.seconds = 0.0
        self.hear(f"# Task: {task}\nTitle: {title}\n{message}")

    def hear(self, message: str) -> None:
        self.messages.append({"role": "user", "content": message})

    def actions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every action until somebody stops listening; chatter is answered as the platform does."""
        while True:
            reply = script().reply(self.messages, tools_offered=True)
            self.messages.append(reply.message())
            self.seconds += reply.delay
            reading = read_reply(reply.text, reply.tool_calls)
            if reading.error:
                self.hear(reading.error)
            for call in reading.actions:
                bind(call, set(kind_actions(self.task)))
                yield call.name, call.arguments


# ── The plan ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Plan:
    beads: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: int = 0
    seconds: float = 0.0

    @property
    def stories(self) -> dict[str, dict[str, Any]]:
        return {title: bead for title, bead in self.beads.items() if bead["type"] != "epic"}

    def uncovered(self) -> set[str]:
        return set(requirements()) - {key for bead in self.stories.values() for key in bead["requirements"]}

    def blockers(self, title: str) -> list[str]:
        found: list[str] = self.stories[title].get("blocked_by", [])
        return found

    def waves(self) -> list[list[str]]:
        """Stories that can be under way at the same time, if each wave waits for the one before."""
        sorter = graphlib.TopologicalSorter({title: self.blockers(title) for title in self.stories})
        sorter.prepare()
        waves = []
        while sorter.is_active():
            waves.append(sorted(sorter.get_ready(), key=list(self.stories).index))
            sorter.done(*waves[-1])
        return waves


def requirements() -> dict[str, str]:
    prd = (DEMO / "prd.md").read_text(encoding="utf-8")
    return {key: statement.text for key, statement in requirement_keys({}, requirements_cut(prd))}


@functools.cache
def plan() -> Plan:
    """The plan as it stands after the platform's refusals."""
    made = Plan()
    talk = Talk("plan", PROJECT)
    for kind, arguments in talk.actions():
        if kind == "create_bead":
            assert arguments["title"] not in made.beads
            made.beads[arguments["title"]] = dict(arguments)
        elif kind == "update_bead":
            made.beads[arguments["bead"]] |= {key: arguments[key] for key in arguments if key != "bead"}
        elif made.uncovered():
            made.refusals += 1
            talk.hear(f"Plan refused: no story covers {made.uncovered()}")
        else:
            break
    made.seconds = talk.seconds
    return made


# ── The work ──────────────────────────────────────────────────────────────────────────────────────────


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    identity = ("-c", "user.name=Sample", "-c", "user.email=sample@example.com", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stderr
    return result


class Repository:
    """A repository and the verdicts of its own test suite, each tree tested once."""

    verdicts: dict[str, subprocess.CompletedProcess[str]] = {}

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git(path, "init", "--quiet", "--initial-branch=main")

    def snapshot(self, folder: Path, message: str) -> str:
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(folder, "rev-parse", "HEAD^{tree}").stdout.strip()

    def test(self, tree: str) -> subprocess.CompletedProcess[str]:
        if tree not in self.verdicts:
            clean = self.path.parent / f"clean-{tree}"
            clean.mkdir()
            archive = subprocess.run(["git", "archive", tree], cwd=self.path, capture_output=True, check=True)
            subprocess.run(["tar", "-x"], cwd=clean, input=archive.stdout, check=True)
            self.verdicts[tree] = subprocess.run(
                SUITE, cwd=clean, capture_output=True, text=True, check=False
            )
            shutil.rmtree(clean)
        return self.verdicts[tree]


class Session:
    """One story at work in its own worktree, until its claim is verified and approved."""

    def __init__(self, title: str, repository: Repository) -> None:
        self.title = title
        self.repository = repository
        self.folder = repository.path.parent / "worktree-{}".format(title.replace(" ", "-").replace(",", ""))
        self.talk = Talk("work", title)
        self.seen: set[str] = set()
        self.incidents: Counter[str] = Counter()
        self.tests: list[bool] = []
        self.reviews = 0
        self.review_seconds = 0.0
        git(repository.path, "worktree", "add", "--quiet", "-B", self.folder.name, str(self.folder), "main")

    def finish(self) -> None:
        """Play until a claim holds: the suite passes on the claimed tree and the reviewer approves."""
        for kind, arguments in self.talk.actions():
            if kind != "done":
                self.act(kind, arguments)
                continue
            result = self.repository.test(self.repository.snapshot(self.folder, self.title))
            if result.returncode:
                self.note("verification", f"Verification failed: {result.stderr}")
            elif self.approved():
                return

    def approved(self) -> bool:
        self.reviews += 1
        review = Talk("review", self.title, f"# Task: review\nRound: {self.reviews}\n")
        for kind, arguments in review.actions():
            if kind == "submit_review":
                self.review_seconds += review.seconds
                if arguments["verdict"] == "approve":
                    return True
                self.note("review", f"Review: changes requested\n{arguments['comments']}")
                return False
            self.act(kind, arguments)
        raise AssertionError("a review ends with a verdict")

    def act(self, kind: str, arguments: dict[str, Any]) -> None:
        if kind == "request_decision":
            self.ask(arguments)
        elif kind == "run_tests":
            tree = self.repository.snapshot(self.folder, "Try")
            self.tests.append(self.repository.test(tree).returncode == 0)
        elif kind == "run_command":
            command = arguments["command"].replace("python3", sys.executable, 1)
            subprocess.run(command, cwd=self.folder, check=True, shell=True, capture_output=True)
        elif kind in {"read_file", "write_file", "edit_file", "search_text"}:
            getattr(self, kind)(**arguments)
        else:
            assert kind in {"read_tree", "git_diff"}, kind
            assert (self.folder / arguments.get("path", ".")).is_dir()

    def read_file(self, path: str) -> None:
        assert (self.folder / path).read_text(encoding="utf-8")
        self.seen.add(path)

    def write_file(self, path: str, content: str) -> None:
        file = self.folder / path
        assert path in self.seen or not file.exists(), f"{path} is overwritten unread"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        self.seen.add(path)

    def edit_file(self, path: str, old_text: str, new_text: str) -> None:
        before = (self.folder / path).read_text(encoding="utf-8")
        assert before.count(old_text) == 1, f"{path}: {before.count(old_text)} places match {old_text!r}"
        edit = edit_text(before, old_text, new_text)
        assert edit.text == before.replace(old_text, new_text)
        (self.folder / path).write_text(edit.text, encoding="utf-8")

    def search_text(self, query: str, path: str = ".") -> None:
        command = ("grep", "--recursive", "--fixed-strings", "--exclude-dir=.git", query, path)
        assert subprocess.run(command, cwd=self.folder, capture_output=True, check=True).stdout

    def ask(self, arguments: dict[str, Any]) -> None:
        for kind, answer in Talk("decide", arguments["question"]).actions():
            assert kind == "decide"
            assert answer["choice"] in {option["key"] for option in arguments["options"]}
            self.note("decision", f"Decision answered: {answer['choice']}")
            return

    def note(self, incident: str, message: str) -> None:
        self.incidents[incident] += 1
        self.talk.hear(message)

    def land(self) -> None:
        """Merge main in, let the session resolve a conflict, test the result, and move main to it."""
        if git(self.folder, "merge", "--quiet", "--no-edit", "main", check=False).returncode:
            files = git(self.folder, "diff", "--name-only", "--diff-filter=U").stdout.split()
            self.seen -= set(files)
            self.note("conflict", f"Merge conflict in {', '.join(files)}")
            self.finish()
        tree = git(self.folder, "rev-parse", "HEAD^{tree}").stdout.strip()
        result = self.repository.test(tree)
        assert result.returncode == 0, f"{self.title} breaks main: {result.stderr}"
        git(self.repository.path, "merge", "--quiet", "--ff-only", self.folder.name)


@dataclass
class Play:
    """The whole sample, played once."""

    repository: Repository
    sessions: dict[str, Session]

    def incidents(self) -> dict[str, list[str]]:
        """Which stories met which incident; a story that met one twice stands there twice."""
        met: dict[str, list[str]] = {}
        for title, session in self.sessions.items():
            for incident in session.incidents.elements():
                met.setdefault(incident, []).append(title)
        return met


def in_waves(play: Play, order: Callable[[list[str]], list[str]]) -> None:
    for wave in plan().waves():
        assert len(wave) <= PARALLEL
        for title in wave:
            play.sessions[title] = Session(title, play.repository)
        for title in order(wave):
            play.sessions[title].finish()
            play.sessions[title].land()


def one_by_one(play: Play) -> None:
    for title in itertools.chain.from_iterable(reversed(wave) for wave in plan().waves()):
        play.sessions[title] = Session(title, play.repository)
        play.sessions[title].finish()
        play.sessions[title].land()


ORDERS: dict[str, Callable[[Play], None]] = {
    "in waves": lambda play: in_waves(play, list),
    "in waves, last first": lambda play: in_waves(play, lambda wave: wave[::-1]),
    "one by one": one_by_one,
}
