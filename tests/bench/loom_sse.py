"""The measured side of the streams: the real web process, and this process, from which the events come."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client

from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.core.supervisor import Supervisor
from apps.events.bus import emit
from tests.bench.child import Command


class Site:
    def __init__(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        self.organization: Organization = organization_ensure(name="bench")
        connections.close_all()
        self.supervisor = Supervisor(["web"], quiet=True)
        self.supervisor.start()

    def cookie(self) -> dict[str, Any]:
        """Of somebody who is logged in."""
        user = User.objects.create_user(username="reader")
        membership_set(user=user, organization=self.organization, role=Role.VIEWER)
        browser = Client()
        browser.force_login(user)
        return {"cookie": browser.cookies.output(attrs=[], header="").strip()}

    def tell(self, first: int, count: int, rest: float) -> dict[str, Any]:
        """Commit `count` events, each in a transaction of its own; when each was committed."""
        sent = []
        for number in range(first, first + count):
            with transaction.atomic():
                emit("bench.told", organization_id=self.organization.pk, subject="bench", number=number)
            sent.append(time.time())
            if rest:
                time.sleep(rest)
        return {"sent": sent}

    def web(self) -> dict[str, Any]:
        """Memory in bytes and threads of the web process."""
        self.supervisor.poll()
        said = Path(f"/proc/{self.supervisor.pids['web']}/status").read_text(encoding="ascii")
        found = dict(line.split(":", 1) for line in said.splitlines())
        return {"rss": int(found["VmRSS"].split()[0]) * 1024, "threads": int(found["Threads"])}

    def stop(self) -> dict[str, Any]:
        self.supervisor.stop()
        return {}


def commands() -> dict[str, Command]:
    site = Site()
    return {"cookie": site.cookie, "tell": site.tell, "web": site.web, "stop": site.stop}
