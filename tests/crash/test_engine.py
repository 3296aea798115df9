"""A worker is killed at each point of engine and events, each time it passes: nothing is lost or doubled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core.errors import Unavailable
from apps.engine import doorbell, runner
from apps.engine.children import join, start_child
from apps.engine.flow import Handle, Retry, call, flow, joins, step, wait_for
from apps.engine.generations import continue_as_new
from apps.engine.models import Run, Step
from apps.engine.services import run_signal, run_start
from apps.events import bus
from apps.events.models import Event
from tests.crash.dying import KILLED, crashpoints, in_child
from tests.engine.flows import fresh, note, notes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.crash]

POINTS = sorted(crashpoints("engine", "events"))
REPEATABLE = {"before_result"}  # the world was reached, and nobody knows
MAX_HITS = 40
NOTES = ["first", "joined", "heard", "first generation", "branch", "last"]


@flow("crash.story")
def story(diary: str) -> dict[str, Any]:
    """Takes every kind of step there is."""
    first = step(note, text="first")
    reached = call(reach, retry=Retry(attempts=3, delay=0), diary=diary)
    joined = call(reach_and_join, diary=diary)
    step(tell)
    said = wait_for("go")
    branch = join(start_child("crash.branch", key="branch", input={}))
    return {"all": [first, reached, joined, said, branch, step(note, text="last")]}


@flow("crash.branch")
def branch(generation: int = 1) -> str:
    if generation == 1:
        step(note, text="first generation")
        continue_as_new(generation=2)
    return step(note, text="branch")


@flow("crash.heard")
def heard() -> str:
    return step(note, text="heard")


def reach(handle: Handle, diary: str) -> str:
    is_first = not Path(diary).exists()
    write(diary, handle)
    if is_first:
        raise Unavailable("Not at once.")
    return "reached"


@joins
def reach_and_join(handle: Handle, diary: str) -> None:
    with transaction.atomic():
        handle.begin()
    write(diary, handle)
    with transaction.atomic():
        note(text="joined")
        handle.finish("joined")


def write(diary: str, handle: Handle) -> None:
    with Path(diary).open("a", encoding="utf-8") as file:
        file.write(json.dumps([handle.key.rpartition(":")[2], handle.attempt]) + "\n")


def tell() -> None:
    bus.emit("crash.told", organization_id=None)


@pytest.fixture(autouse=True)
def hears() -> Iterator[None]:
    @bus.on("crash.told")
    def start_hearing(event: Event) -> None:
        run_start(flow="crash.heard", key=f"heard:{event.pk}", input={})

    doorbell.use(lambda _: None)
    yield
    bus._handlers.pop("crash.told")
    doorbell.use(None)


def worker(run_id: int) -> None:
    """What beat and a worker do, and somebody who answers when he is asked."""
    for _ in range(MAX_HITS):
        runner.sweep()
        Event.objects.filter(delivered_at=None).update(created_at=timezone.now() - timedelta(hours=1))
        bus.sweep()
        runner.drain()
        run = Run.objects.get(pk=run_id)
        if run.waits_for == "go":
            run_signal(run_id=run_id, name="go", data={"said": "go"})
        if not Run.objects.unfinished().exists() and not Event.objects.undelivered().exists():
            return
    raise AssertionError(f"The runs do not end: {list(Run.objects.unfinished().values())}")


def play(diary: Path, crash_at: str) -> tuple[Run, bool]:
    """The story with one crash, and whether there was one."""
    run = run_start(flow="crash.story", key=f"story:{crash_at}", input={"diary": str(diary)})
    died = in_child(lambda: worker(run.pk), crash_at=crash_at) == KILLED
    if died:
        assert in_child(lambda: worker(run.pk)) == 0
    return fresh(run), died


def check(run: Run, diary: Path, point: str) -> None:
    assert (run.status, run.error) == (Run.Status.DONE, "")
    expected = ["first", "reached", "joined", {"said": "go"}, "branch", "last"]
    assert run.output == {"all": expected}
    assert Counter(notes()) == Counter(NOTES)
    assert not Step.objects.exclude(status=Step.Status.DONE).exists()
    lines = [tuple(json.loads(line)) for line in diary.read_text().splitlines()]
    assert len(set(lines)) == len(lines), "an attempt has a number of its own"
    by_step = Counter(seq for seq, _ in lines)
    assert by_step["2"] in ({2, 3} if point in REPEATABLE else {2})
    assert by_step["3"] in ({1, 2} if point in REPEATABLE else {1})


def test_the_story_without_a_crash(tmp_path: Path) -> None:
    run, died = play(tmp_path / "diary", "")
    assert not died
    check(run, tmp_path / "diary", "")


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing_and_repeats_nothing(point: str, tmp_path: Path) -> None:
    for hit in range(1, MAX_HITS):
        diary = tmp_path / f"diary-{hit}"
        run, died = play(diary, f"{point}:{hit}")
        check(run, diary, point)
        if not died:
            assert hit > 1, "the story does not pass this point"
            return
        Run.objects.all().delete()
        Event.objects.all().delete()
    pytest.fail("the story passes this point without end")


def test_every_crash_at_once(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    run = run_start(flow="crash.story", key="story", input={"diary": str(diary)})
    for point in POINTS:
        in_child(lambda: worker(run.pk), crash_at=point)
    assert in_child(lambda: worker(run.pk)) == 0
    assert fresh(run).status == Run.Status.DONE
    assert Counter(notes()) == Counter(NOTES)
