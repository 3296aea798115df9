"""`manage.py decide`: list the decisions that wait for a person, or answer one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import LoomError
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide


class Command(BaseCommand):
    help = "List open decisions, or answer one: decide ID CHOICE [--because TEXT]."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", type=int)
        parser.add_argument("choice", nargs="?")
        parser.add_argument("--because", default="", help="why")
        parser.add_argument("--org", default="local", help="the organization asked")
        parser.add_argument("--as", dest="person", default="a person at the terminal", help="who decides")

    def handle(self, *_: Any, **options: Any) -> None:
        scope = Decision.objects.filter(project__organization__slug=options["org"]).select_related("project")
        if options["id"] is None:
            self._list(scope)
            return
        decision = scope.filter(pk=options["id"]).first()
        if decision is None:
            raise CommandError(f"There is no decision {options['id']} in the organization {options['org']}.")
        if options["choice"] is None:
            self._show(decision)
            return
        try:
            decision_decide(
                decision=decision,
                choice=options["choice"],
                rationale=options["because"],
                decider=options["person"],
            )
        except LoomError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        self.stdout.write(f"Decided: {decision.choice}")

    def _list(self, scope: Any) -> None:
        waiting = scope.filter(status=Decision.Status.OPEN).order_by("id")
        for decision in waiting:
            options = ", ".join(option["key"] for option in decision.options) or "a free answer"
            self.stdout.write(f"{decision.pk}  {decision.project.name}: {decision.question}  [{options}]")
        if not waiting:
            self.stdout.write("No decision waits for anybody.")

    def _show(self, decision: Decision) -> None:
        self.stdout.write(f"{decision.question}\n\n{decision.context}\n")
        for option in decision.options:
            mark = "*" if option["key"] == decision.recommendation else " "
            words = f"{option.get('label', '')} {option.get('detail', '')}"
            self.stdout.write(f" {mark} {option['key']}: {words}")
