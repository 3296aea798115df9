"""The measured side of lists: 10,000 beads, somebody who is logged in, and the real web process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.management import call_command
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.beads.models import Bead, Dependency
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.bench.child import ROOT, Command, CouldNotMeasure

BEADS = 10_000


class Site:
    def __init__(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        organization = organization_ensure(name="bench")
        self.user = User.objects.create_user(username="bench")
        membership_set(user=self.user, organization=organization, role=Role.USER)
        self.project = project_create(organization=organization, name="Bench")
        beads_build(self.project)
        self.web: subprocess.Popen[bytes] | None = None

    def start(self, port: int, processes: int = 1) -> dict[str, Any]:
        env = {**os.environ, "LOOM_PORT": str(port), "LOOM_WEB_PROCESSES": str(processes)}
        self.web = subprocess.Popen([sys.executable, "manage.py", "web"], cwd=ROOT, env=env)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=5)
            except OSError:
                time.sleep(0.2)
            else:
                return {"project": self.project.pk, "cookie": cookie_of(self.user)}
        raise CouldNotMeasure("The web process does not come up.")

    def stop(self) -> dict[str, Any]:
        if self.web is not None:
            self.web.send_signal(signal.SIGTERM)
            self.web.wait(20)
        return {}


def beads_build(project: Project) -> None:
    now = timezone.now()
    statuses = [Bead.Status.OPEN, Bead.Status.IN_PROGRESS, Bead.Status.CLOSED, Bead.Status.BLOCKED]
    rows = [
        Bead(
            project=project,
            key=f"{project.bead_prefix}-{number}",
            title=f"Store links, part {number}",
            description="The command `add` stores a link with its title and the time. " * 3,
            status=statuses[number % 4],
            priority=number % 5,
            labels=["mvp", "storage"],
            acceptance=["It stores.", "It lists."],
            closed_at=now if number % 4 == 2 else None,
        )
        for number in range(BEADS)
    ]
    made = Bead.objects.bulk_create(rows, batch_size=500)
    edges = [Dependency(bead=made[at], blocker=made[at - 1]) for at in range(10, BEADS, 10)]
    Dependency.objects.bulk_create(edges, batch_size=500)


def cookie_of(user: User) -> str:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def commands() -> dict[str, Command]:
    site = Site()
    return {"start": site.start, "stop": site.stop}
