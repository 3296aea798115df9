"""What the palette finds: pages, projects, beads and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.urls import reverse

from apps.beads.models import Bead
from apps.decisions.models import Decision
from apps.projects.models import Project

EACH = 8
PAGES = (
    ("Home", "home"),
    ("Needs me", "decisions"),
    ("Company, Ask Loom", "ceo"),
    ("Activity", "activity"),
    ("Pair with an agent", "pairings"),
    ("Conversations", "conversations"),
    ("Logs", "logs"),
    ("Agents", "agents"),
    ("Personas", "personas"),
    ("Runs", "runs"),
    ("Cost", "analytics"),
    ("Models", "providers"),
    ("Connect a model", "provider-new"),
    ("Notifications", "notifications"),
    ("People and keys", "people"),
    ("Workflows", "workflows"),
    ("Motivations", "motivations"),
    ("New project", "project-new"),
    ("Look of the pages", "design"),
)


@dataclass(frozen=True)
class Hit:
    text: str
    address: str
    note: str = ""


def found(user: Any, wanted: str) -> list[tuple[str, list[Hit]]]:
    """Groups with their hits, without empty groups."""
    wanted = wanted.strip()[:100]
    pages = [Hit(text, reverse(name)) for text, name in PAGES if wanted.lower() in text.lower()]
    groups = [
        ("Beads", _beads(user, wanted) if wanted else []),
        ("Projects", _projects(user, wanted)),
        ("Decisions", _decisions(user, wanted) if wanted else []),
        ("Pages", pages),
    ]
    return [(name, hits) for name, hits in groups if hits]


def _projects(user: Any, wanted: str) -> list[Hit]:
    rows = Project.objects.for_user(user).filter(name__icontains=wanted).order_by("-id")
    return [Hit(name, reverse("project", args=[pk])) for pk, name in rows.values_list("pk", "name")[:EACH]]


def _beads(user: Any, wanted: str) -> list[Hit]:
    rows = Bead.objects.for_user(user).filter(Q(title__icontains=wanted) | Q(key__istartswith=wanted))
    return [
        Hit(title, reverse("bead", args=[key]), key)
        for key, title in rows.order_by("-id").values_list("key", "title")[:EACH]
    ]


def _decisions(user: Any, wanted: str) -> list[Hit]:
    rows = Decision.objects.for_user(user).filter(question__icontains=wanted).order_by("-id")
    return [
        Hit(question[:120], reverse("decision", args=[pk]), status)
        for pk, question, status in rows.values_list("pk", "question", "status")[:EACH]
    ]
