"""The pages of one bead and of a session, and what people do there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.agents.api.files import author_of
from apps.agents.editing.text import MAX_BYTES
from apps.agents.models import Agent, Session
from apps.agents.proof_queries import bead_proof
from apps.beads.comments import Spot, comment_add
from apps.beads.models import Bead, Comment
from apps.beads.services import bead_update
from apps.core.errors import BadInput
from apps.dashboard import moves, queries_bead
from apps.dashboard.pages import act, found, may_in, number_in, page, require_in, show, with_undo
from apps.dashboard.queries_board import PRIORITIES
from apps.dashboard.queries_session import transcript
from apps.dashboard.queries_weave import weave_of
from apps.workflows.escalation import before_ceo
from apps.workflows.handing import bead_give, bead_take
from apps.workflows.taken_work import bead_give_back, bead_take_over

REASON_CHARS = 2000


def _bead(request: HttpRequest, key: str) -> Bead:
    rows = Bead.objects.for_user(request.user).select_related("project__organization", "parent")
    bead: Bead = found(rows.defer("project__prd", "draft"), key=key)
    return bead


def _show(request: HttpRequest, bead: Bead, tab: str, context: dict[str, Any]) -> HttpResponse:
    at_work = queries_bead.at_work_of(bead)
    return show(
        request,
        f"dashboard/{tab}.html",
        {
            "project": bead.project,
            "bead": bead,
            "tab": tab,
            "standing": queries_bead.standing_of(bead),
            "may_write": may_in(request, "beads:write", bead.project),
            "takers": queries_bead.takers_of(bead),
            "at_work": at_work,
            "before_ceo": before_ceo(bead.pk) if bead.status == Bead.Status.BLOCKED else None,
            "taken": queries_bead.taken_of(bead, str(request.user), at_work),
            **context,
        },
    )


@page
def bead(request: HttpRequest, *, key: str) -> HttpResponse:
    shown = _bead(request, key)
    return _show(
        request,
        shown,
        "bead",
        {
            "sessions": queries_bead.sessions_of(shown),
            "comments": queries_bead.comments_of(shown),
            "decisions": queries_bead.decisions_of(shown),
            "requirements": list(shown.requirements.order_by("position")),
            "events": queries_bead.history_of(shown),
            "weave": weave_of(shown.project, request.GET.get("span", ""), shown),
        },
    )


@page
def changes(request: HttpRequest, *, key: str) -> HttpResponse:
    shown = _bead(request, key)
    return _show(
        request,
        shown,
        "changes",
        {
            "changes": queries_bead.changes_of(shown, number_in(request.GET.get("claim", ""))),
            "claims": list(shown.claims.order_by("-number").values_list("number", flat=True)[:30]),
            "is_split": request.GET.get("view") == "split",
        },
    )


@page
def evidence(request: HttpRequest, *, key: str) -> HttpResponse:
    shown = _bead(request, key)
    context = {
        "proof": queries_bead.proof_of(shown),
        "told": bead_proof(shown),
        "requirements": list(shown.requirements.order_by("position")),
    }
    return _show(request, shown, "evidence", context)


@page
def session(request: HttpRequest, *, session_id: int) -> HttpResponse:
    rows = Session.objects.for_user(request.user).select_related("agent", "bead", "project__organization")
    shown = found(rows.defer("project__prd"), pk=session_id)
    wanted = number_in(request.GET.get("page", ""))
    turns, pages = transcript(shown, wanted or 10**6)
    number = min(wanted, pages) if wanted else pages
    return show(
        request,
        "dashboard/session.html",
        {"session": shown, "project": shown.project, "turns": turns, "pages": pages, "number": number},
    )


# -- What people do ------------------------------------------------------------------------------------


def _doing(does: Callable[[HttpRequest, Bead, str], str | None]) -> Callable[..., HttpResponse]:
    """A view that does something to a bead the person may change; `does` says what was done."""

    @act
    def view(request: HttpRequest, *, key: str) -> str | None:
        shown = _bead(request, key)
        require_in(request, "beads:write", shown.project)
        return does(request, shown, str(request.user))

    return view


def _reason(request: HttpRequest, *, required: str = "") -> str:
    reason = request.POST.get("reason", "").strip()[:REASON_CHARS]
    if required and not reason:
        raise BadInput(required)
    return reason


def _close(request: HttpRequest, shown: Bead, actor: str) -> str | None:
    undo = _reopening(shown, "close")
    reason = _reason(request, required="Say why it is closed.")
    return with_undo(request, moves.work_close(bead=shown, actor=actor, reason=reason), undo)


def _stop(request: HttpRequest, shown: Bead, actor: str) -> str | None:
    undo = _reopening(shown, "hold")
    reason = _reason(request) or f"Stopped by {actor}."
    return with_undo(request, moves.work_stop(bead=shown, actor=actor, reason=reason), undo)


def _reopening(shown: Bead, to: str) -> str:
    is_undoable = moves.is_undoable(shown, to)
    return f"{reverse('bead-move', args=[shown.key])}?to=ready" if is_undoable else ""


def _escalate(request: HttpRequest, shown: Bead, actor: str) -> str:
    return moves.work_escalate(bead=shown, actor=actor, reason=_reason(request))


def _comment(request: HttpRequest, shown: Bead, actor: str) -> str:
    user: Any = request.user
    spot = _spot(request)
    comment_add(bead=shown, author=user, content=request.POST.get("content", ""), spot=spot)
    if spot is None:
        return "Your comment is there."
    if shown.status == Bead.Status.CLOSED:
        return f"Your comment is there. {shown.key} is closed: an agent reads it when you give it out again."
    return "Your comment is there. The agent reads it in its next prompt."


def _spot(request: HttpRequest) -> Spot | None:
    """The line that a comment is about, if it is about one."""
    given = request.POST
    if not given.get("path"):
        return None
    line, claim = given.get("line", ""), given.get("claim", "")
    if not (line.isascii() and line.isdigit() and int(line[:8]) > 0 and len(line) < 8):
        raise BadInput("Say which line you mean: its number in the file.")
    side = Comment.Side.OLD if given.get("side") == Comment.Side.OLD else Comment.Side.NEW
    number = int(claim) if claim.isascii() and claim.isdigit() and len(claim) < 7 else None
    return Spot(given["path"][:500], int(line), side, number)


def _assign(request: HttpRequest, shown: Bead, actor: str) -> str | None:
    """To an agent who begins at once, or to the person, whom no agent then disturbs."""
    wanted = request.POST.get("to", "")
    if wanted == "me":
        bead_take(bead=shown, person=actor)
        said = f"{shown.key} is yours. Give it out again when agents may have it."
        # Undoing forgets whom it was meant for.
        undo = "" if shown.assigned_to else reverse("bead-again", args=[shown.key])
        return with_undo(request, said, undo)
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 19):
        raise BadInput("Say who is to have it.")
    agent = Agent.objects.filter(project=shown.project, pk=int(wanted), retired_at=None)
    bead_give(bead=shown, agent=found(agent.select_related("project"), pk=int(wanted)), actor=actor)
    return f"{shown.key} is given to {agent.get().name}, who begins."


def _take(request: HttpRequest, shown: Bead, actor: str) -> str:
    if bead_take_over(bead=shown, person=actor):
        return f"{shown.key} is yours."
    return f"Agents stop at the end of the step they are at; then {shown.key} is yours."


def _give_back(request: HttpRequest, shown: Bead, actor: str) -> str:
    """With a patch, typed or as a file: the person's work. Without: agents go on."""
    summary = request.POST.get("summary", "").strip()[:REASON_CHARS]
    file, patch = request.FILES.get("file"), request.POST.get("patch", "")
    if file is not None:
        if file.size is None or file.size > MAX_BYTES:
            raise BadInput("The patch is too large.", hint=f"It may have {MAX_BYTES:,} bytes.")
        patch = file.read().decode("utf-8", "replace")
    patch = patch.replace("\r\n", "\n")
    if request.POST.get("what") == "claim" and not patch.strip():
        raise BadInput("Give the patch that is to be merged: a file, or its text.")
    if request.POST.get("what") != "claim":
        patch = ""
    claim = bead_give_back(
        bead=shown, person=actor, patch=patch, summary=summary, author=author_of(request.user)
    )
    if claim is None:
        return f"{shown.key} is given back: agents may take it, and go on with its files."
    return f"Your change is claimed for {shown.key}: its checks run now, then it is reviewed and merged."


def _update(request: HttpRequest, shown: Bead, actor: str) -> str:
    """Text, priority, role and criteria, from the form of the page."""
    given = request.POST
    changes: dict[str, Any] = {
        name: given[name] for name in ("title", "description", "role") if name in given
    }
    if "priority" in given:
        changes["priority"] = int(given["priority"]) if given["priority"] in PRIORITIES else -1  # is refused
    if "acceptance" in given:
        changes["acceptance"] = [line.strip() for line in given["acceptance"].splitlines() if line.strip()]
    bead_update(bead=shown, actor=actor, **changes)
    return f"{shown.key} is changed. Sessions that begin from now on read it so."


bead_assign = _doing(_assign)
bead_taking = _doing(_take)
bead_giving_back = _doing(_give_back)
bead_close = _doing(_close)
bead_stop = _doing(_stop)
bead_escalation = _doing(_escalate)
bead_change = _doing(_update)
bead_comment = _doing(_comment)
bead_again = _doing(lambda _, shown, actor: moves.work_again(bead=shown, actor=actor))
bead_pause = _doing(lambda _, shown, actor: moves.work_pause(bead=shown, actor=actor))
bead_resume = _doing(lambda _, shown, actor: moves.work_resume(bead=shown, actor=actor))
