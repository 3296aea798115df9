"""What a project's agents have learned: read, corrected, put aside."""

from __future__ import annotations

from collections.abc import Callable

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.agents.lesson_models import Lesson
from apps.agents.lesson_search import strength
from apps.agents.lessons import lesson_create, lesson_delete, lesson_update
from apps.core.storable import storable_text
from apps.dashboard.pages import act, found, may_in, page, project_found, query_of, require_in, show

PER_PAGE = 40
TEXT_CHARS = 2_000
STATES = {"active": "Told to agents", "aside": "Put aside", "all": "All"}


@page
def lessons(request: HttpRequest, *, project_id: int) -> HttpResponse:
    project = project_found(request, project_id)
    state, text = request.GET.get("state", "active"), storable_text(request.GET.get("text", "").strip()[:200])
    rows = Lesson.objects.filter(project=project).prefetch_related("sources__bead")
    if state in {"active", "aside"}:
        rows = rows.filter(is_active=state == "active")
    if text:
        rows = rows.filter(text__icontains=text)
    shown = Paginator(rows.order_by("-is_pinned", "-refreshed_at", "-id"), PER_PAGE).get_page(
        request.GET.get("page")
    )
    now = timezone.now()
    context = {
        "project": project,
        "shown": shown,
        "rows": [(row, round(100 * strength(row, now)), _sources(row)) for row in shown],
        "state": state,
        "text": text,
        "states": list(STATES.items()),
        "query": query_of(state=storable_text(state), text=text),
        "edited": request.GET.get("edit", ""),
        "may_write": may_in(request, "projects:write", project),
        "may_delete": may_in(request, "projects:delete", project),
    }
    return show(request, "dashboard/lessons.html", context)


def _sources(lesson: Lesson) -> list[str]:
    """Keys of the beads that taught it."""
    return list(dict.fromkeys(one.bead.key for one in lesson.sources.all() if one.bead))[:3]


@act
def lesson_add(request: HttpRequest, *, project_id: int) -> str:
    project = project_found(request, project_id)
    require_in(request, "projects:write", project)
    lesson_create(
        project=project,
        text=request.POST.get("text", "")[:TEXT_CHARS],
        is_pinned="is_pinned" in request.POST,
        actor=str(request.user),
    )
    return "Agents are told it from their next session on."


def _with_lesson(
    does: Callable[[HttpRequest, Lesson], str], permission: str = "projects:write"
) -> Callable[..., HttpResponse]:
    @act
    def view(request: HttpRequest, *, lesson_id: int) -> str:
        lesson = found(Lesson.objects.for_user(request.user).select_related("project"), pk=lesson_id)
        require_in(request, permission, lesson.project)
        return does(request, lesson)

    return view


def _edit(request: HttpRequest, lesson: Lesson) -> str:
    lesson_update(lesson=lesson, actor=str(request.user), text=request.POST.get("text", "")[:TEXT_CHARS])
    return "The lesson is changed."


def _switch(request: HttpRequest, lesson: Lesson) -> str:
    is_told = not lesson.is_active
    lesson_update(lesson=lesson, actor=str(request.user), is_active=is_told)
    return "It is told again." if is_told else "It is put aside: told to nobody, and not learned again."


def _pin(request: HttpRequest, lesson: Lesson) -> str:
    is_pinned = not lesson.is_pinned
    lesson_update(lesson=lesson, actor=str(request.user), is_pinned=is_pinned)
    return "It is told to everybody, and never fades." if is_pinned else "It fades again like others."


def _remove(request: HttpRequest, lesson: Lesson) -> str:
    lesson_delete(lesson=lesson, actor=str(request.user))
    return "The lesson is deleted; it may be learned again."


lesson_edits, lesson_switches, lesson_pins = _with_lesson(_edit), _with_lesson(_switch), _with_lesson(_pin)
lesson_removes = _with_lesson(_remove, "projects:delete")
