from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from django.db import connections
from httpx_sse import connect_sse
from pytest_django import Settings

from apps.accounts.login_services import tokens_give
from apps.accounts.models import Organization, Role, User
from apps.agents.lifecycle import agent_spawn
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.core import pubsub
from apps.core.broker import BrokerKeeper
from apps.engine import runner
from apps.pairing.models import Exchange
from tests.activity.serving import Site, serving
from tests.api.clients import person
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import Answer, Studio
from tests.workflows.walks import quick

__all__ = ["open_studio", "quiet_doorbell"]

Messages = list[dict[str, Any]]
SECONDS = 20.0
LONG = "One word after the other, and so it goes on. " * 40


class Killed(BaseException):
    """Nothing that anybody handles: the worker is gone."""


@dataclass
class Room:
    """A site, a worker that may be sent away, a project with an agent and a bead, and a scripted model."""

    studio: Studio
    site: Site
    agent: Agent
    bead: Bead
    says: Callable[[Messages], Answer] = lambda messages: "Hello."
    asked: list[Messages] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    worker: threading.Thread = field(init=False)

    def model(self, messages: Messages) -> Answer:
        self.asked.append(messages)
        return self.says(messages)

    def worker_start(self) -> None:
        self.worker = threading.Thread(target=self.work, daemon=True)
        self.worker.start()

    def work(self) -> None:
        """A worker: takes up whatever is due."""
        try:
            while not self.over.is_set():
                if not runner.drain():
                    time.sleep(0.02)
        except Killed:
            pass
        finally:
            connections.close_all()

    def client(self, user: User | None = None, **headers: str) -> httpx.Client:
        if user is not None:
            headers["Authorization"] = f"Bearer {tokens_give(person=user).access}"
        return httpx.Client(
            base_url=f"{self.site.url}/api/v1/", headers=headers, timeout=SECONDS, trust_env=False
        )

    def body(self, message: str = "Hi", **more: Any) -> dict[str, Any]:
        return {"agent_id": f"agent-{self.agent.pk}", "bead_id": self.bead.key, "message": message, **more}


@pytest.fixture
def room(
    open_studio: Callable[..., Studio],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    broker: BrokerKeeper,
) -> Iterator[Room]:
    # The studio has a data directory of its own; the broker is that of the whole run.
    monkeypatch.setenv("REDIS_URL", os.environ.get("REDIS_URL") or f"unix://{broker.socket}")
    monkeypatch.setattr(pubsub, "_publisher", pubsub._Publisher())
    settings.LOOM_PAIR_GRACE_SECONDS = 0.2
    found: list[Room] = []
    studio = quick(open_studio(lambda kind, title, messages: found[0].model(messages)))
    agent = agent_spawn(project=studio.project, role="engineering-manager")
    with serving() as site:
        bead = studio.bead("Subtract", status="deferred")  # nobody else shall take it
        room = Room(studio, site, agent, bead)
        found.append(room)
        room.worker_start()
        yield room
        room.over.set()
        room.worker.join(SECONDS)


@pytest.fixture
def ann(room: Room) -> Iterator[httpx.Client]:
    with room.client(person("ann", room.studio.organization)) as client:
        yield client


Told = tuple[str, str, Any]


@contextlib.contextmanager
def talking(client: httpx.Client, method: str, at: str, **more: Any) -> Iterator[Iterator[Told]]:
    """Events of a stream: (kind, id, data)."""
    with connect_sse(client, method, at, **more) as source:
        source.response.raise_for_status()
        yield ((one.event, one.id, json.loads(one.data)) for one in source.iter_sse())


def pair(client: httpx.Client, room: Room, message: str = "Hi") -> list[Told]:
    with talking(client, "POST", "pair", json=room.body(message)) as events:
        return list(events)


def words(events: list[Told]) -> str:
    return "".join(data["choices"][0]["delta"]["content"] for kind, _, data in events if kind == "chunk")


def newest() -> Exchange:
    return Exchange.objects.order_by("-id")[0]


def until(condition: Callable[[], Any], what: str = "it") -> Any:
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)
    return found


def viewer_of(organization: Organization, name: str = "vic") -> User:
    return person(name, organization, Role.VIEWER)
