"""Writes to the rules on commands, and judging by them."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.commands.judging import Judgement, judge
from apps.commands.models import PATTERN_CHARS, CommandRule
from apps.commands.rules import Rule
from apps.core.errors import BadInput, Conflict
from apps.events.bus import emit
from apps.projects.models import Project

MOST = 500  # rules of one project


def _tell(rule: CommandRule, kind: str, actor: str) -> None:
    emit(
        kind,
        organization_id=rule.project.organization_id,
        project_id=rule.project_id,
        subject=f"command_rule:{rule.pk}",
        actor=actor,
        pattern=rule.pattern,
        verdict=rule.verdict,
        reason=rule.reason,
    )


@transaction.atomic
def command_rule_set(
    *, project: Project, pattern: str, verdict: str, reason: str = "", actor: str = ""
) -> CommandRule:
    """Add a rule, or change what the project's rule with this pattern says."""
    pattern = _checked(pattern, verdict)
    Project.objects.locked(project.pk)  # the limit counts what others add at the same moment
    others = CommandRule.objects.filter(project=project).exclude(pattern=pattern)
    if others.count() >= MOST:
        raise Conflict(f"A project has at most {MOST} rules on commands.", hint="Use wider patterns.")
    rule, _ = CommandRule.objects.update_or_create(
        project=project,
        pattern=pattern,
        defaults={"verdict": verdict, "reason": reason.strip()[:300], "created_by": actor[:150]},
    )
    _tell(rule, "command_rule.set", actor)
    return rule


def _checked(pattern: str, verdict: str) -> str:
    pattern = " ".join(pattern.split())
    if not pattern:
        raise BadInput("A rule needs a pattern, such as `git push *`.", details={"field": "pattern"})
    if len(pattern) > PATTERN_CHARS:
        raise BadInput(f"A pattern has at most {PATTERN_CHARS} characters.", details={"field": "pattern"})
    if not pattern.isprintable():
        raise BadInput("A pattern holds printable characters only.", details={"field": "pattern"})
    if verdict not in CommandRule.Verdict.values:
        raise BadInput(f"{verdict!r} is no verdict.", hint="Use allow, ask or deny.")
    return pattern


@transaction.atomic
def command_rule_change(*, rule: CommandRule, actor: str = "", **changes: Any) -> CommandRule:
    """Another pattern, verdict or reason; Conflict where the project has a rule with that pattern."""
    pattern = _checked(changes.get("pattern", rule.pattern), changes.get("verdict", rule.verdict))
    same = CommandRule.objects.filter(project_id=rule.project_id, pattern=pattern).exclude(pk=rule.pk)
    if same.exists():
        raise Conflict(f"There is a rule with the pattern {pattern!r} already.")
    CommandRule.objects.filter(pk=rule.pk).update(
        **{**changes, "pattern": pattern, "created_by": actor[:150]}
    )
    rule.refresh_from_db()
    _tell(rule, "command_rule.set", actor)
    return rule


@transaction.atomic
def command_rule_remove(*, rule: CommandRule, actor: str = "") -> None:
    _tell(rule, "command_rule.removed", actor)
    CommandRule.objects.filter(pk=rule.pk).delete()


def project_rules(project: Project) -> list[Rule]:
    """The project's own rules; those of every project come after them."""
    return [row.rule for row in CommandRule.objects.filter(project_id=project.pk)]


def command_judge(*, project: Project, line: str) -> Judgement:
    """What the project's rules, and those of every project, say about a command line."""
    return judge(line, project_rules(project))
