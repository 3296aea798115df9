"""The house under attack: Loom's own supervisor with four workers and beat.

Two things differ from `manage.py up`: what dies is started again however often it dies, and the processes
run with the crash points and the bad post office that the campaign has planned for them.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from kombu.transport.redis import Channel

from apps.core.broker import BrokerKeeper
from apps.core.supervisor import Supervisor
from apps.core.warden import Child, Warden

WORKERS = ("worker1", "worker2", "worker3", "worker4")
FAULT = 0.05  # of all messages are lost, as many sent twice, as many overtaken by the next one


def place(*parts: str) -> Path:
    """A file by which the campaign and the processes of the house understand each other."""
    return Path(settings.LOOM_DATA_DIR, "campaign", *parts)


class Patient(Child):
    """A process that is started again at once, always."""

    def died(self, now: float) -> float | None:
        self.pid, self.start_at = None, now
        return 0.0


class CampaignWarden(Warden):
    def _run_command(self, arguments: Sequence[str]) -> int:
        name = Path("/proc/self/comm").read_text(encoding="ascii").strip().removeprefix("loom-")
        os.environ.pop("LOOM_CRASH_AT", None)
        life = place("lives", str(os.getpid()))
        try:
            place("plans", name).rename(life)
            os.environ["LOOM_CRASH_AT"] = life.read_text(encoding="utf-8")
        except FileNotFoundError:  # nothing is planned for this one
            pass
        random.seed()
        post_office_spoil()
        return super()._run_command(arguments)


class House(Supervisor):
    def __init__(self, data: Path) -> None:
        for name in ("plans", "lives", "marks"):
            place(name).mkdir(parents=True)
        procfile = place("Procfile")
        lines = [f"{name}: python manage.py worker" for name in WORKERS]
        procfile.write_text("\n".join([*lines, "beat: python manage.py beat"]) + "\n", encoding="utf-8")
        super().__init__(procfile=procfile, quiet=True, log_dir=data / "logs", stop_seconds=20)

    def poll(self) -> None:
        self._warden_deaths = 0
        super().poll()

    @property
    def warden(self) -> int:
        return self._warden

    def _guard(self, channel: Any) -> int:
        return CampaignWarden(
            [Patient(name, command) for name, command in self._commands.items()],
            channel=channel,
            keeper=BrokerKeeper(Path(settings.LOOM_DATA_DIR)),
            output=self._output(),
            directory=self._procfile.parent,
            stop_seconds=self._stop_seconds,
        ).run()


def post_office_spoil() -> None:
    """Let messages of this process get lost, doubled or overtaken on their way to the broker."""
    put, held = Channel._put, deque[tuple[str, Any]]()

    def spoiled(self: Any, queue: str, message: Any, **options: Any) -> None:
        fate = 1.0 if place("peace").exists() else random.random()
        if fate < FAULT:
            return _note("dropped")
        if fate < 2 * FAULT:
            _note("duplicated")
            put(self, queue, message, **options)
        elif fate < 3 * FAULT:
            _note("reordered")
            return held.append((queue, message))
        put(self, queue, message, **options)
        while held:
            put(self, *held.popleft(), **options)
        return None

    Channel._put = spoiled  # type: ignore[method-assign]


def _note(fault: str) -> None:
    with place("faults").open("a", encoding="utf-8") as file:
        file.write(f"{fault}\n")


def faults() -> list[str]:
    """What happened to messages so far."""
    return place("faults").read_text(encoding="utf-8").split() if place("faults").exists() else []
