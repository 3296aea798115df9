"""Which events concern whom, and how that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse

from apps.accounts.models import Role, User
from apps.accounts.permissions import roles_with
from apps.activity.models import Notification, Priority
from apps.decisions.voters import people_named
from apps.events.models import Event
from apps.projects.sharing import people_in

Rule = Notification.Rule
BY_NUMBER: Final = {0: Priority.CRITICAL, 1: Priority.HIGH, 2: Priority.NORMAL, 3: Priority.NORMAL}


@dataclass(frozen=True)
class Notice:
    """What is told to `people` about an event."""

    rule: Notification.Rule
    title: str
    message: str
    people: QuerySet[User]
    priority: Priority = Priority.NORMAL
    link: str = ""  # the page of what it is about


RULES: dict[str, Callable[[Event], Notice | None]] = {}


def rule(*kinds: str) -> Callable[[Callable[[Event], Notice | None]], Callable[[Event], Notice | None]]:
    def register(function: Callable[[Event], Notice | None]) -> Callable[[Event], Notice | None]:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def notice_of(event: Event) -> Notice | None:
    found = RULES.get(event.kind)
    return found(event) if found is not None else None


@rule("decision.created")
def _decision(event: Event) -> Notice | None:
    """Questions for a person, and votes that are asked of people by name."""
    people = _with(event, "decisions:write")
    if not event.data.get("needs_person"):
        people = people_named(people, event.data.get("voters") or [])
    title = "Your vote is asked for" if event.data.get("voters") else "A decision waits for you"
    return Notice(
        Rule.DECISION, title, _text(event, "question"), people, _priority(event), _decision_page(event)
    )


@rule("decision.escalated")
def _escalated(event: Event) -> Notice | None:
    if event.data.get("to") != "ceo":
        return None
    people = _with(event, "decisions:write")
    title, said = "A decision was passed on to people", _text(event, "question")
    return Notice(Rule.DECISION, title, said, people, Priority.HIGH, _decision_page(event))


@rule("bead.assigned")
def _assigned(event: Event) -> Notice | None:
    if event.data.get("assigned_to") == event.actor:
        return None  # whoever takes something knows it; agents do so all the time
    people = _members(event).filter(username=str(event.data.get("assigned_to", "")))
    title = f"{_text(event, 'bead_id')} was assigned to you"
    return Notice(Rule.ASSIGNED, title, _text(event, "title"), people, _priority(event), _bead_page(event))


@rule("mention.created")
def _mentioned(event: Event) -> Notice | None:
    people = _members(event).filter(username=str(event.data.get("username", "")))
    title = f"{event.actor or 'Somebody'} mentioned you in {_text(event, 'bead_id')}"
    link = _bead_page(event)
    if link and (comment := _text(event, "comment_id")):
        link += f"#comment-{comment}"
    return Notice(Rule.MENTION, title, _text(event, "content"), people, Priority.HIGH, link)


@rule("bead.created")
def _urgent(event: Event) -> Notice | None:
    if event.data.get("priority") != 0:
        return None
    title = f"{_text(event, 'bead_id')} is critical"
    people, said = _with(event, "beads:write"), _text(event, "title")
    return Notice(Rule.CRITICAL, title, said, people, Priority.CRITICAL, _bead_page(event))


@rule("bead.blocked")
def _blocked(event: Event) -> Notice | None:
    title = f"{_text(event, 'bead_id')} cannot go on without a person"
    said = _text(event, "reason") or _text(event, "title")
    return Notice(Rule.CRITICAL, title, said, _with(event, "beads:write"), Priority.HIGH, _bead_page(event))


@rule("log.message")
def _system(event: Event) -> Notice | None:
    """What operators were told: administrators of the organization, or of the installation."""
    level = str(event.data.get("level", ""))
    if level not in {"warning", "error"}:
        return None
    priority = Priority.HIGH if level == "error" else Priority.NORMAL
    title = "Loom reports an error" if level == "error" else "Loom warns"
    link = _project_page(event) or _page("logs")
    return Notice(Rule.SYSTEM, title, _text(event, "message"), _administrators(event), priority, link)


@rule("deadline.passed", "deadline.approaching")
def _deadline(event: Event) -> Notice | None:
    title = "A deadline has passed" if event.kind == "deadline.passed" else "A deadline comes near"
    said = _text(event, "title") or event.subject
    link = _bead_page(event) or _project_page(event) or _page("motivations")
    return Notice(Rule.CRITICAL, title, said, _with(event, "beads:write"), Priority.HIGH, link)


def _bead_page(event: Event) -> str:
    """The bead an event names, else the project's page."""
    key = _text(event, "bead_id") or event.subject.removeprefix("bead:") * event.subject.startswith("bead:")
    return _page("bead", key) if key else _project_page(event)


def _decision_page(event: Event) -> str:
    number = _text(event, "decision_id") or event.subject.removeprefix("decision:")
    return _page("decision", int(number)) if number.isdecimal() else _page("decisions")


def _project_page(event: Event) -> str:
    return _page("project", event.project_id) if event.project_id is not None else ""


def _page(name: str, *key: str | int) -> str:
    """Pages are known by name here: they are above this app. An odd key has none."""
    try:
        return reverse(name, args=key)
    except NoReverseMatch:
        return ""


def _members(event: Event) -> QuerySet[User]:
    """All people of the organization, and those with whom the project is shared."""
    return _people(event, list(Role.values))


def _with(event: Event, permission: str) -> QuerySet[User]:
    return _people(event, roles_with(permission))


def _people(event: Event, roles: list[str]) -> QuerySet[User]:
    return people_in(event.organization_id, event.project_id, roles)


def _administrators(event: Event) -> QuerySet[User]:
    people = User.objects.filter(is_active=True)
    if event.organization_id is None:
        return people.filter(is_superuser=True)
    return _people(event, [Role.ADMIN])


def _priority(event: Event) -> Priority:
    number = event.data.get("priority")
    return BY_NUMBER.get(number, Priority.LOW) if isinstance(number, int) else Priority.NORMAL


def _text(event: Event, key: str) -> str:
    return str(event.data.get(key, ""))[:2000]
