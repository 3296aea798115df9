"""Everything on one machine: web, worker, beat, jobs and the embedded broker, until Ctrl-C."""

from __future__ import annotations

import signal
import socket
import time

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from apps.core.errors import LoomError
from apps.core.preparation import port_check
from apps.core.supervisor import Supervisor

POLL_SECONDS = 0.1
ANYWHERE = {"0.0.0.0": "localhost", "127.0.0.1": "localhost", "::": "localhost"}  # noqa: S104 - shown, not bound


class Command(BaseCommand):
    help = "Run web, worker, beat, jobs and the broker on this machine; Ctrl-C ends them all."

    def handle(self, *args: object, **options: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(
                number, signal.default_int_handler
            )  # also where a shell started us with SIGINT ignored
        try:
            port_check()
            call_command("prepare", stdout=self.stdout)
            self._run(Supervisor())
        except KeyboardInterrupt:
            self.stdout.write("Loom has stopped.")
        except LoomError as error:
            raise CommandError(error.told, returncode=2) from error

    def _run(self, supervisor: Supervisor) -> None:
        is_announced = False
        with supervisor:
            while True:
                time.sleep(POLL_SECONDS)
                supervisor.poll()
                if not is_announced and self._is_listening():
                    url = (
                        f"http://{ANYWHERE.get(settings.LOOM_HOST, settings.LOOM_HOST)}:{settings.LOOM_PORT}"
                    )
                    self.stdout.write(self.style.SUCCESS(f"Loom is ready at {url} (Ctrl-C stops it)"))
                    self.stdout.flush()
                    is_announced = True

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_INET6 if ":" in settings.LOOM_HOST else socket.AF_INET) as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((settings.LOOM_HOST, settings.LOOM_PORT)) == 0
