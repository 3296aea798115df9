"""Who is asked to vote: people by user name, agents by name, and roles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from apps.accounts.models import User
from apps.accounts.permissions import roles_with
from apps.core.errors import BadInput
from apps.decisions.models import person_names
from apps.projects.models import Project
from apps.projects.sharing import people_in

Naming = Callable[[Project, Sequence[str]], dict[str, str]]
_namings: list[Naming] = []


def voters_named_by(naming: Naming) -> None:
    """Register who knows agents and roles: of names given, those it knows, and what each is counted under.

    Agents are an app above this one.
    """
    if naming not in _namings:
        _namings.append(naming)


def voters_resolve(project: Project, names: Sequence[str]) -> list[str]:
    """The names under which votes are counted; BadInput if nobody who could vote is called so."""
    given = [name.strip() for name in names]
    known: dict[str, str] = {}
    for naming in _namings:
        known |= naming(project, given)
    known |= _people(project, given)
    if unknown := [name for name in given if name and name not in known]:
        raise BadInput(
            f"Nobody who could vote is called {unknown[0][:80]!r}.",
            hint="Name people who may decide in this project, agents of its team, or roles.",
            details={"field": "voters", "unknown": unknown},
        )
    return [known.get(name, name) for name in given]


def people_named(people: QuerySet[User], names: Collection[str]) -> QuerySet[User]:
    """Those among the people who are meant by names that votes are taken under: `Ann`, `user-ann`."""
    lower = {name.lower() for name in names}
    lower |= {name.removeprefix("user-") for name in lower}
    exact = {*names, *(name.removeprefix("user-") for name in names)}  # SQLite lowers no letters but A to Z
    return people.alias(called=Lower("username")).filter(Q(called__in=lower) | Q(username__in=exact))


def _people(project: Project, names: Sequence[str]) -> dict[str, str]:
    may = people_in(project.organization_id, project.pk, roles_with("decisions:write"))
    admins = Q(is_superuser=True, is_active=True)
    users = people_named(User.objects.filter(admins | Q(pk__in=may.values("pk"))), names)
    called = {
        name.casefold()
        for username in users.values_list("username", flat=True)
        for name in person_names(username)
    }
    return {name: name for name in names if name.casefold() in called}
