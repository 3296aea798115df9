"""What keeps work from going in circles: detectors fed by what agents really did, and limits per bead.

Nothing here is counted in memory alone: the trail of a session is rebuilt from its turns, and what a bead has
been through is read from its sessions, reviews and merges. So a crash, a restart or another worker forgets
nothing. Only a person's go-ahead starts the counts of a bead anew.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.agents.models import Claim, Evidence, MergeRequest, Review, Session, TroubleStop
from apps.beads.models import Bead
from apps.core.errors import Conflict
from apps.decisions.models import Decision

MAX_ERRORS = 4  # replies in a row without a valid action
MAX_REPEATS = 4  # the same actions in a row
CYCLES = {2: 4, 3: 3, 4: 3}  # how often a pattern of so many turns may come in a row
MAX_RETURNS = 3  # how often the files may come back to a state they had
MAX_STALE = 12  # turns in a row that showed and changed nothing new
MAX_SAME_RED = 8  # the same failure of the same command in a row, whatever was changed in between
NUDGE_RED = 4  # after so many of them the agent is told
MAX_REFUSALS = 2  # rejections of the same files
MAX_SAME_FAILURES = 3  # failed verifications of the same files
RUNS = frozenset({"run_command", "run_tests", "run_linter", "build_project"})
EXACT = frozenset({"read_file"})  # a number that is another one in a file is news, in a report mostly not
KEPT = 16  # signatures remembered
LONGEST_REST = timedelta(minutes=15)

# Why a session came to nothing. After these a fresh one is tried; it is told of the earlier ones.
UNFRUITFUL = (
    "turn_limit",
    "no_action",
    "repetition",
    "ping_pong",
    "no_progress",
    "poisoned",
    "verification",
    "review",
    "merge",
    "deadlock",
    "hop_limit",
)
# The answers with which a person lets a bead go on, by the kind of question.
GO_AHEADS = {Decision.Kind.STUCK: "retry", Decision.Kind.ESCALATION: "deny"}
NO_HOPS = (Session.Kind.DECIDE, Session.Kind.PAIR)
MAX_DESCENT = 4  # beads made by work on beads made by work on ...
MAX_OFFSPRING = 12  # beads that work on one bead may make


@dataclass(frozen=True)
class Stop:
    """Why work must not go on; `reason` is a name, `detail` a sentence for people."""

    reason: str
    detail: str


@dataclass
class Trail:
    """What a session did lately, as far as its guards need it."""

    errors: int = 0
    stale: int = 0
    recent: list[str] = field(default_factory=list)
    known: set[int] = field(default_factory=set)
    trees: Counter[str] = field(default_factory=Counter)
    tree: str = ""
    idle: int = 0  # turns in a row in which no file changed
    red: dict[str, tuple[str, int]] = field(
        default_factory=dict
    )  # command -> its failure, how often in a row

    def note(
        self,
        actions: Sequence[Mapping[str, Any]],
        results: Sequence[Mapping[str, Any]],
        tree: str = "",
        outcome: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Add a finished turn: what was asked, what came of it, and the files' tree if it changed them."""
        self.idle = 0 if tree and tree != self.tree else self.idle + 1
        if not actions:
            self.errors += 1
            return
        self.errors = 0
        self.red = self._red_after(actions, results, outcome)
        self.recent = [*self.recent[1 - KEPT :], signature(actions)]
        self.stale = 0 if self._is_news(actions, results, tree) else self.stale + 1

    def _is_news(
        self, actions: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], tree: str
    ) -> bool:
        news = False
        if tree and tree != self.tree:
            self.tree = tree
            self.trees[tree] += 1
            news = self.trees[tree] == 1
        told = {result["id"]: result.get("text", "") for result in results if "id" in result}
        for action in actions:
            text = told.get(action["id"], "")
            seen = hash((signature([action]), text if action["name"] in EXACT else steady(text)))
            news = news or seen not in self.known
            self.known.add(seen)
        return news

    def _red_after(
        self,
        actions: Sequence[Mapping[str, Any]],
        results: Sequence[Mapping[str, Any]],
        outcome: Sequence[Mapping[str, Any]],
    ) -> dict[str, tuple[str, int]]:
        """What fails again and again, with a turn more."""
        red = dict(self.red)
        told = [result for result in results if "id" in result]
        for action, result, one in zip(actions, told, outcome, strict=False):
            if one["name"] not in RUNS:
                continue
            command = signature([action])
            known, count = red.pop(command, ("", 0))
            if not one["ok"]:
                failure = steady(str(result.get("text", "")))
                red[command] = (failure, count + 1 if failure == known else 1)
        return dict(list(red.items())[-KEPT:])

    def nudge(
        self,
        actions: Sequence[Mapping[str, Any]],
        results: Sequence[Mapping[str, Any]],
        outcome: Sequence[Mapping[str, Any]],
        *,
        idle: int = 0,
    ) -> str:
        """What to tell the agent after this turn, before it is stopped for it; mostly nothing."""
        if self.repeats(actions):
            return "You did exactly this before; the result does not change. Try another way."
        red = self._red_after(actions, results, outcome)
        again = [command for command, found in red.items() if found != self.red.get(command)]
        if any(red[command][1] == NUDGE_RED for command in again):
            return (
                f"This failed in the same way {NUDGE_RED} times in a row, whatever you changed. Read the "
                "error and the code it points at again, and change your assumption; or ask a question."
            )
        if idle and self.idle == idle // 2:
            return f"No file has changed for {self.idle} turns. Change one, call done, or ask a question."
        return ""

    def repeats(self, actions: Sequence[Mapping[str, Any]]) -> bool:
        """Whether exactly this was done in the turn before."""
        return self.recent[-1:] == [signature(actions)]

    def stop(self, *, idle: int = 0) -> Stop | None:
        """Why the session must end, or None; `idle` turns may pass without a change, 0: any number."""
        if self.errors >= MAX_ERRORS:
            return Stop("no_action", f"{MAX_ERRORS} replies in a row held no valid action.")
        if len(self.recent) >= MAX_REPEATS and len(set(self.recent[-MAX_REPEATS:])) == 1:
            return Stop("repetition", f"The same actions {MAX_REPEATS} times in a row.")
        for length, times in CYCLES.items():
            last = self.recent[-length * times :]
            if len(last) == length * times and last == last[:length] * times:
                return Stop("ping_pong", f"The same {length} turns in the same order {times} times.")
        if self.trees[self.tree] > MAX_RETURNS:
            return Stop("ping_pong", f"The files came back to the same state {MAX_RETURNS} times.")
        if self.stale >= MAX_STALE:
            return Stop("no_progress", f"{MAX_STALE} turns in a row changed nothing and showed nothing new.")
        if any(count >= MAX_SAME_RED for _, count in self.red.values()):
            return Stop(
                "no_progress", f"The same failure {MAX_SAME_RED} times in a row, whatever was changed."
            )
        if idle and self.idle >= idle:
            return Stop("no_progress", f"{idle} turns in a row changed no file.")
        return None


def signature(actions: Sequence[Mapping[str, Any]]) -> str:
    return repr([(one["name"], sorted(one["arguments"].items(), key=str)) for one in actions])


_COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What differs between two reports of one error: the first that fits counts. (A look at the first character
# makes it three times as fast.)
_VARYING = re.compile(
    r"(?=[0-9a-f/])(?:"
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]+\b|\b(?=[a-f]*[0-9])[0-9a-f]{7,64}\b"  # addresses, hashes
    r"|(?:/[\w.@+-]+)+/(?=[\w.@+-])"  # the directories of a path
    r"|[0-9]+(?:[.,:][0-9]+)*)",
    re.IGNORECASE,
)


def steady(text: str) -> str:
    """A text without what changes from one report to the next: times, counts, hashes, directories."""
    return " ".join(_VARYING.sub("#", _COLORS.sub("", text)).split()).lower()


def fingerprint(text: str) -> str:
    """One name for all reports of one error."""
    return hashlib.sha256(steady(text).encode()).hexdigest()


# -- of a bead, over all its sessions ---------------------------------------------------------------


def bead_stop(bead_id: int) -> Stop | None:
    """Why nobody may work on a bead any more until a person says so, or None."""
    since = go_ahead_at(bead_id)
    taken = hops(bead_id, since)
    if taken > settings.LOOM_MAX_HOPS:
        return Stop("hop_limit", f"It changed hands {taken} times; {settings.LOOM_MAX_HOPS} are allowed.")
    return _going_back_and_forth(bead_id, since)


def go_ahead_at(bead_id: int) -> datetime | None:
    """When a person last let a bead go on that could not."""
    shared = TroubleStop.objects.filter(bead_id=bead_id).values("trouble__decision_id")
    answered = Decision.objects.filter(
        Q(bead_id=bead_id) | Q(pk__in=shared), _goes_on(), status=Decision.Status.DECIDED
    )
    return answered.order_by("-decided_at").values_list("decided_at", flat=True).first()


def _goes_on() -> Q:
    """Answers of people that let work go on: of a stuck bead, and of one that was put before the CEO."""
    go_ahead = Q()
    for kind, choice in GO_AHEADS.items():
        go_ahead |= Q(kind=kind, choice=choice)
    return go_ahead


def hops(bead_id: int, since: datetime | None = None) -> int:
    """How often a bead was handed to somebody: sessions begun on it, and work sent back to its author."""
    sessions = Session.objects.filter(bead_id=bead_id).exclude(kind__in=NO_HOPS)
    rejected = Review.objects.filter(bead_id=bead_id, verdict=Review.Verdict.REJECT)
    returned = MergeRequest.objects.filter(
        bead_id=bead_id, status__in=[MergeRequest.Status.CONFLICT, MergeRequest.Status.RED]
    )
    return sum(
        (rows.filter(created_at__gt=since) if since else rows).count()
        for rows in (sessions, rejected, returned)
    )


def _going_back_and_forth(bead_id: int, since: datetime | None) -> Stop | None:
    """Author and reviewer, or author and checks, disagree about the same files again and again."""
    claims = Claim.objects.filter(bead_id=bead_id)
    claims = claims.filter(created_at__gt=since) if since else claims
    trees = dict(claims.values_list("pk", "tree"))
    if len(trees) < MAX_REFUSALS:
        return None
    rejects = Review.objects.filter(claim_id__in=trees, verdict=Review.Verdict.REJECT)
    refused = Counter(trees[pk] for pk in rejects.values_list("claim_id", flat=True))
    if most := [tree for tree, count in refused.items() if count >= MAX_REFUSALS]:
        return Stop("deadlock", f"The same files were claimed and rejected {refused[most[0]]} times.")
    red = Evidence.objects.filter(claim_id__in=trees, passed=False, kind=Evidence.Kind.CLAIM).order_by()
    failed = Counter(trees[pk] for pk in red.values_list("claim_id", flat=True).distinct())
    if most := [tree for tree, count in failed.items() if count >= MAX_SAME_FAILURES]:
        return Stop("deadlock", f"The same files failed verification {failed[most[0]]} times.")
    return None


def rest_of(bead_id: int) -> float:
    """Seconds until a bead is worked on again after sessions that came to nothing; 0: now.

    Each failure since the last go-ahead doubles the rest.
    """
    since = go_ahead_at(bead_id)
    failed = Session.objects.filter(
        bead_id=bead_id, kind=Session.Kind.WORK, status=Session.Status.ENDED, reason__in=UNFRUITFUL
    )
    recent = failed.filter(ended_at__gt=since) if since else failed
    endings: list[datetime] = list(recent.values_list("ended_at", flat=True))
    if not endings:
        return 0.0
    first = timedelta(seconds=settings.LOOM_REST_SECONDS)
    rest = min(LONGEST_REST, first * 2.0 ** min(len(endings) - 1, 20))
    return max(0.0, (max(endings) + rest - timezone.now()).total_seconds())


def descent_check(bead: Bead | None, title: str) -> None:
    """Refuse new work that is the old handed back and forth, or one bead too many; raises Conflict."""
    if bead is None:
        return
    made = Bead.objects.filter(project_id=bead.project_id, origin__startswith="session:")
    own = [f"session:{pk}:" for pk in bead.sessions.values_list("pk", flat=True)]
    if sum(made.filter(origin__startswith=mark).count() for mark in own) >= MAX_OFFSPRING:
        raise Conflict(
            f"Work on {bead.key} has made {MAX_OFFSPRING} beads already.",
            hint="Finish this one; say in your summary what else there is to do.",
        )
    line = _ancestors(bead)
    if any(steady(title) == steady(one.title) for one in line):
        raise Conflict(f"{title!r} came from you or those before you.", hint="Do it here, or ask a question.")
    if len(line) > MAX_DESCENT:
        raise Conflict(
            f"{bead.key} is itself the child of {MAX_DESCENT} beads in a row that each made the next.",
            hint="Do the work here, or ask for a decision.",
        )


def _ancestors(bead: Bead) -> list[Bead]:
    """The bead, the bead whose session made it, and so on; at most as many as count."""
    line, at = [bead], bead
    while len(line) <= MAX_DESCENT and at.origin.startswith("session:"):
        maker = Session.objects.select_related("bead").filter(pk=int(at.origin.split(":")[1])).first()
        if maker is None or maker.bead is None:
            break
        at = maker.bead
        line.append(at)
    return line
