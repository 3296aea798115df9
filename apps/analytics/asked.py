"""What the routes of analytics understand: which calls, of which time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from apps.accounts.api import TenantViewSet
from apps.agents.models import Session
from apps.analytics.ledger import GROUPINGS
from apps.core import api_lists
from apps.core.api import query_number
from apps.core.errors import BadInput
from apps.providers.models import Call

PERIODS = {"1h": 1, "24h": 24, "7d": 24 * 7, "30d": 24 * 30, "90d": 24 * 90, "365d": 24 * 365}  # hours
GROUPS = ("user", *GROUPINGS)


def of_users(rows: QuerySet[Call], wanted: list[str]) -> QuerySet[Call]:
    """By the ids that `user_id` has: people's, and `agent-<id>`."""
    people = [int(one) for one in wanted if _is_number(one)]
    agents = [int(one[6:]) for one in wanted if one.startswith("agent-") and _is_number(one[6:])]
    sessions = Session.objects.filter(agent_id__in=agents).values("pk")
    named = [one for one in wanted if not _is_number(one) and not one.startswith("agent-")]
    others = Q(user_id=None, session_id=None, purpose__in=named)
    return rows.filter(Q(user_id__in=people) | Q(user_id=None, session_id__in=sessions) | others)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def of_period(rows: QuerySet[Call], hours: int) -> QuerySet[Call]:
    return rows.filter(created_at__gte=timezone.now() - timedelta(hours=hours))


def _period(name: str, text: str) -> int:
    if text not in PERIODS:
        raise BadInput(f"{name} is one of: {', '.join(PERIODS)}.", details={"field": name})
    return PERIODS[text]


FILTERS: dict[str, api_lists.Filter] = {
    "provider_id": api_lists.numbers("provider_id"),
    "project_id": api_lists.numbers("project_id"),
    "user_id": api_lists.words(of_users, help="People's ids, and `agent-<id>`."),
    "model": api_lists.words("model"),
    "purpose": api_lists.words("purpose", help="Such as work, review, plan, chat."),
    "status": api_lists.words("status", choices=Call.Status.values),
    "period": api_lists.Filter(
        of_period, _period, {"type": "string", "enum": list(PERIODS)}, "Up to now, where no times are given."
    ),
    "start_time": api_lists.moment("created_at__gte", help="Not earlier."),
    "end_time": api_lists.moment("created_at__lte", help="Not later."),
}


def parameters(*more: OpenApiParameter) -> list[OpenApiParameter]:
    """FILTERS for the schema, and a route's own."""
    told = []
    for name, each in FILTERS.items():
        is_list = each.schema.get("type") == "array"
        style: dict[str, Any] = {"style": "form", "explode": False} if is_list else {}
        told.append(OpenApiParameter(name, dict(each.schema), description=each.help, **style))
    return [*told, *more]


GROUP_BY = OpenApiParameter(
    "group_by", str, enum=GROUPS, description="Adds `groups`: the figures of each, the costliest first."
)


class LedgerViewSet(TenantViewSet):
    """Reads the ledger's calls that one may see."""

    resource = "analytics"
    organization_path = "organization_id"
    list_is_object = True
    list_actions: frozenset[str] = frozenset()

    def get_queryset(self) -> QuerySet[Call]:
        return Call.objects.for_user(self.request.user)

    def calls(self, *known: str) -> QuerySet[Call]:
        """Those that the query string asks for; `known` are parameters of the route itself."""
        rows = self.filter_queryset(self.get_queryset())
        return api_lists.rows_narrow(self.request, rows, FILTERS, known=known)

    def group_by(self) -> str:
        asked = self.request.query_params.get("group_by", "")
        if asked and asked not in GROUPS:
            raise BadInput(f"group_by is one of: {', '.join(GROUPS)}.", details={"field": "group_by"})
        return asked


def span_of(request: Request, first: datetime | None, last: datetime | None) -> dict[str, datetime | None]:
    """The time that was asked for; where none was, that of the calls there are."""
    asked = request.query_params
    start, end = (
        api_lists.read_moment(name, asked[name]) if asked.get(name, "").strip() else None
        for name in ("start_time", "end_time")
    )
    if start is None and (text := asked.get("period", "").strip()):
        start = timezone.now() - timedelta(hours=PERIODS[text])
        end = end or timezone.now()
    return {"start": start or first, "end": end or last}


def number(request: Request, name: str, *, default: int, least: int = 1, most: int) -> int:
    """A whole number of the query string; more than `most` gives `most`."""
    found = query_number(request, name, default=default, least=least)
    return min(default if found is None else found, most)
