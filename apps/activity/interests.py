"""What readers of streams and histories ask for: `type`, `project_id` and the like, several of each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.datastructures import MultiValueDict

from apps.activity.sight import Sight
from apps.core.errors import BadInput
from apps.events.models import Event

Asked = MultiValueDict[str, str]  # a query string

MAX_WORDS = 100
MAX_STARS = 3  # in one type: what many of them fit takes for ever to find out
PATTERN = re.compile(r"[\w.*-]{1,80}")
MAX_ID = 2**63 - 1


# Who logged in from where, with what: the audit trail, which not everybody reads who reads events.
PRIVATE = ("login.", "user.", "api_key.", "invitation.")


def audits(sight: Sight, organization_id: int | None) -> bool:
    return sight.everything or organization_id in sight.audited


def public(sight: Sight) -> Q:
    """Events other than those of the audit trail, and those too where the person may read it."""
    if sight.everything:
        return Q()
    private = Q()
    for family in PRIVATE:
        private |= Q(kind__startswith=family)
    return ~private | Q(organization_id__in=sight.audited)


@dataclass(frozen=True)
class EventInterest:
    sight: Sight
    kinds: tuple[str, ...] = ()  # also with wildcards, such as bead.*; empty: all
    projects: frozenset[int] = frozenset()

    def wants(self, row: Event) -> bool:
        if self.projects and row.project_id not in self.projects:
            return False
        if row.kind.startswith(PRIVATE) and not audits(self.sight, row.organization_id):
            return False
        return fits(row.kind, self.kinds) and self.sight.allows(row.organization_id, row.project_id)

    def filter(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = rows.filter(self.sight.condition(), public(self.sight), kinds_condition(self.kinds))
        return rows.filter(project_id__in=self.projects) if self.projects else rows

    def seeing(self, sight: Sight) -> EventInterest:
        return replace(self, sight=sight)


def words(asked: Asked, *names: str) -> list[str]:
    """All that the query string says under these names, repeated or separated by commas."""
    found = [word.strip() for name in names for text in asked.getlist(name) for word in text.split(",")]
    found = [word for word in found if word]
    if len(found) > MAX_WORDS:
        raise BadInput(f"{names[0]} may name {MAX_WORDS} at most.", details={"field": names[0]})
    if any("\0" in word for word in found):  # which no database looks for
        raise BadInput(f"{names[0]} holds what is no text.", details={"field": names[0]})
    return found


def numbers(asked: Asked, *names: str) -> frozenset[int]:
    found = words(asked, *names)
    if not all(
        word.isascii() and word.isdigit() and len(word) < 20 and int(word) <= MAX_ID for word in found
    ):
        raise BadInput(f"{names[0]} must be whole numbers.", details={"field": names[0]})
    return frozenset(int(word) for word in found)


def kinds(asked: Asked, *names: str) -> tuple[str, ...]:
    """Kinds of events; `*` stands for anything."""
    found = words(asked, *names)
    return kinds_checked(found, names[0])


def kinds_checked(given: Iterable[str], field: str) -> tuple[str, ...]:
    found = tuple(sorted(set(given)))
    for word in found:
        if not PATTERN.fullmatch(word) or word.count("*") > MAX_STARS:
            raise BadInput(
                f"{word[:80]!r} is no type of event.", hint="Such as bead.created, or bead.*",
                details={"field": field},
            )  # fmt: skip
    return found


@lru_cache(10_000)
def fits(kind: str, patterns: tuple[str, ...]) -> bool:
    """Whether the kind is one of these; any if there are none."""
    return not patterns or any(re.fullmatch(_expression(pattern), kind) for pattern in patterns)


def kinds_condition(patterns: tuple[str, ...]) -> Q:
    if not patterns or "*" in patterns:
        return Q()
    found = Q(kind__in=[pattern for pattern in patterns if "*" not in pattern])
    for pattern in patterns:
        if pattern.find("*") == len(pattern) - 1:
            found |= Q(kind__startswith=pattern[:-1])
        elif "*" in pattern:
            found |= Q(kind__regex=f"^{_expression(pattern)}$")
    return found


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*")
