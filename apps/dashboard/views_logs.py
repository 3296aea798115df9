"""The log: live, filtered by its address, stopped at a line, or around one."""

from __future__ import annotations

from dataclasses import replace

from django.http import Http404, HttpRequest, HttpResponse

from apps.activity.models import LogEntry
from apps.core.storable import storable_text
from apps.dashboard import queries, queries_logs
from apps.dashboard.pages import number_in, page_told_by, project_chosen, query_of, show
from apps.dashboard.queries_logs import Wanted

TEXT_CHARS = 200


def _wanted(request: HttpRequest) -> Wanted:
    given = request.GET
    level = given.get("level", "")
    return Wanted(
        level=level if level in queries_logs.LEVELS else "debug",
        source=storable_text(given.get("source", "").strip()[:80]),
        text=storable_text(given.get("text", "").strip()[:TEXT_CHARS]),
        project=project_chosen(request),
        agent=number_in(given.get("agent", "")),
        upto=number_in(given.get("upto", "")),
        before=number_in(given.get("before", "")),
        line=number_in(given.get("line", "")),
    )


def _newest(request: HttpRequest) -> str:
    """A page that was stopped at a line does not change with the log."""
    wanted = _wanted(request)
    is_live = not (wanted.upto or wanted.before or wanted.line)
    newest = queries_logs.newest_line(request.user) if is_live else 0
    return f"{queries.newest_event(request.user)}-{newest}"


@page_told_by(_newest)
def logs(request: HttpRequest) -> HttpResponse:
    wanted = _wanted(request)
    lines, has_older = queries_logs.lines_of(request.user, wanted)
    if wanted.line and not any(line.entry.pk == wanted.line for line in lines):
        raise Http404
    levels = LogEntry.Level.values
    context = {
        "wanted": wanted,
        "chosen": wanted.project,
        "lines": lines,
        "older": lines[-1].entry.pk if has_older else 0,
        "newest": lines[0].entry.pk if lines else 0,
        "is_live": not (wanted.upto or wanted.before or wanted.line),
        "query": _query(replace(wanted, upto=0, before=0, line=0)),
        "levels": list(queries_logs.LEVELS.items()),
        "sources": queries_logs.sources(),
        "agents": queries_logs.agents_of(request.user, wanted.project),
        "export": query_of(
            format="csv",
            level=",".join(levels[levels.index(wanted.level) :]) if wanted.level != "debug" else "",
            search=wanted.text,
            project_id=wanted.project.pk if wanted.project else "",
            agent_id=wanted.agent or "",
        ),
    }
    return show(request, "dashboard/logs.html", context)


def _query(wanted: Wanted) -> str:
    return query_of(
        level=wanted.level if wanted.level != "debug" else "",
        source=wanted.source,
        text=wanted.text,
        project=wanted.project.pk if wanted.project else "",
        agent=wanted.agent,
    )
