"""Actions of the admin that cannot be taken back: they say what will happen, and ask first."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

MOST = 200  # rows at once, all of which the page names
SURE = "sure"
PASSED_BY = {SURE, "csrfmiddlewaretoken", "_selected_action", "select_across"}

Action = Callable[[Any, HttpRequest, QuerySet[Any]], Any]


def asks(
    description: str, *, what: str, permission: str = "operate", word: str = ""
) -> Callable[[Action], Action]:
    """An action of this description, done only after a page that tells `what` happens was answered.

    `word` is the field whose value must be typed to be sure; then one row is done at a time.
    """

    def decorate(act: Action) -> Action:
        @admin.action(description=description, permissions=[permission])
        @wraps(act)
        def asked(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
            rows = list(queryset[: MOST + 1])
            if len(rows) > (1 if word else MOST):
                few = "one row" if word else f"{MOST} rows"
                page.message_user(request, f"Choose no more than {few} at once.", messages.ERROR)
                return None
            typed = request.POST.get("typed", "").strip()
            if request.POST.get(SURE) and (not word or (rows and typed == str(getattr(rows[0], word)))):
                return act(page, request, queryset)
            title = str(description).partition(" selected")[0]
            return _ask(page, request, rows, {"title": capfirst(title), "what": what, "word": word})

        return asked

    return decorate


def _ask(page: Any, request: HttpRequest, rows: list[Any], told: dict[str, Any]) -> HttpResponse:
    word = told.pop("word")
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        **told,
        "opts": page.opts,
        "rows": rows,
        "media": page.media,
        "word": str(getattr(rows[0], word)) if word and rows else "",
        "is_wrong": SURE in request.POST,
        # What the action reads besides: the reason that was given, the page to go back to.
        "passed": [
            (name, value) for name, value in request.POST.items() if name not in PASSED_BY | {"typed"}
        ],
        "back": request.POST.get("_object", ""),
    }
    return TemplateResponse(request, "admin/ask.html", context)
