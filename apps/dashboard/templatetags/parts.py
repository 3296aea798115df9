"""Parts of pages that are shown again and again while few of them change: kept by what they show."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from apps.dashboard.forms import BeadForm
from apps.dashboard.graph import Box, Drawing, Edge
from apps.dashboard.queries import BeadLine, Shown
from apps.dashboard.queries_board import MOVES
from apps.dashboard.queries_graph import Story
from apps.dashboard.queries_logs import SHORT, Line, Logged
from apps.dashboard.queries_team import Colleague
from apps.dashboard.weave import Shape

register = template.Library()

KEPT = 4096  # cards and rows of beads, of about a kilobyte each
CHOOSING = ("parent", "requirements")  # fields of a new bead that offer what the project has
MENU = "".join(
    f'<button class="item" name="to" value="{to}" formaction="{{0}}">Move to {name}</button>'
    for to, name in MOVES.items()
)


@register.simple_tag
def move_items(way: str) -> SafeString:
    """The ways a card can go, as buttons of its menu."""
    return format_html(MENU, way)


@register.simple_tag
def bead_part(name: str, line: BeadLine, may_write: object = False) -> SafeString:
    """A card or row of a bead. Many are shown, again and again, and few have changed since."""
    return _bead_part(name, line.shown, bool(may_write))


@lru_cache(maxsize=KEPT)
def _bead_part(name: str, shown: Shown, may_write: bool) -> SafeString:
    context = {"line": shown, "may_write": may_write}
    return render_to_string(f"parts/{name}.html", context)


@register.simple_tag
@lru_cache(maxsize=KEPT)
def agent_part(name: str, agent: Colleague) -> SafeString:
    """Cells of an agent's row, in the same way."""
    return render_to_string(f"parts/{name}.html", {"agent": agent})


@register.simple_tag
@lru_cache(maxsize=KEPT)
def story_part(story: Story, decision_id: int, may_change: bool) -> SafeString:
    """The row of a story in a plan."""
    context = {"story": story, "decision_id": decision_id, "may_change": may_change}
    return render_to_string("parts/story.html", context)


@register.simple_tag
def log_line(line: Line, query: str, project: object = None) -> SafeString:
    """A line of the log, cut where it is long; lines never change."""
    row = line.entry
    shown = Logged(row.pk, row.level, row.timestamp, row.source, row.message[: SHORT + 1], row.project_id)
    return _log_line(
        shown, line.shape, line.project, line.agent, line.bead, line.is_long, query, bool(project)
    )


@lru_cache(maxsize=KEPT)
def _log_line(
    row: Logged, shape: str, project: str, agent: str, bead: str, is_long: bool, query: str, in_project: bool
) -> SafeString:
    line = {"shape": shape, "project": project, "agent": agent, "bead": bead, "is_long": is_long}
    return render_to_string(
        "parts/log_line.html", {"row": row, "line": line, "query": query, "in_project": in_project}
    )


@register.simple_tag
def bead_fields(form: BeadForm) -> SafeString:
    """The fields of a new bead, which are the same while a project's epics and requirements are."""
    if form.is_bound or form.initial:
        return render_to_string("parts/bead_fields.html", {"form": form})
    choices = (_choices_of(form, name) for name in CHOOSING)
    return _bead_fields(*choices)


def _choices_of(form: BeadForm, name: str) -> tuple[tuple[str, str], ...]:
    field: Any = form.fields[name]
    return tuple((str(value), str(label)) for value, label in field.choices)


@lru_cache(maxsize=64)
def _bead_fields(*choices: tuple[tuple[str, str], ...]) -> SafeString:
    form = BeadForm(project=None)
    for name, offered in zip(CHOOSING, choices, strict=True):
        field: Any = form.fields[name]
        field.choices = offered
    return render_to_string("parts/bead_fields.html", {"form": form})


@register.simple_tag
def weave_shapes(pieces: Iterable[Shape]) -> SafeString:
    """Threads, knots and joins of the weave: many, and of what goes on each is elsewhere a moment later."""
    return mark_safe("\n".join(_weave_shape(piece) for piece in pieces))  # noqa: S308 - of escaped parts


def _weave_shape(piece: Shape) -> str:
    drawn = ""
    if piece.path:
        dotted = " dotted" if piece.is_dotted else ""
        drawn += f'<path class="thread{dotted}" d="{piece.path}"/><path class="hit" d="{piece.path}"/>'
    if piece.knot:
        drawn += f'<path class="knot" d="{piece.knot}"/>'
    if piece.dot:
        drawn += f'<circle class="knot" cx="{piece.dot[0]}" cy="{piece.dot[1]}" r="5"/>'
    way, label = escape(piece.address), escape(piece.label)
    return f'<a href="{way}" class="{piece.state}"><title>{label}</title>{drawn}</a>'


@register.simple_tag
def graph_boxes(drawing: Drawing) -> SafeString:
    """What is in the picture of a work graph, which stays the same while no bead changes its state."""
    return _graph_boxes(drawing.edges, drawing.boxes)


@lru_cache(maxsize=32)
def _graph_boxes(edges: tuple[Edge, ...], boxes: tuple[Box, ...]) -> SafeString:
    context = {"edges": edges, "boxes": boxes}
    return render_to_string("parts/graph_boxes.html", context)
