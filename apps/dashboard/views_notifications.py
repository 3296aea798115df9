"""What was told to a person, what they want to hear of, and what was sent to them."""

from __future__ import annotations

import zlib
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from apps.activity.models import Delivery, Notification, Priority
from apps.activity.services import (
    delivery_retry,
    delivery_test,
    notification_mark,
    notifications_mark_read,
    preferences_of,
    preferences_update,
    webhook_secret_renew,
)
from apps.core.errors import LoomError
from apps.dashboard import queries
from apps.dashboard.forms_told import PreferencesForm
from apps.dashboard.pages import act, found, number_in, page, page_told_by, query_of, sent, show
from apps.projects.models import Project

PER_PAGE = 50
DELIVERIES = 30
Status = Notification.Status
MARKS: Final = {"read": Status.READ, "unread": Status.UNREAD, "archive": Status.ARCHIVED}
SHOWN: Final = {"": "All", "unread": "Unread", "archived": "Archived"}


@page
def notifications(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    rows: QuerySet[Notification] = Notification.objects.for_user(user)
    asked = {name: request.GET.get(name, "") for name in ("show", "rule", "priority", "project")}
    shown = Paginator(_filtered(rows, asked).order_by("-id"), PER_PAGE).get_page(request.GET.get("page"))
    names = dict(Project.objects.filter(pk__in={row.project_id for row in shown}).values_list("pk", "name"))
    context = {
        "shown": shown,
        "days": _days(list(shown), names, ZoneInfo(preferences_of(user).time_zone)),
        "asked": asked,
        "query": query_of(**asked),
        "is_filtered": any(asked.values()),
        "tabs": SHOWN,
        "rules": Notification.Rule.choices,
        "priorities": list(reversed(Priority.values)),
    }
    return show(request, "dashboard/notifications.html", context)


def _filtered(rows: QuerySet[Notification], asked: dict[str, str]) -> QuerySet[Notification]:
    if asked["show"] in {Status.UNREAD, Status.ARCHIVED}:
        rows = rows.filter(status=asked["show"])
    else:
        rows = rows.exclude(status=Status.ARCHIVED)
    for name, known in (("rule", Notification.Rule.values), ("priority", Priority.values)):
        if asked[name]:
            rows = rows.filter(**{name: asked[name]}) if asked[name] in known else rows.none()
    return rows.filter(project_id=number_in(asked["project"])) if asked["project"] else rows


def _days(
    rows: list[Notification], names: dict[int, str], zone: ZoneInfo
) -> list[tuple[str, list[tuple[Notification, str]]]]:
    """By the days of the person's own time zone, each with the name of its project."""
    today = timezone.now().astimezone(zone).date()
    groups = groupby(rows, lambda row: row.created_at.astimezone(zone).date())
    return [
        (_day(day, today), [(row, names.get(row.project_id or 0, "")) for row in group])
        for day, group in groups
    ]


def _day(day: date, today: date) -> str:
    near = {today: "Today", today - timedelta(days=1): "Yesterday"}
    return near.get(day) or f"{day:%A, %-d %B}" + (f" {day.year}" if day.year != today.year else "")


@page
def notification(request: HttpRequest, *, notification_id: int) -> HttpResponse:
    """Leads to what it is about; who went there has read it."""
    user: Any = request.user
    row: Notification = found(Notification.objects.for_user(user), pk=notification_id)
    if row.status == Status.UNREAD:
        notification_mark(user=user, notification_id=row.pk, status=Status.READ)
    return HttpResponseRedirect(row.link or reverse("notifications"))


@act
def notifications_read(request: HttpRequest) -> str:
    user: Any = request.user
    count = notifications_mark_read(user=user)
    return f"{count} marked as read."


@act
def notification_marks(request: HttpRequest, *, notification_id: int, word: str) -> None:
    user: Any = request.user
    row: Notification = found(Notification.objects.for_user(user), pk=notification_id)
    if word not in MARKS:
        raise Http404
    notification_mark(user=user, notification_id=row.pk, status=MARKS[word])
    if word == "archive":
        earlier = "unread" if row.status == Status.UNREAD else "read"
        undo = reverse("notifications-mark", args=[row.pk, earlier])
        messages.success(request, f"Archived: {row.title}", extra_tags=f"undo={undo}")


# -- How one is told -------------------------------------------------------------------------------------


def _news(request: HttpRequest) -> str:
    """Changes with the deliveries too, of which nobody else is told."""
    user: Any = request.user
    sent = _deliveries(user).values_list("pk", "status", "attempts", "due_at", "ended_at")
    return f"{queries.newest_event(user)}.{zlib.crc32(repr(list(sent[:DELIVERIES])).encode())}"


def _deliveries(user: Any) -> QuerySet[Delivery]:
    rows: QuerySet[Delivery] = Delivery.objects.for_user(user).order_by("-id")
    return rows


@page_told_by(_news)
def preferences(request: HttpRequest) -> HttpResponse:
    return _show_preferences(request)


def _show_preferences(
    request: HttpRequest, form: PreferencesForm | None = None, *, secret: str = "", status: int = 200
) -> HttpResponse:
    user: Any = request.user
    row, projects = preferences_of(user), queries.projects_of(user)
    sent = list(_deliveries(user)[:DELIVERIES])
    under_way = {Delivery.Status.PENDING, Delivery.Status.SENDING}
    context = {
        "form": form or PreferencesForm.of(row, projects),
        "preferences": row,
        "sent": sent,
        "waits": any(one.status in under_way and one.is_test for one in sent),
        "secret": secret,
    }
    return show(request, "dashboard/told.html", context, status)


@sent
def preferences_save(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    form = PreferencesForm(request.POST, projects=queries.projects_of(user))
    if form.is_valid():
        try:
            preferences_update(user=user, fields=form.preferences(preferences_of(user)))
        except LoomError as error:
            field = error.details.get("field")
            field = {"subscribed_events": "other_events"}.get(str(field), field)
            form.add_error(field if field in form.fields else None, error.told)
        else:
            messages.success(request, "Saved.")
            return HttpResponseRedirect(reverse("notifications-preferences"))
    return _show_preferences(request, form, status=400)


@sent
def secret_renew(request: HttpRequest) -> HttpResponse:
    """A new secret of one's webhooks; it is on this answer and nowhere else."""
    user: Any = request.user
    return _show_preferences(request, secret=webhook_secret_renew(user=user))


@act
def test_send(request: HttpRequest) -> str:
    user: Any = request.user
    planned = delivery_test(user=user, channel=request.POST.get("channel", ""))
    return f"A test {planned.get_channel_display().lower()} is on its way; below you see what comes of it."


@act
def delivery_retries(request: HttpRequest, *, delivery_id: int) -> str:
    row: Delivery = found(_deliveries(request.user), pk=delivery_id)
    delivery_retry(delivery=row, actor=str(request.user))
    return "It is sent once more."
