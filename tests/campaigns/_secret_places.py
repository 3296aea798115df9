"""Where a secret could show: all that is kept, sent, logged and served, as text."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from apps.agents.models import Evidence, Session, Turn
from apps.beads.interchange import beads_write
from apps.beads.models import Bead
from apps.core.masking import Masker
from apps.events.models import Event

PAGES = 12  # rows of a model whose own pages are looked at


class Finder:
    """Finds canaries in any spelling; independent of what is masked."""

    def __init__(self, canaries: dict[str, str]) -> None:
        self.forms = [(name, form) for name, value in canaries.items() for form, _ in Masker([value]).forms]

    def found(self, text: str) -> set[str]:
        squeezed = "".join(text.split())
        return {name for name, form in self.forms if form in squeezed}


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What the platform's own log format makes of everything that is logged."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    configured: Any = settings.LOGGING
    given = configured["formatters"]["line"]
    handler.setFormatter(import_string(given["()"])(given["format"]))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)


def kept() -> Iterator[tuple[str, str]]:
    """(place, text) of every row of every table."""
    for model in (model for model in apps.get_models() if model._meta.managed):
        for row in model._default_manager.values():
            yield _place(model), json.dumps(row, default=str, ensure_ascii=False)


def _place(model: type[Model]) -> str:
    named = {Event: "events", Evidence: "evidence", Turn: "turns", Session: "prompts"}
    return next((place for of, place in named.items() if model is of), "tables")


def exported(folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / "beads.jsonl"
    beads_write(Bead.objects.all(), path)
    yield "exports", path.read_text()


def served(client: Client) -> Iterator[tuple[str, str]]:
    """Answers of the API and pages, of the whole installation as an operator sees it."""
    for path in _plain_paths():
        yield ("api" if path.startswith("/api/") else "pages"), _get(client, path)
    for model in (model for model in admin.site._registry if model._meta.managed):
        page = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        yield "admin", _get(client, page)
        for key in list(model._default_manager.order_by("-pk").values_list("pk", flat=True)[:PAGES]):
            yield "admin", _get(client, f"{page}{key}/change/")
    yield from _details(client)


def _details(client: Client) -> Iterator[tuple[str, str]]:
    for path in [path for path in _plain_paths() if path.startswith("/api/")]:
        with suppress(ValueError):
            rows = json.loads(_get(client, path) or "[]")
            keys = [row["id"] for row in rows if "id" in row] if isinstance(rows, list) else []
            for key in keys[:PAGES]:
                yield "api", _get(client, f"{path}/{key}")
    for bead in Bead.objects.all():
        for part in ("", "changes/", "evidence/"):
            yield "pages", _get(client, f"/beads/{bead.key}/{part}")
    for session in Session.objects.all():
        yield "pages", _get(client, f"/sessions/{session.pk}/")


def _get(client: Client, path: str) -> str:
    response = client.get(path)
    if getattr(response, "streaming", False):
        response.close()
        return ""
    return response.content.decode("utf-8", "replace") if response.status_code == 200 else ""


def _plain_paths() -> Iterator[str]:
    """Addresses that take no parameter and end."""
    for path in _paths(get_resolver().url_patterns, "/"):
        if "<" not in path and "(?P" not in path and "stream" not in path and not path.startswith("/admin"):
            yield path.replace("^", "").replace("$", "").replace("\\.", ".").replace("\\Z", "")


def _paths(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for one in patterns:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _paths(one.url_patterns, path)
        else:
            yield path
