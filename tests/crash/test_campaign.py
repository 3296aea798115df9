"""A small campaign, in processes as real as those of `make crash`; and its audit, which must see damage."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.models import Session
from apps.agents.places import session_ref
from apps.core.process import descendants
from apps.engine.models import Run
from apps.events.models import Event
from apps.providers.models import Budget, Call
from tests.core.processes import ROOT, wait_until
from tests.crash.campaign.audit import Findings, audit
from tests.crash.campaign.model import REVIEW, Journal, files_of, work_turns
from tests.crash.campaign.watch import ORPHAN_AFTER, Watch, boxes_left
from tests.engine.flows import crash
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import Answer, Studio, replies

__all__ = ["open_studio", "quiet_doorbell"]

pytestmark = pytest.mark.crash

KILLS = 12


@pytest.mark.slow
def test_a_small_campaign_loses_and_repeats_nothing() -> None:
    database = "postgres" if connection.vendor == "postgresql" else "sqlite"
    arguments = ["--seed", "7", "--kills", str(KILLS), "--lease", "4", "--database", database]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.campaign", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    report = json.loads(done.stdout)
    wrong = {key: found for key, found in report["findings"].items() if found}
    assert not wrong, done.stderr
    assert report["kills"]["total"] >= KILLS
    assert report["beads"] > 0
    # How soon is for the campaign on a machine of its own; here other tests want the processor too.
    assert report["resume_seconds"]["count"] > 0


def playing(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    turns = work_turns(title) if kind == "work" else REVIEW
    return turns[replies(messages)]


@pytest.fixture
def audited(open_studio: Callable[..., Studio]) -> tuple[Studio, Journal]:
    """A bead that came to main without any attack, and what the model was asked."""
    studio = open_studio(playing)
    type(studio.project).objects.update(checks=[{"kind": "test", "name": "parts", "command": "true"}])
    studio.bead("Part 1", acceptance=["It is there."])
    studio.run()
    asked = Counter({("work", "Part 1", number): 1 for number in range(4)} | {("review", "Part 1", 0): 1})
    return studio, Journal(asked)


def test_the_audit_is_content_with_what_is_whole(audited: tuple[Studio, Journal]) -> None:
    studio, journal = audited
    assert audit(journal) == Findings()
    assert studio.main_file("parts/1.log") == files_of("Part 1")["parts/1.log"]


def lose_event() -> None:
    Event.objects.get(kind="bead.closed").delete()


def leave_undelivered() -> None:
    Event.objects.filter(kind="bead.closed").update(delivered_at=None)


def leave_open() -> None:
    Run.objects.filter(bead_id__isnull=False).update(status=Run.Status.READY)


def forget_turn() -> None:
    Event.objects.filter(kind="turn.acted").first().delete()  # type: ignore[union-attr]


LOSSES = [lose_event, leave_undelivered, leave_open, forget_turn]


def test_the_audit_sees_each_damage(audited: tuple[Studio, Journal]) -> None:
    studio, journal = audited
    event = Event.objects.get(kind="bead.closed")
    event.pk = None
    event.save()
    assert any("bead.closed" in finding for finding in audit(journal).duplicated)
    event.delete()

    head = studio.hub.head("main") or ""
    again = studio.hub.commit_tree(studio.hub.tree(head), [head], "Part 1\n\nBead: " + _key())
    assert studio.hub.advance("main", again, head)
    assert any("commits of" in finding for finding in audit(journal).duplicated)
    assert studio.hub.advance("main", head, again)

    studio.hub.commit_files("main", {"parts/1.log": b"ran one\nran two\nran two\n"}, "Twice")
    assert any("parts/1.log" in finding for finding in audit(journal).duplicated)
    studio.hub.commit_files("main", {"parts/1.log": None}, "Gone")
    assert any("parts/1.log" in finding for finding in audit(journal).lost)

    session = Session.objects.get(kind="work")
    studio.hub.set_ref(session_ref(session.pk), session.base_commit)
    assert any("is in no ref" in finding for finding in audit(journal).lost)


@pytest.mark.parametrize("damage", LOSSES, ids=lambda one: one.__name__)
def test_the_audit_sees_what_was_lost(audited: tuple[Studio, Journal], damage: Callable[[], None]) -> None:
    damage()
    assert audit(audited[1]).lost


def test_the_audit_sees_calls_that_nobody_paid_for(audited: tuple[Studio, Journal]) -> None:
    _, journal = audited
    journal.asked["work", "Part 1", 2] += 1
    assert journal.repeated == 1
    assert any("are booked" in finding for finding in audit(journal).unaccounted)
    journal.asked["work", "Part 1", 2] -= 1

    last = Call.objects.latest("pk")
    last.pk, last.key = None, f"{last.key}.again"
    last.save()  # answered as well, but its worker was too late
    assert not any("no turn" in finding for finding in audit(journal).unaccounted)
    Call.objects.filter(pk=last.pk).update(stem="another step")
    assert any("no turn" in finding for finding in audit(journal).unaccounted)

    Call.objects.filter(pk=last.pk).update(status="reserved", ended_at=None)
    assert any("set aside" in finding for finding in audit(journal).unaccounted)
    Call.objects.filter(status="reserved").update(status="settled", ended_at=timezone.now())

    Budget.objects.update(reserved_microusd=1)
    assert any("1 set aside" in finding for finding in audit(journal).unaccounted)


@pytest.mark.django_db(transaction=True)
def test_the_watch_times_how_long_a_run_stood_still() -> None:
    run, watch = Run.objects.create(key="one", flow="test"), Watch()
    crash(run, owner="here:77:1")
    watch.look()
    watch.struck(77, "worker", timezone.now().timestamp() - 3.0)
    watch.struck(78, "worker", timezone.now().timestamp())  # had nothing in hand
    watch.look()
    assert not watch.resumed
    assert len(watch.overdue()) == 1

    crash(run, owner="here:78:1")
    watch.look()
    (seconds,) = watch.resumed["worker"]
    assert 3.0 <= seconds < 10.0
    assert watch.overdue() == []


def test_the_watch_reports_what_outlives_its_worker() -> None:
    with left_behind() as command:
        watch = Watch()
        watch.scan([os.getpid()])
        watch.died(os.getpid(), time.time())
        watch.scan([])
        assert watch.orphans == []  # it has five seconds

        watch.died(os.getpid(), time.time() - 1.0 - ORPHAN_AFTER)
        scan_now(watch)
        assert watch.orphans == []  # that was a worker before, of which the pid is used again

        watch = Watch()
        watch.scan([os.getpid()])
        with pytest.MonkeyPatch.context() as later:
            watch.died(os.getpid(), time.time())
            later.setattr(time, "time", lambda now=time.time: now() + 1.0 + ORPHAN_AFTER)
            scan_now(watch)
        assert any(command in orphan for orphan in watch.orphans)


def test_a_box_without_its_launcher_is_found_if_it_stays() -> None:
    marked = {"LOOM_COMMAND": "of a test", "PATH": os.environ["PATH"]}
    launches = f"# launcher.run()\nimport subprocess; subprocess.run(['sleep', '61.8'], env={marked})"
    launcher = subprocess.Popen([sys.executable, "-c", launches])
    alone = subprocess.Popen(["sleep", "61.7"], env=marked)
    try:
        wait_until(lambda: list(descendants(launcher.pid)))
        assert [one for one in boxes_left(0.1) if "61." in one] == ["sleep 61.7 "]
        alone.kill()
        alone.wait()
        assert not [one for one in boxes_left(0.1) if "61." in one]
    finally:
        for pid in (*descendants(launcher.pid), launcher.pid, alone.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        launcher.wait()
        alone.wait()


@contextlib.contextmanager
def left_behind() -> Iterator[str]:
    process = subprocess.Popen(["sleep", "61.5"])
    yield "sleep 61.5"
    process.kill()
    process.wait()


def scan_now(watch: Watch) -> None:
    watch._scan_at = 0.0
    watch.scan([])


def _key() -> str:
    return str(Session.objects.get(kind="work").bead.key)  # type: ignore[union-attr]
