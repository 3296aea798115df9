"""The bus: events live and die with their transaction, and are delivered at least once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import membership_set, organization_ensure
from apps.events import bus, tasks
from apps.events.models import SUBJECT_CHARS, Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for kind in ("test.kind", "test.other"):
        bus._handlers.pop(kind, None)
        bus._group_handlers.pop(kind, None)


@transaction.atomic
def emit(kind: str = "test.kind", **data: object) -> Event:
    return bus.emit(kind, organization_id=None, **data)  # type: ignore[arg-type]


def let_time_pass(event: Event, **time: float) -> None:
    Event.objects.filter(pk=event.pk).update(created_at=timezone.now() - timedelta(**time))


def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="outside a transaction"):
        bus.emit("test.kind", organization_id=None)


def test_an_event_keeps_who_what_and_where() -> None:
    with transaction.atomic():
        bus.emit(
            "test.kind",
            organization_id=1,
            project_id=2,
            bead_id=3,
            subject="bead:x-1",
            actor="ann",
            count=4,
        )
    event = Event.objects.get()
    assert (event.organization_id, event.project_id, event.bead_id) == (1, 2, 3)
    assert (event.subject, event.actor, event.data) == ("bead:x-1", "ann", {"count": 4})
    assert str(event) == "test.kind bead:x-1"


def test_words_that_no_database_keeps_are_mended_and_long_ones_cut() -> None:
    with transaction.atomic():
        bus.emit("test.kind", organization_id=None, subject="s" * 500, actor="a\0nn", question="why\0?")
    event = Event.objects.get()
    assert (event.subject, event.actor, event.data) == ("s" * SUBJECT_CHARS, "ann", {"question": "why?"})


def test_a_rolled_back_event_is_neither_kept_nor_delivered() -> None:
    heard: list[Event] = []
    bus.on("test.kind")(heard.append)
    with transaction.atomic():
        emit()
        transaction.set_rollback(True)
    assert (heard, Event.objects.count()) == ([], 0)


def test_handlers_hear_of_it_after_the_commit_and_outside_it() -> None:
    heard: list[tuple[str, bool]] = []

    @bus.on("test.kind", "test.other")
    def hear(event: Event) -> None:
        heard.append((event.kind, transaction.get_connection().in_atomic_block))

    with transaction.atomic():
        emit("test.kind")
        emit("test.other")
        assert heard == []
    assert heard == [("test.kind", False), ("test.other", False)]
    assert not Event.objects.undelivered().exists()


def test_an_event_that_nobody_handles_counts_as_delivered() -> None:
    event = emit("test.unheard")
    assert event.delivered_at == event.created_at
    assert bus.sweep() == 0


def test_registering_twice_hears_once() -> None:
    heard: list[Event] = []
    hear = bus.on("test.kind")(heard.append)
    bus.on("test.kind")(hear)
    assert [emit()] == heard


def test_a_handler_that_fails_hinders_nobody_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    @bus.on("test.kind")
    def stumble(event: Event) -> None:
        tries.append(event.pk)
        if len(tries) < 3:
            raise ValueError("not yet")

    with caplog.at_level(logging.CRITICAL, logger="apps.events.bus"):
        event = emit()
        assert Event.objects.undelivered().get().attempts == 1
        let_time_pass(event, seconds=15)
        assert bus.sweep() == 0, "the second attempt is not due yet"
        let_time_pass(event, seconds=21)
        assert bus.sweep() == 0, "the second attempt fails"
        let_time_pass(event, seconds=41)
        assert bus.sweep() == 1
    assert tries == [event.pk] * 3
    assert Event.objects.get().delivered_at is not None
    assert bus.sweep() == 0


def test_a_group_handler_hears_at_once_of_what_was_emitted_together() -> None:
    heard: list[list[str]] = []

    @bus.on_all("test.kind", "test.other")
    def hear(events: list[Event]) -> None:
        heard.append([f"{event.kind} {event.subject}" for event in events])

    with transaction.atomic():
        bus.emit_all(bus.Fact(f"test.{kind}", None, subject=kind[0]) for kind in ("kind", "other", "unheard"))
        emit("test.kind")
        assert heard == []

    assert heard == [["test.kind k", "test.other o"], ["test.kind "]]
    assert not Event.objects.undelivered().exists()


def test_events_that_a_group_handler_fails_on_are_tried_again_others_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[int] = []
    bus.on("test.other")(lambda event: None)

    @bus.on_all("test.kind")
    def stumble(events: list[Event]) -> None:
        tries.append(len(events))
        if len(tries) == 1:
            raise ValueError("not yet")

    with caplog.at_level(logging.CRITICAL, logger="apps.events.bus"), transaction.atomic():
        kinds = ("test.kind", "test.other", "test.kind")
        events = bus.emit_all(bus.Fact(kind, None) for kind in kinds)

    assert [event.attempts for event in Event.objects.undelivered()] == [1, 1]
    for event in events:
        let_time_pass(event, seconds=60)
    assert bus.sweep() == 2
    assert tries == [2, 2]


def test_an_event_is_tried_for_hours_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    @bus.on("test.kind")
    def hopeless(event: Event) -> None:
        tries.append(event.pk)
        raise ValueError("never")

    with caplog.at_level(logging.CRITICAL, logger="apps.events.bus"):
        event = emit()
        patience = bus.SWEEP_AFTER * 2 ** (bus.MAX_ATTEMPTS - 1)
        assert patience > timedelta(hours=5)
        for _ in range(bus.MAX_ATTEMPTS + 5):
            let_time_pass(event, seconds=patience.total_seconds() + 1)
            bus.sweep()
    assert len(tries) == bus.MAX_ATTEMPTS
    assert Event.objects.undelivered().count() == 1, "people can still see it"


def test_what_a_crash_left_is_delivered_by_the_sweep_in_order() -> None:
    heard: list[int] = []
    bus.on("test.kind")(lambda event: heard.append(event.pk))
    left = [
        Event.objects.create(kind="test.kind", created_at=timezone.now() - timedelta(minutes=1)).pk
        for _ in range(3)
    ]
    fresh = Event.objects.create(kind="test.kind", created_at=timezone.now())
    tasks.sweep()
    assert heard == left
    assert Event.objects.undelivered().get() == fresh


def test_people_see_the_events_of_their_organizations_only() -> None:
    ours, theirs = organization_ensure(name="ours"), organization_ensure(name="theirs")
    member, stranger = User.objects.create_user("member"), User.objects.create_user("stranger")
    membership_set(user=member, organization=ours, role="viewer")
    Event.objects.all().delete()
    for organization_id in (ours.pk, theirs.pk, None):
        Event.objects.create(kind="test", organization_id=organization_id, created_at=timezone.now())
    assert [event.organization_id for event in Event.objects.for_user(member)] == [ours.pk]
    assert not Event.objects.for_user(stranger).exists()
    assert not Event.objects.for_user(AnonymousUser()).exists()
    assert Event.objects.for_user(User.objects.create_superuser("root")).count() == 3


def test_urgent_events_are_delivered_before_others_of_their_transaction() -> None:
    heard: list[str] = []
    bus.on("test.kind")(lambda event: heard.append(event.kind))
    bus.on_all("test.other", urgent=True)(lambda events: heard.extend(event.kind for event in events))
    with transaction.atomic():
        bus.emit("test.kind", organization_id=None)
        bus.emit("test.other", organization_id=None)
    bus._urgent.discard("test.other")
    assert heard == ["test.other", "test.kind"]
    assert list(Event.objects.order_by("id").values_list("kind", flat=True)) == ["test.kind", "test.other"]


def test_events_of_a_block_without_time_are_delivered_at_its_end_also_where_it_fails() -> None:
    heard: list[int] = []
    bus.on_all("test.kind")(lambda events: heard.append(len(events)))

    def fails() -> None:
        with bus.delivering_late():
            emit()
            emit()
            assert heard == []
            assert Event.objects.undelivered().count() == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert heard == [2]
    assert not Event.objects.undelivered().exists()
    emit()
    assert heard == [2, 1]


def test_what_was_done_in_a_block_is_done_though_its_events_are_delivered_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(events: list[Event]) -> None:
        raise OperationalError("the database is away")

    bus.on_all("test.kind")(lambda events: None)
    with monkeypatch.context() as away:
        away.setattr(bus, "deliver_all", down)
        with bus.delivering_late():
            emit()
    assert Event.objects.undelivered().count() == 1


def test_what_the_sweep_delivered_while_it_was_kept_back_is_not_delivered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[int] = []
    bus.on("test.kind")(lambda event: heard.append(event.pk))
    monkeypatch.setattr(bus, "SWEEP_AFTER", timedelta(0))

    with bus.delivering_late():
        swept = emit()
        assert bus.sweep() == 1
        late = emit()

    assert heard == [swept.pk, late.pk]
