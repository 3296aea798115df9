"""A stream that is cut again and again delivers each event at least once and in the order of its subject.

Transactions commit late and out of order where the database lets them run side by side (PostgreSQL).
LOOM_CUT_EVENTS and LOOM_CUTS make it as long as docs/events.md says: 10000 and 100.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import defaultdict

import pytest
from django.db import connections, transaction

from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.events.bus import emit
from tests.activity.serving import Listener, cookies, serving

EVENTS = int(os.environ.get("LOOM_CUT_EVENTS", "400"))
CUTS = int(os.environ.get("LOOM_CUTS", "20"))
WRITERS = 4
LATE_SECONDS = 0.02
AHEAD = 1000  # events that writers may be ahead of the reader: who misses far more is told to read anew


def write(
    organization: Organization, subject: str, count: int, seed: int, heard: dict[str, list[int]]
) -> None:
    """Events of one subject, one transaction after the other, each committed a while after it was written."""
    chance = random.Random(seed)
    numbers = iter(range(count))
    try:
        while batch := list(itertools.islice(numbers, chance.randint(1, 5))):
            while batch[0] - len(heard[subject]) > AHEAD / WRITERS:
                time.sleep(0.005)
            with transaction.atomic():
                for number in batch:
                    emit("cut.told", organization_id=organization.pk, subject=subject, who=subject, n=number)
                if connections["default"].vendor == "postgresql":
                    time.sleep(chance.random() * LATE_SECONDS)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_by_being_cut() -> None:
    ours = organization_ensure(name="ours")
    ann = User.objects.create_user(username="ann")
    membership_set(user=ann, organization=ours, role=Role.VIEWER)
    mine, chance, each = cookies(ann), random.Random(1), EVENTS // WRITERS
    heard: defaultdict[str, list[int]] = defaultdict(list)
    deliveries = cuts = 0
    with serving() as site:
        url = f"{site.url}/api/v1/events/stream?type=cut.*"
        with Listener(url, cookies=mine) as reader:
            last = reader.next().id
        threads = [
            threading.Thread(target=write, args=(ours, f"s{number}", each, number, heard), daemon=True)
            for number in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        while sum(map(len, heard.values())) < each * WRITERS:
            is_last = cuts >= CUTS
            left = chance.randint(1, 3 * EVENTS // (2 * CUTS))  # the rest comes after the cuts
            with Listener(url, cookies=mine, **{"Last-Event-ID": last}) as reader:
                while (is_last or left) and sum(map(len, heard.values())) < each * WRITERS:
                    event = reader.next()
                    last = event.id
                    if event.event != "cut.told":
                        assert event.event == "connected", event
                        continue
                    left, deliveries = left - 1, deliveries + 1
                    data = event.json()["data"]
                    if data["n"] not in heard[data["who"]]:
                        heard[data["who"]].append(data["n"])
            cuts += 1
        for thread in threads:
            thread.join()
    assert {who: numbers == list(range(each)) for who, numbers in heard.items()} == {
        f"s{number}": True for number in range(WRITERS)
    }
    assert cuts > CUTS, "the last one is not cut"
    assert deliveries < 3 * EVENTS, "events come again only where they must"
