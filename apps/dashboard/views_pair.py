"""Pairing: a person and an agent beside the code."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.agents.lifecycle import agent_spawn
from apps.agents.models import Agent, Persona, Session
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import BadInput, LoomError
from apps.core.storable import storable_text
from apps.dashboard import queries, queries_pair
from apps.dashboard.pages import (
    act,
    back,
    found,
    may_in,
    number_in,
    page,
    page_told_by,
    project_chosen,
    project_found,
    require_in,
    sent,
    show,
)
from apps.pairing.claims import conversation_claim
from apps.pairing.models import Exchange
from apps.pairing.rejecting import change_reject
from apps.pairing.services import conversation_ensure, exchange_ask, exchange_stop
from apps.projects.models import Project

TALK, WORK = "conversations:write", "beads:write"
TITLE_CHARS = 500
CONTEXT_LINES = 400


@page
def pairings(request: HttpRequest) -> HttpResponse:
    """Begin, and what was begun."""
    chosen = project_chosen(request) or _only_project(request)
    team = queries_pair.team_of(chosen) if chosen else []
    may_spawn = chosen is not None and may_in(request, "agents:write", chosen)
    context = {
        "chosen": chosen,
        "project": chosen,
        "team": team,
        "personas": queries_pair.personas_of(chosen, team) if chosen and may_spawn else [],
        "beads": queries_pair.beads_of(chosen) if chosen else [],
        "about": request.GET.get("bead", ""),
        "with_agent": number_in(request.GET.get("agent", "")),
        "talks": queries_pair.talks(request.user, chosen),
        "may_talk": chosen is not None and may_in(request, TALK, chosen),
        "may_write": chosen is not None and may_in(request, WORK, chosen),
    }
    return show(request, "dashboard/pairings.html", context)


def _only_project(request: HttpRequest) -> Project | None:
    mine = queries.projects_of(request.user)
    return mine[0] if len(mine) == 1 else None


@sent
def pair_begin(request: HttpRequest) -> HttpResponse:
    """Open the conversation about a bead with an agent, or the one that there is."""
    project = project_found(request, number_in(request.POST.get("project", "")))
    require_in(request, TALK, project)
    try:
        session = _begun(request, project)
    except LoomError as error:
        messages.error(request, error.told)
        return HttpResponseRedirect(back(request, "pairings"))
    return HttpResponseRedirect(reverse("pairing", args=[session.pk]))


def _begun(request: HttpRequest, project: Project) -> Session:
    wanted = request.POST.get("with", "")
    title = storable_text(request.POST.get("title", "")).strip()[:TITLE_CHARS]
    key = storable_text(request.POST.get("bead", ""))
    if not wanted or not (title or key):
        raise BadInput("Say with whom, and about which bead or what new one.")
    about = None if title else found(Bead.objects.filter(project=project), key=key)
    agent = _agent(request, project, wanted)
    if about is None:
        require_in(request, WORK, project)
        # Deferred: no agent takes it up beside the two of them.
        deferred = Bead.Status.DEFERRED
        about = bead_create(
            project=project, title=title, role=agent.role, status=deferred, actor=str(request.user)
        )
    return conversation_ensure(agent=agent, bead=about, actor=str(request.user))


def _agent(request: HttpRequest, project: Project, wanted: str) -> Agent:
    """One of the team, or a persona that joins it."""
    if wanted.startswith("persona-"):
        require_in(request, "agents:write", project)
        personas = Persona.objects.for_organization(project.organization_id)
        persona = found(personas, pk=number_in(wanted.removeprefix("persona-")))
        return agent_spawn(project=project, persona=persona, actor=str(request.user))
    team = Agent.objects.filter(project=project, retired_at=None).select_related("project")
    agent: Agent = found(team, pk=number_in(wanted))
    return agent


# -- A conversation ------------------------------------------------------------------------------------


def _session(request: HttpRequest, session_id: int) -> Session:
    rows = Session.objects.for_user(request.user).filter(kind=Session.Kind.PAIR)
    rows = rows.select_related("agent", "bead", "project__organization").defer("project__prd")
    session: Session = found(rows, pk=session_id)
    return session


def _newest(request: HttpRequest) -> str:
    session_id = request.resolver_match.kwargs["session_id"] if request.resolver_match else 0
    said = Exchange.objects.for_user(request.user).filter(session=session_id).order_by("-id")
    return f"{queries.newest_event(request.user)}-{said.values_list('pk', 'status').first()}"


@page_told_by(_newest)
def pair(request: HttpRequest, *, session_id: int) -> HttpResponse:
    session = _session(request, session_id)
    words, path = (storable_text(request.GET.get(name, ""))[:1024] for name in ("find", "file"))
    said = queries_pair.said_in(session)
    context = {
        "session": session,
        "project": session.project,
        "bead": session.bead,
        "said": said,
        "is_answering": any(one.is_open for one in said),
        "code": queries_pair.code_of(session, path, words),
        "find": words,
        "proposal": queries_pair.proposal_of(session),
        "budget": queries_pair.budget_of(session.project),
        "is_open": session.status == Session.Status.OPEN,
        "may_talk": may_in(request, TALK, session.project),
        "may_write": may_in(request, WORK, session.project),
    }
    return show(request, "dashboard/pair.html", context)


@act
def pair_say(request: HttpRequest, *, session_id: int) -> None:
    session = _session(request, session_id)
    require_in(request, TALK, session.project)
    user: Any = request.user
    text = storable_text(request.POST.get("text", "")).strip()
    exchange_ask(session=session, person=user, text=text and text + _context(request, session))


def _context(request: HttpRequest, session: Session) -> str:
    """The lines that the person points at, in words for the agent; nothing if none."""
    given = request.POST
    path = storable_text(given.get("path", ""))[:1024]
    first, last = (number_in(given.get(name, "").strip()) for name in ("first", "last"))
    if not path or not given.get("about"):
        return ""
    if not first:
        return f"\n\nAbout `{path}`."
    last = min(max(first, last or first), first + CONTEXT_LINES - 1)
    lines = queries_pair.lines_of(session, path, first, last)
    if not lines:
        raise BadInput(f"{path} has no line {first}.")
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    last = first + len(lines) - 1
    where = f"lines {first} to {last}" if last > first else f"line {first}"
    return "\n\n" + "\n".join([f"About `{path}`, {where}:", "", fence, *lines, fence])


@act
def pair_stop(request: HttpRequest, *, session_id: int) -> str:
    session = _session(request, session_id)
    require_in(request, TALK, session.project)
    exchange = session.exchanges.order_by("-id").first()
    if exchange is None or not exchange_stop(exchange=exchange, actor=str(request.user)):
        return "The answer had ended already."
    return "The answer is stopped; what was generated is paid for."


@act
def pair_apply(request: HttpRequest, *, session_id: int) -> str:
    """Have the change proven, reviewed and merged as the bead's work."""
    session = _session(request, session_id)
    require_in(request, WORK, session.project)
    require_in(request, TALK, session.project)
    summary = storable_text(request.POST.get("summary", "")).strip()[:5000]
    claim = conversation_claim(session=session, summary=summary, actor=str(request.user))
    return f"The change is claimed for {claim.bead.key}: its checks run now, then it is reviewed and merged."


@act
def pair_reject(request: HttpRequest, *, session_id: int) -> str:
    session = _session(request, session_id)
    require_in(request, WORK, session.project)
    require_in(request, TALK, session.project)
    paths = [path for path in request.POST.getlist("path") if path]
    gone = change_reject(session=session, paths=paths, actor=str(request.user))
    what = f"{gone[0]} is as it was" if len(gone) == 1 else f"{len(gone)} files are as they were"
    return f"{what}; {session.agent.name} is told."
