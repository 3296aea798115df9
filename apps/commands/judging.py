"""Whether a command may run: allowed, forbidden, or to be asked of a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.commands.reading import Simple, Unreadable, read_commands
from apps.commands.rules import ALLOW, ASK, DEFAULTS, DENY, VERDICTS, Rule

SHOWN = 500  # characters of one command in a judgement


@dataclass(frozen=True)
class Finding:
    """One simple command and the rule that decides about it; none means that it is allowed."""

    command: Simple
    rule: Rule | None = None

    @property
    def verdict(self) -> str:
        return self.rule.verdict if self.rule is not None else ALLOW

    def line(self) -> str:
        """For people and models: `deny  git push origin  (rule "git push*": why)`."""
        why = ""
        if self.rule is not None:
            whose = "rule of every project" if self.rule.is_default else "rule of this project"
            reason = f": {self.rule.reason}" if self.rule.reason else ""
            why = f'  ({whose} "{self.rule.pattern}"{reason})'
        return f"{self.verdict}  {self.command.shown[:SHOWN]}{why}"


@dataclass(frozen=True)
class Judgement:
    """The verdict on a command line; the strictest of its commands decides."""

    line: str
    findings: tuple[Finding, ...] = ()
    unreadable: str = ""

    @property
    def verdict(self) -> str:
        if self.unreadable:
            return DENY
        found = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in VERDICTS if verdict in found), ALLOW)

    @property
    def decisive(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.verdict == self.verdict and one.rule is not None)

    def refusal(self) -> str:
        """Why it may not run, for the model."""
        if self.unreadable:
            return f"Not run. {self.unreadable}"
        return "Not run:\n" + "\n".join(finding.line() for finding in self.decisive)

    def told(self) -> str:
        return self.unreadable or "\n".join(finding.line() for finding in self.findings)


def judge(line: str, rules: Iterable[Rule] = (), *, defaults: Sequence[Rule] = DEFAULTS) -> Judgement:
    """Judge a command line: the project's `rules` before the defaults, of either the most exact one."""
    try:
        commands = read_commands(line)
    except Unreadable as error:
        return Judgement(line, unreadable=f"{error.message} {error.hint}".strip())
    own = tuple(rules)
    return Judgement(line, tuple(Finding(one, _first(one, own) or _first(one, defaults)) for one in commands))


def _first(command: Simple, rules: Sequence[Rule]) -> Rule | None:
    found = [rule for rule in rules if rule.matches(command)]
    return min(found, key=lambda rule: (-rule.exactness, VERDICTS.index(rule.verdict)), default=None)


__all__ = ["ALLOW", "ASK", "DENY", "Finding", "Judgement", "judge"]
