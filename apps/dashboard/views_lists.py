"""Pages across projects: decisions, activity, conversations, durable runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from apps.agents.models import Session
from apps.beads.models import Bead
from apps.core.errors import LoomError
from apps.core.storable import storable_text
from apps.dashboard import queries_graph, queries_lists, queries_runs
from apps.dashboard.forms import BeadForm
from apps.dashboard.pages import (
    act,
    back,
    found,
    may,
    may_in,
    number_in,
    page,
    project_chosen,
    query_of,
    require,
    sent,
    show,
)
from apps.dashboard.queries_questions import Question, question_of, questions_of
from apps.decisions.forms import AnswerForm
from apps.decisions.models import Decision
from apps.decisions.services import answer_give
from apps.decisions.tally import tally_of
from apps.engine.models import Run
from apps.engine.services import run_cancel, run_pause, run_resume, run_retry
from apps.engine.timeline import run_timeline
from apps.projects.models import Project

PLAN_NODES = 60  # the graph of a plan stands beside much else

# -- Decisions -----------------------------------------------------------------------------------------


@page
def decisions(request: HttpRequest) -> HttpResponse:
    return show(
        request,
        "dashboard/decisions.html",
        {
            "questions": questions_of(request.user),
            "decided": queries_lists.decided(request.user, request.GET.get("page")),
        },
    )


def _decision(request: HttpRequest, decision_id: int) -> Decision:
    rows = Decision.objects.for_user(request.user).select_related("project", "bead")
    decision: Decision = found(rows, pk=decision_id)
    return decision


def _question(request: HttpRequest, decision: Decision, form: AnswerForm | None = None) -> Question:
    may_write = may_in(request, "decisions:write", decision.project)
    form = form or AnswerForm(decision=decision)
    return question_of(request.user, decision, may_write=may_write, form=form)


@page
def decision(request: HttpRequest, *, decision_id: int) -> HttpResponse:
    return _show_decision(request, _question(request, _decision(request, decision_id)))


def _show_decision(request: HttpRequest, question: Question, status: int = 200) -> HttpResponse:
    asked = question.decision
    context: dict[str, Any] = {
        "question": question,
        "decision": asked,
        "votes": list(asked.votes.order_by("id")),
        "tally": tally_of(asked).words() if asked.voters else "",
    }
    if asked.kind == Decision.Kind.PLAN:
        context |= _plan(request, asked)
    return show(request, "dashboard/decision.html", context, status)


def _plan(request: HttpRequest, asked: Decision) -> dict[str, Any]:
    """All that one needs to judge a plan, and to change it while it waits."""
    stories = queries_graph.planned(asked.project)
    drawing, hidden = queries_graph.graph_of(asked.project, PLAN_NODES)
    may_change = asked.status == Decision.Status.OPEN and may_in(request, "beads:write", asked.project)
    waiting = [story for story in stories if story.status == Bead.Status.DEFERRED]
    wanted = request.GET.get("edit", "")
    return {
        "coverage": queries_graph.coverage_of(asked.project),
        "stories": [queries_graph.Story.of(story) for story in stories],
        "drawing": drawing,
        "hidden_count": hidden,
        "may_change": may_change,
        "edited": next((story for story in waiting if story.key == wanted), None) if may_change else None,
        "new_story": BeadForm(project=asked.project, initial=_serving(asked, request.GET.get("serves", ""))),
    }


def _serving(asked: Decision, key: str) -> dict[str, Any]:
    return {"requirements": asked.project.requirements.filter(key=storable_text(key))} if key else {}


@sent
def decision_answer(request: HttpRequest, *, decision_id: int) -> HttpResponse:
    """Answer an open decision; what is wrong with an answer is said on a page of its own."""
    asked = Decision.objects.for_user(request.user).select_related("project", "bead").filter(pk=decision_id)
    decision = asked.first()
    if decision is None or not may_in(request, "decisions:write", decision.project):
        raise Http404
    form = AnswerForm(request.POST, decision=decision)
    if not form.is_valid():
        return _show_decision(request, _question(request, decision, form), status=400)
    try:
        said = answer_give(decision=decision, person=str(request.user), **form.answer())
    except LoomError as error:
        messages.error(request, error.told)
    else:
        messages.success(request, said)
    return HttpResponseRedirect(back(request))


# -- Activity, conversations ---------------------------------------------------------------------------


@page
def activity(request: HttpRequest) -> HttpResponse:
    chosen, about = project_chosen(request), request.GET.get("about", "")
    shown, lines = queries_lists.events_page(request.user, chosen, about, request.GET.get("page"))
    context = {
        "shown": shown,
        "lines": lines,
        "chosen": chosen,
        "about": about,
        "groups": [(key, words) for key, (words, _) in queries_lists.ABOUT.items()],
        "query": query_of(project=chosen.pk if chosen else "", about=storable_text(about)),
    }
    return show(request, "dashboard/activity.html", context)


@page
def conversations(request: HttpRequest) -> HttpResponse:
    chosen = project_chosen(request)
    kind, status = request.GET.get("kind", ""), request.GET.get("status", "")
    shown, said = queries_lists.sessions_page(request.user, chosen, kind, status, request.GET.get("page"))
    context = {
        "shown": shown,
        "rows": [(row, said.get(row.pk, "")) for row in shown],
        "chosen": chosen,
        "kind": kind,
        "status": status,
        "kinds": Session.Kind.values,
        "query": query_of(
            project=chosen.pk if chosen else "", kind=storable_text(kind), status=storable_text(status)
        ),
    }
    return show(request, "dashboard/conversations.html", context)


# -- Durable runs --------------------------------------------------------------------------------------


@page
def runs(request: HttpRequest) -> HttpResponse:
    status, flow = (storable_text(request.GET.get(name, "")) for name in ("status", "flow"))
    shown, flows = queries_runs.runs_page(request.user, status, flow, request.GET.get("page"))
    subjects = queries_runs.subjects_of(request.user, shown)
    context = {
        "shown": shown,
        "rows": [(row, subjects.get(row.pk)) for row in shown],
        "status": status,
        "flow": flow,
        "flows": flows,
        "query": query_of(status=status, flow=flow),
        "statuses": ["unfinished", *Run.Status.values],
    }
    return show(request, "dashboard/runs.html", context)


@page
def run(request: HttpRequest, *, run_id: int) -> HttpResponse:
    shown = found(Run.objects.for_user(request.user), pk=run_id)
    before = request.GET.get("before", "")
    timeline = run_timeline(shown, limit=60, before=number_in(before) or None)
    context = {
        "run": shown,
        "entries": timeline["entries"][-150:],
        "older": timeline["older"],
        "project": Project.objects.filter(pk=shown.project_id or 0).defer("prd").first(),
        "bead": queries_lists.beads_by_id({shown.bead_id}).get(shown.bead_id or 0),
        "subject": queries_runs.subjects_of(request.user, [shown]).get(shown.pk),
        "may_write": may(request, "runs:write", shown.organization_id, shown.project_id),
    }
    return show(request, "dashboard/run.html", context)


def _with_run(change: Callable[..., Run], said: str) -> Callable[..., HttpResponse]:
    @act
    def view(request: HttpRequest, *, run_id: int) -> str:
        shown = found(Run.objects.for_user(request.user), pk=run_id)
        require(request, "runs:write", shown.organization_id, shown.project_id)
        change(run_id=shown.pk, actor=str(request.user))
        return said

    return view


run_cancels = _with_run(run_cancel, "The run stops at its next step.")
run_pauses = _with_run(run_pause, "The run is set aside at its next step.")
run_resumes = _with_run(run_resume, "The run goes on.")
run_retries = _with_run(run_retry, "The run goes on from the step it failed of.")
