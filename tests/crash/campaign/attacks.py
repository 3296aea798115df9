"""The attacks, and the dice that choose among them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis
from django.conf import settings

from apps.core.broker import broker_url
from tests.crash.campaign.databases import Cluster
from tests.crash.campaign.house import WORKERS, House, place
from tests.crash.campaign.watch import Watch
from tests.crash.dying import crashpoints

APPS = ("agents", "beads", "decisions", "engine", "events", "projects", "providers", "workflows")
# Its sessions are too short to be retold, and nothing goes to a remote: these points have tests of their own.
APART = {name for name in crashpoints("agents") if "compaction" in name or "pull" in name}
ARMED = 0.75  # of all workers are started with a crash point ahead
OFTEN = {"after_step_commit", "before_step_commit", "after_claim", "after_intent", "before_result"}
PAUSE = (0.2, 0.9)  # seconds between two attacks by chance
COOL_DOWN = 6.0  # seconds between two attacks of a kind that shakes everything


class Attacker:
    """Attacks the house a little at each `turn`; counts what it did."""

    def __init__(self, house: House, watch: Watch, cluster: Cluster | None, dice: random.Random) -> None:
        self.house, self.watch, self.cluster, self.dice = house, watch, cluster, dice
        self.kills: Counter[str] = Counter()
        self.at_points: Counter[str] = Counter(dict.fromkeys(sorted(crashpoints(*APPS) - APART), 0))
        self.others: Counter[str] = Counter()  # what kills nothing
        self._frozen: dict[int, float] = {}  # pid -> when it wakes
        self._plans = 0
        self._next = time.monotonic() + 1.0
        self._calm_until = 0.0
        self._shaking = {
            self._wipe_broker: 4,
            self._kill_broker: 3,
            self._kill_everything: 2,
            **({self._restart_database: 4} if cluster else {}),
        }
        self._kinds = {self._kill_worker: 30, self._freeze_worker: 6, self._kill_beat: 4, **self._shaking}
        self._deck = dice.sample(list(self._kinds), len(self._kinds))

    @property
    def total(self) -> int:
        return self.kills.total()

    def turn(self) -> None:
        self.collect()
        self._arm()
        self._thaw()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.dice.uniform(*PAUSE)
            self._choose()()

    def make_peace(self) -> None:
        """No more attacks, and no crash points ahead of anybody."""
        place("peace").touch()
        for plan in place("plans").iterdir():
            plan.unlink()
        self._thaw(everybody=True)
        self.collect()
        for life in place("lives").iterdir():
            with suppress(ProcessLookupError):
                os.kill(int(life.name), signal.SIGTERM)  # hands its runs over, unless it passes its point

    def collect(self) -> None:
        """Who has died at a crash point since the last time."""
        for life in place("lives").iterdir():
            pid = int(life.name)
            is_alive = Path(f"/proc/{pid}").exists()  # asked first: the mark is made before the death
            point, _, mark = life.read_text(encoding="utf-8").partition("=")
            if mark and Path(mark).exists():
                at = Path(mark).stat().st_mtime
                self.kills["worker at a crash point"] += 1
                self.at_points[point.partition(":")[0]] += 1
                self.watch.struck(pid, "crash point", at)
                self.watch.died(pid, at)
            elif is_alive:
                continue
            self._frozen.pop(pid, None)
            life.unlink()

    def _choose(self) -> Callable[[], None]:
        """Each kind once, then by their weights; what shakes everything has a pause behind it."""
        if self._deck:
            return self._deck.pop()
        kinds = dict(self._kinds)
        if time.monotonic() < self._calm_until:
            kinds = {attack: weight for attack, weight in kinds.items() if attack not in self._shaking}
        return self.dice.choices(list(kinds), list(kinds.values()))[0]

    # -- planned deaths ----------------------------------------------------------------------------

    def _arm(self) -> None:
        """Plan a crash point for the next life of each worker, rare points first."""
        for name in WORKERS:
            plan = place("plans", name)
            if plan.exists():
                continue
            draft = place(f"draft-{name}")
            draft.write_text(self._plan() if self.dice.random() < ARMED else "", encoding="utf-8")
            draft.rename(plan)

    def _plan(self) -> str:
        self._plans += 1
        fewest = min(self.at_points.values())
        point = self.dice.choice([p for p, hits in self.at_points.items() if hits <= fewest + 3])
        times = self.dice.randint(1, 10 if point in OFTEN else 2)
        return f"{point}:{times}={place('marks', str(self._plans))}"

    # -- deaths by chance --------------------------------------------------------------------------

    def _workers(self) -> list[int]:
        """Those with work in hand; at least one other is left to take it over."""
        pids = {self.house.pids[name] for name in WORKERS if name in self.house.pids}
        busy = sorted((pids & self.watch.at_work) - set(self._frozen))
        return busy if len(busy) > 1 else []

    def _kill_worker(self) -> None:
        if workers := self._workers():
            self._kill(self.dice.choice(workers), "worker")

    def _kill(self, pid: int, kind: str) -> None:
        self.watch.scan([pid])
        at = time.time()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[kind] += 1
        self.watch.struck(pid, kind, at)
        self.watch.died(pid, at)

    def _kill_beat(self) -> None:
        if pid := self.house.pids.get("beat"):
            self._kill(pid, "beat")

    def _kill_everything(self) -> None:
        """The supervising process goes, and all that is bound to it."""
        pids, at = [self.house.pids.get(name, 0) for name in WORKERS], time.time()
        os.kill(self.house.warden, signal.SIGKILL)
        self.kills["everything"] += 1
        for pid in pids:
            self.watch.struck(pid, "everything", at)
            self.watch.died(pid, at)
        self._frozen.clear()
        self._calm_down()

    def _freeze_worker(self) -> None:
        """Stop a worker for longer than its lease, then let it wake and go on as if nothing had been.

        Not while it writes to SQLite: nobody else could, and nothing but its waking helps there.
        """
        workers = self._workers()
        if self._frozen or not workers:
            return
        pid, at = self.dice.choice(workers), time.time()
        seconds = settings.LOOM_LEASE_SECONDS + self.dice.uniform(0.5, 3.0)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            if not is_stopped(pid) or (self.cluster is None and write_is_locked()):
                os.kill(pid, signal.SIGCONT)
                return
            self._frozen[pid] = time.monotonic() + seconds
            self.others["worker frozen past its lease"] += 1
            self.watch.struck(pid, "frozen", at)

    def _thaw(self, *, everybody: bool = False) -> None:
        for pid, wakes in list(self._frozen.items()):
            if everybody or time.monotonic() > wakes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                del self._frozen[pid]

    # -- what all depend on ------------------------------------------------------------------------

    def _wipe_broker(self) -> None:
        at = time.time()
        with suppress(redis.ConnectionError):
            redis.Redis.from_url(broker_url(Path(settings.LOOM_DATA_DIR))).flushall()
            self.others["broker wiped"] += 1
            self.watch.shaken("broker wiped", at)
        self._calm_down()

    def _kill_broker(self) -> None:
        at = time.time()
        with suppress(redis.ConnectionError, ProcessLookupError):
            server = redis.Redis.from_url(broker_url(Path(settings.LOOM_DATA_DIR)))
            os.kill(server.info("server")["process_id"], signal.SIGKILL)
            self.kills["broker"] += 1
            self.watch.shaken("broker", at)
        self._calm_down()

    def _restart_database(self) -> None:
        assert self.cluster is not None
        at = time.time()
        self.cluster.restart(self.dice.choice(["immediate", "immediate", "fast"]))
        self.kills["database"] += 1
        self.watch.shaken("database", at)
        self._calm_down()

    def _calm_down(self) -> None:
        self._calm_until = time.monotonic() + COOL_DOWN


def is_stopped(pid: int, seconds: float = 3.0) -> bool:
    """Whether every thread has stopped by then: on a busy machine they go on for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tasks = [task.read_text(errors="replace") for task in Path(f"/proc/{pid}/task").glob("*/stat")]
        if all(task.rpartition(")")[2].split()[0] == "T" for task in tasks):
            return True
        time.sleep(0.01)
    return False


def write_is_locked() -> bool:
    """Whether somebody holds the write lock of the SQLite database for longer than a transaction takes."""
    with contextlib.closing(sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=1.0)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
        except sqlite3.OperationalError:
            return True
    return False
