"""`manage.py decide`: list the decisions that wait for an answer, look at one, answer it, or vote."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import LoomError
from apps.core.show import plain
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, vote_cast
from apps.decisions.tally import tally_of

LISTED = 200


class Command(BaseCommand):
    help = (
        "List open decisions, show one (decide ID), answer it (decide ID CHOICE [--because TEXT]) or vote on "
        "it (decide ID CHOICE --vote --as NAME [--confidence 0.8])."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", type=int)
        parser.add_argument("choice", nargs="?")
        parser.add_argument("--because", default="", help="why")
        parser.add_argument("--org", default="local", help="the organization asked")
        parser.add_argument("--as", dest="person", default="a person at the terminal", help="who decides")
        parser.add_argument("--vote", action="store_true", help="cast or change a vote; needs --as")
        parser.add_argument("--confidence", type=float, default=1.0, help="of the vote, 0 to 1")
        parser.add_argument("--all", action="store_true", help="list those that are closed too")

    def handle(self, *_: Any, **options: Any) -> None:
        scope = Decision.objects.filter(project__organization__slug=options["org"]).select_related("project")
        if options["id"] is None:
            self._list(scope, everything=options["all"])
            return
        decision = scope.filter(pk=options["id"]).first()
        if decision is None:
            raise CommandError(f"There is no decision {options['id']} in the organization {options['org']}.")
        if options["choice"] is None:
            self._show(decision)
            return
        try:
            self._say(self._vote(decision, options) if options["vote"] else self._decide(decision, options))
        except LoomError as error:
            raise CommandError(plain(f"{error.message} {error.hint}".strip())) from error

    def _decide(self, decision: Decision, options: dict[str, Any]) -> str:
        decided = decision_decide(
            decision=decision,
            choice=options["choice"],
            rationale=options["because"],
            decider=options["person"],
        )
        return f"Decided: {decided.chosen}"

    def _vote(self, decision: Decision, options: dict[str, Any]) -> str:
        vote = vote_cast(
            decision=decision,
            voter=options["person"],
            choice=options["choice"],
            confidence=options["confidence"],
            rationale=options["because"],
        )
        decision.refresh_from_db()
        voted = decision.label(vote.choice)
        if decision.status == Decision.Status.DECIDED:
            return f"Voted: {voted}. Decided: {decision.chosen}. {decision.rationale}"
        return f"Voted: {voted}. {tally_of(decision).words()}"

    def _list(self, scope: Any, *, everything: bool) -> None:
        rows = scope if everything else scope.filter(status=Decision.Status.OPEN)
        found = list(rows.order_by("-id")[:LISTED])[::-1]
        for decision in found:
            options = ", ".join(decision.keys) or "a free answer"
            ending = f"{decision.status} {decision.choice}".strip()
            marks = options if decision.status == Decision.Status.OPEN else ending
            self._say(f"{decision.pk}  {decision.project.name}: {decision.question}  [{marks}]")
        if not found:
            self._say("No decision waits for anybody.")

    def _show(self, decision: Decision) -> None:
        self._say(f"{decision.question}\n\n{decision.context}\n")
        for option in decision.options:
            mark = "*" if option["key"] == decision.recommendation else " "
            words = f"{option.get('label', '')} {option.get('detail', '')}"
            self._say(f" {mark} {option['key']}: {words}")
        if decision.voters:
            self._say(tally_of(decision).words())
        if decision.status == Decision.Status.OPEN:
            default = decision.default_choice
            then = (
                f"{default!r} is taken" if default else "it lapses" if decision.lapses else "it is passed on"
            )
            self._say(f"Until {decision.deadline:%Y-%m-%d %H:%M} UTC, then {then}.")
        else:
            self._say(
                f"{decision.status}: {decision.choice} ({decision.decider}) {decision.rationale}".strip()
            )

    def _say(self, text: str) -> None:
        """Questions come from models: nothing of them steers the terminal."""
        self.stdout.write(plain(text))
