"""`python manage.py loom` as Django calls it; manage.py itself goes to apps.core.terminal at once."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core.terminal import HELP, arguments_add, run


class Command(BaseCommand):
    help = HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        arguments_add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.ending = self.stderr.ending = ""
        if code := run(options, self.stdout, self.stderr):
            sys.exit(code)
