"""An organization with a shared and a hidden project, and everybody who may or may not see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError
from django.db.models import CharField, JSONField, Model, QuerySet, TextField
from django.test import Client
from guardian.shortcuts import assign_perm

from apps.accounts.key_services import key_create
from apps.accounts.models import Organization, Role, User
from apps.accounts.permissions import permissions_of
from apps.accounts.services import membership_remove, membership_set, organization_ensure
from apps.projects.models import Project
from tests.tenancy.table import GROWERS
from tests.world import World, world_build

SHARED, HIDDEN = "zqshared", "zqhidden"  # stand in all words of ours; whoever reads one has seen too much
STRANGERS = ("anonymous", "stranger", "removed")
MEMBERS = {"viewer": Role.VIEWER, "user": Role.USER, "admin": Role.ADMIN}
GIVES_ROLES = {"users:write", "organizations:write", "projects:admin"}  # to members, readers of a project
SOME = "personas:read"  # of a key that has quite another permission than is asked for
PERSONAS = (*STRANGERS, *MEMBERS, "key", "other key", "shared")


@dataclass
class Tenancy:
    """`ids` are the names that rows use; `hidden` has the same of the project that is not shared."""

    organization: Organization
    shared: World
    hidden: World
    boss: User
    people: dict[str, User] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)
    hidden_ids: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def client(self, persona: str, permission: str) -> Client:
        """The persona's browser, or a program with a key that has the permission (or quite another)."""
        if persona == "key":
            return Client(
                raise_request_exception=False,
                headers={"x-api-key": self.keys.get(permission, self.keys[SOME])},
            )
        if persona == "other key":
            other = SOME if not permission.startswith("personas:") else "motivations:read"
            return Client(raise_request_exception=False, headers={"x-api-key": self.keys[other]})
        client = Client(raise_request_exception=False)
        client.cookies = SimpleCookie(self.cookies[persona])
        return client

    def key_add(self, permission: str) -> None:
        """A key that may do this, and read what it does it to; and all of a role, where it gives roles."""
        scopes = {permission, f"{permission.partition(':')[0]}:read"}
        if permission in GIVES_ROLES:
            scopes.update(permissions_of(Role.USER))
        _, self.keys[permission] = key_create(
            user=self.people["key"],
            organization=self.organization,
            name=f"{HIDDEN} key",
            scopes=scopes,
            maker=self.boss,
        )

    def add(self, name: str, find: Callable[[World], Any]) -> None:
        """Name something that both projects have."""
        self.ids[name], self.hidden_ids[name] = find(self.shared), find(self.hidden)


def tenancy_build(permissions: Iterable[str]) -> Tenancy:
    shared = world_build(SHARED, rows=1)
    organization = shared.organization
    hidden = world_build(HIDDEN, rows=1, organization=organization)
    elsewhere = organization_ensure(name="elsewhere")
    tenancy = Tenancy(organization, shared, hidden, boss=shared.staff)
    for name in ("stranger", "removed", *MEMBERS, "key", "shared"):
        tenancy.people[name] = User.objects.create_user(f"{SHARED}-{name.replace(' ', '-')}")
    people = tenancy.people
    for name, role in {**MEMBERS, "key": Role.SERVICE, "removed": Role.ADMIN}.items():
        membership_set(user=people[name], organization=organization, role=role)
    membership_remove(membership=people["removed"].memberships.get())
    membership_set(user=people["stranger"], organization=elsewhere, role=Role.ADMIN)
    membership_set(user=people["removed"], organization=elsewhere, role=Role.USER)
    assign_perm("projects.share_user", people["shared"], shared.project)
    for name in ("stranger", "removed"):  # their own names are theirs to see
        User.objects.filter(pk=people[name].pk).update(username=name)
    for name in ("anonymous", "stranger", "removed", *MEMBERS, "shared"):
        client = Client()
        if name != "anonymous":
            client.force_login(people[name])
        tenancy.cookies[name] = client.cookies.output(header="", sep=";")
    for permission in {SOME, "motivations:read", *permissions}:
        tenancy.key_add(permission)
    tenancy.add("organization", lambda world: world.organization.pk)
    tenancy.add("project", lambda world: world.project.pk)
    tenancy.add("bead", lambda world: world.beads[0].pk)
    tenancy.add("bead_key", lambda world: world.beads[0].key)
    tenancy.add("decision", lambda world: world.decisions[0].pk)
    tenancy.add("agent", lambda world: world.agent.pk)
    tenancy.add("session", lambda world: world.sessions[0].pk)
    for grow in GROWERS:
        grow(tenancy)
    mark(shared.project, SHARED)
    mark(hidden.project, HIDDEN)
    return tenancy


WAYS = ("project", "bead__project", "session__project", "decision__project", "claim__bead__project")
WORDS = {
    "title",
    "description",
    "question",
    "context",
    "text",
    "comments",
    "output",
    "subject",
    "body",
    "error",
}


def mark(project: Project, marker: str) -> None:
    """Write the marker into all words of the project's rows, so that a byte of them can be told."""
    for model in apps.get_models():
        if (rows := _rows_of(project, model)) is None:
            continue
        for row in rows:
            if changed := dict(_marked(row, marker)):
                model._base_manager.filter(pk=row.pk).update(**changed)


def _marked(row: Model, marker: str) -> Iterator[tuple[str, Any]]:
    for column in row._meta.concrete_fields:
        if not (value := getattr(row, column.attname)):
            continue
        if isinstance(column, JSONField):
            yield column.attname, json.loads(json.dumps(value).replace("links", f"{marker}links"))
        elif column.name in WORDS and isinstance(column, TextField | CharField):
            yield column.attname, f"{marker} {value}"[: column.max_length]


def _rows_of(project: Project, model: type[Model]) -> QuerySet[Any] | None:
    names = {field.name for field in model._meta.get_fields()}
    if "project_id" in names:
        return model._base_manager.filter(project_id=project.pk)
    for way in WAYS:
        with suppress(FieldError):
            return model._base_manager.filter(**{way: project})
    return None
