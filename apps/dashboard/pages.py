"""What every page shares: login, the frame around it, staying current, and answering what was sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.models import Organization
from apps.accounts.permissions import permission_holds
from apps.agents.sandbox import sandbox_status
from apps.core.errors import LoomError
from apps.core.tenancy import circle_read
from apps.core.watching import pages_seen
from apps.dashboard import queries
from apps.dashboard.queries_questions import waiting_count
from apps.projects.models import Project

STREAM = "/api/v1/events/stream"
SEEN = "X-Loom-Seen"
PART = "X-Loom-Part"

View = Callable[..., HttpResponse]


def page_told_by(newest: Callable[[HttpRequest], object]) -> Callable[[View], View]:
    """A page behind login. A script that has seen what is `newest` gets 204 instead of the page again."""

    def decorated(view: View) -> View:
        @never_cache
        @require_safe
        @login_required
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            pages_seen()
            circle_read(request.user)
            seen = str(newest(request))
            if request.headers.get(SEEN) == seen:
                return HttpResponse(status=204)
            request.META["loom.seen"] = seen
            return view(request, *args, **kwargs)

        return answer

    return decorated


page = page_told_by(lambda request: queries.newest_event(request.user))


def sent(view: View) -> View:
    """Something that is sent by somebody logged in; the view answers itself."""
    return never_cache(require_POST(login_required(view)))


def act(view: Callable[..., str | None]) -> View:
    """Something that is sent: the view calls a service and says what was done; refusals are told too.

    Answers with the page it was sent from. Objects that the person may not see or change are 404.
    """

    @sent
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            said = view(request, *args, **kwargs)
        except LoomError as error:
            messages.error(request, error.told)
        else:
            if said:
                messages.success(request, said)
        return HttpResponseRedirect(back(request))

    return answer


def with_undo(request: HttpRequest, said: str, address: str) -> str | None:
    """What an act says, with the address that takes it back, if there is one."""
    if not address:
        return said
    messages.success(request, said, extra_tags=f"undo={address}")
    return None


def show(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """The page with its frame; only what can change of it when a script asks for that part."""
    told = {
        "is_part": request.headers.get(PART) == "app",
        # What was done is told to who did it: not to a refresh that happens to come before their answer.
        "is_refresh": SEEN in request.headers,
        # What answers a form has no address of its own: it is not read anew, and its forms lead to where
        # it came from.
        "is_still": request.method == "POST",
        "here": back(request) if request.method == "POST" else request.get_full_path(),
    }
    return render(request, template, {**frame(request, context), **told, **context}, status=status)


def frame(request: HttpRequest, known: dict[str, Any]) -> dict[str, Any]:
    """What stands around every page; projects that the page has read already are not read again."""
    return {
        "seen": request.META.get("loom.seen") or str(queries.newest_event(request.user)),
        "rail_projects": known.get("rail_projects") or queries.projects_named(request.user),
        "waiting_count": waiting_count(request.user),
        "unread_count": queries.unread_count(request.user),
        "sandbox": sandbox_status(),
        "stream": stream_address(),
    }


@cache
def stream_address() -> str:
    """Where the page hears of changes; empty where there is no stream, and the page asks by the clock."""
    try:
        resolve(STREAM)
    except Resolver404:
        return ""
    return STREAM


def number_in(text: str) -> int:
    """The number that part of an address or form says; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def query_of(**wanted: str | int) -> str:
    """The part of an address behind `?`, without what is empty."""
    return urlencode({name: value for name, value in wanted.items() if value})


def project_chosen(request: HttpRequest) -> Project | None:
    """The project that `?project=` asks for, if it is one that the person may see."""
    rows = Project.objects.for_user(request.user).defer("prd")
    return rows.filter(pk=number_in(request.GET.get("project", ""))).first()


def found(rows: QuerySet[Any], **key: Any) -> Any:
    """The row, or a 404."""
    row = rows.filter(**key).first()
    if row is None:
        raise Http404
    return row


def project_found(request: HttpRequest, project_id: int) -> Project:
    rows = Project.objects.for_user(request.user).select_related("organization").defer("prd")
    project: Project = found(rows, pk=project_id)
    return project


def may(
    request: HttpRequest,
    permission: str,
    organization_id: int | None = None,
    project_id: int | None = None,
) -> bool:
    return permission_holds(request.user, permission, organization_id, project_id)


def may_in(request: HttpRequest, permission: str, project: Project) -> bool:
    """In the organization of the project, or in this project because it is shared."""
    return may(request, permission, project.organization_id, project.pk)


def require(
    request: HttpRequest,
    permission: str,
    organization_id: int | None = None,
    project_id: int | None = None,
) -> None:
    """404 for those who may not: they were shown no way to send this."""
    if not may(request, permission, organization_id, project_id):
        raise Http404


def permission_in(
    request: HttpRequest, permission: str, organization: Organization, project: Project | None
) -> bool:
    return may(request, permission, organization.pk, project.pk if project else None)


def require_in(request: HttpRequest, permission: str, project: Project) -> None:
    require(request, permission, project.organization_id, project.pk)


def back(request: HttpRequest, default: str = "home") -> str:
    """Where a form was sent from, if that is a page of ours."""
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if is_ours else reverse(default)
