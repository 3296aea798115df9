"""Versions of a flow: runs stay with the code they were started under, or say that it is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.engine import flow as flows
from apps.engine import runner
from apps.engine.flow import FLOWS, Flow, flow, flow_of, step, versions_of, wait_for
from apps.engine.models import Run
from apps.engine.services import run_cancel, run_retry, run_signal, run_start
from tests.engine.flows import fresh, note, notes

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "test.versioned"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    uninstall()


def uninstall(version: int | None = None) -> None:
    """Take a version of the flow away, or all of them."""
    left = [flow_of(NAME, number) for number in versions_of(NAME) if version and number != version]
    FLOWS.pop(NAME, None)
    for key in [key for key in flows._older if key[0] == NAME]:
        del flows._older[key]
    for one in left:
        assert one is not None
        flow(NAME, version=one.version)(one.function)


def install(version: int) -> None:
    @flow(NAME, version=version)
    def told() -> str:
        step(note, text=f"{version} begins", step_name=f"begin {version}")
        wait_for("go")
        return step(note, text=f"{version} ends", step_name=f"end {version}")


def begin(key: str) -> Run:
    run = run_start(flow=NAME, key=key, input={})
    runner.drain()
    return fresh(run)


def go_on(run: Run) -> Run:
    run_signal(run_id=run.pk, name="go")
    runner.drain()
    return fresh(run)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_a_run_stays_with_its_version_and_new_ones_take_the_newest(order: tuple[int, ...]) -> None:
    install(1)
    old = begin("old")
    uninstall()
    for version in order:
        install(version)
    assert versions_of(NAME) == [1, 2, 3]
    new = begin("new")
    assert (old.version, new.version) == (1, 3)
    assert [go_on(old).output, go_on(new).output] == ["1 ends", "3 ends"]
    assert notes() == ["1 begins", "3 begins", "1 ends", "3 ends"]


def test_a_run_whose_version_is_missing_says_which_and_goes_on_when_it_is_back() -> None:
    install(1)
    run = begin("old")
    uninstall()
    install(2)
    install(3)
    failed = go_on(run)
    assert failed.status == Run.Status.FAILED
    assert "needs version 1 of the flow 'test.versioned'" in failed.error
    assert "it has 2, 3" in failed.error
    assert notes() == ["1 begins"]
    run_retry(run_id=run.pk)
    runner.drain()
    assert fresh(run).status == Run.Status.FAILED

    install(1)
    run_retry(run_id=run.pk)
    runner.drain()
    assert (fresh(run).output, notes()) == ("1 ends", ["1 begins", "1 ends"])


def test_a_run_of_newer_code_says_so_under_older_code() -> None:
    install(2)
    run = begin("new")
    uninstall()
    install(1)
    assert "needs version 2" in go_on(run).error


def test_a_canceled_run_whose_version_is_missing_fails_for_its_clean_up_cannot_run() -> None:
    install(1)
    run = begin("old")
    uninstall()
    install(2)
    run_cancel(run_id=run.pk)
    runner.drain()
    assert "needs version 1" in fresh(run).error
    install(1)
    run_retry(run_id=run.pk)
    runner.drain()
    assert fresh(run).status == Run.Status.CANCELED


def test_a_flow_that_is_gone_altogether_says_so() -> None:
    install(1)
    run = begin("old")
    uninstall()
    assert "does not exist" in go_on(run).error


def test_two_places_cannot_register_the_same_version() -> None:
    install(1)

    def other() -> None: ...

    other.__module__ = "somewhere.else"
    with pytest.raises(RuntimeError, match="registered twice"):
        flow(NAME, version=1)(other)
    flow(NAME, version=2)(other)
    assert FLOWS[NAME] == Flow(NAME, other, 2)
