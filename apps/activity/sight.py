"""What a person may see of rows with an organization or a project: for streams, which outlive requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from apps.accounts.models import User
from apps.accounts.permissions import READ, organizations_with, permission_holds, projects_with
from apps.core.tenancy import access_of

AUDIT = f"audit:{READ}"


@dataclass(frozen=True)
class Sight:
    """The same that `rows_with` lets through, without asking the database for every row."""

    everything: bool = False
    organizations: frozenset[int] = frozenset()
    projects: frozenset[int] = frozenset()  # shared with the person
    audited: frozenset[int] = frozenset()  # organizations whose audit trail the person reads too
    only_organization: int | None = None  # as far as the credential reaches
    only_project: int | None = None

    def allows(self, organization_id: int | None, project_id: int | None) -> bool:
        if self.only_organization not in (None, organization_id):
            return False
        if self.only_project not in (None, project_id):
            return False
        return self.everything or organization_id in self.organizations or project_id in self.projects

    def overlaps(self, other: Sight) -> bool:
        """Whether there may be rows that both see."""
        if self.everything or other.everything:
            return True
        return bool(self.organizations & other.organizations or self.projects & other.projects)

    def condition(self) -> Q:
        """The same for rows with `organization_id` and `project_id`."""
        found = Q()
        if not self.everything:
            found = Q(organization_id__in=self.organizations) | Q(project_id__in=self.projects)
        if self.only_organization is not None:
            found &= Q(organization_id=self.only_organization)
        if self.only_project is not None:
            found &= Q(project_id=self.only_project)
        return found


def sight_of(person: User, permission: str) -> Sight | None:
    """What this person sees with that permission; None if they do not hold it anywhere."""
    if not permission_holds(person, permission):
        return None
    access = access_of(person)
    return Sight(
        everything=person.is_superuser,
        organizations=frozenset(organizations_with(person, permission)),
        projects=frozenset(_ids(projects_with(person, permission))),
        audited=frozenset(organizations_with(person, AUDIT)),
        only_organization=access.organization_id,
        only_project=access.project_id,
    )


def _ids(rows: Any) -> list[int]:
    return [row["content_object_id"] for row in rows]
