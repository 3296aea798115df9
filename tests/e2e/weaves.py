"""Runs `manage.py weave` as a user does: a process of its own, a data directory (and database) of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.providers.script_server import ScriptServer
from tests.templates import postgres_copy, sqlite_copy

ROOT = Path(__file__).resolve().parents[2]
GREETER = Path(__file__).parent / "greeter"
SECONDS = 150
MODEL_VARIABLES = ("LOOM_PROVIDER_URL", "LOOM_MODEL", "LOOM_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.out)  # type: ignore[no-any-return]

    def story(self, title: str) -> dict[str, Any]:
        return next(story for story in self.summary["stories"] if story["title"] == title)


@dataclass
class Installation:
    """One Loom with its own state; `env` is what its processes see."""

    data: Path
    env: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def connect(self, url: str, model: str = "script", **more: str) -> None:
        """Use an OpenAI-compatible server."""
        prices = {"LOOM_PRICE_IN": "1", "LOOM_PRICE_OUT": "4"}
        self.env |= {"LOOM_PROVIDER_URL": url, "LOOM_MODEL": model, "LOOM_API_KEY": "key", **prices, **more}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def weave(self, *arguments: str, seconds: float = SECONDS) -> Done:
        return finish(self.start("weave", "--json", *arguments), seconds)

    def ask(self, code: str) -> Any:
        """The JSON value of an expression, evaluated in the installation's own Django."""
        lines = f"import json\n{code}\nprint(json.dumps(answer))"
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", lines],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout.strip().splitlines()[-1])


def finish(process: subprocess.Popen[str], seconds: float = SECONDS) -> Done:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_everything(process)
        out, err = process.communicate()
        raise AssertionError(f"the weave did not end in {seconds} s:\n{out}\n{err}") from None
    return Done(process.returncode, out, err)


def kill_everything(process: subprocess.Popen[str]) -> None:
    """kill -9 of the command; whatever it started is bound to it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def has_answered(server: ScriptServer, calls: int) -> bool:
    return server.counters.calls >= calls


def until(condition: Callable[[], object], seconds: float = 60.0, every: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(every)


def environment(data: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LOOM_")}
    for name in MODEL_VARIABLES:
        env.pop(name, None)
    return env | {
        "LOOM_DATA_DIR": str(data),
        "LOOM_DETECT_LOCAL": "off",
        "LOOM_LOG_LEVEL": "INFO",
        "DJANGO_SETTINGS_MODULE": "loom_site.settings",
    }


@contextlib.contextmanager
def installation(data: Path) -> Iterator[Installation]:
    """A new Loom with its tables; on the services of DATABASE_URL and REDIS_URL where those are set."""
    data.mkdir(parents=True, exist_ok=True)
    env = environment(data)
    with contextlib.ExitStack() as stack:
        if env.get("DATABASE_URL"):
            env["DATABASE_URL"] = stack.enter_context(postgres_copy(env["DATABASE_URL"]))
        else:
            sqlite_copy(data / "loom.sqlite3")
        if env.get("REDIS_URL"):
            # Another number than the test run's own, so that nobody takes another's messages.
            server, _, number = env["REDIS_URL"].rpartition("/")
            env["REDIS_URL"] = f"{server}/{int(number or 0) + 1}"
            redis.Redis.from_url(env["REDIS_URL"]).flushdb()
        loom = Installation(data, env)
        try:
            yield loom
        finally:  # what a test that failed did not wait for
            for process in loom.started:
                if process.poll() is None:
                    kill_everything(process)


def suite_passes(repository: Path) -> bool:
    """The product's own tests, run by hand as the summary says."""
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode == 0 and "Ran 0 tests" not in done.stderr


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
