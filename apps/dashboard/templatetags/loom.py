"""Small words of the templates: money, time, and the six shapes of state."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.agents.results import counts_text
from apps.dashboard.addresses import address
from apps.dashboard.markdown import plain as plainly
from apps.dashboard.markdown import rendered
from apps.dashboard.queries_weave import ended_state
from apps.dashboard.run_words import entry_words, status_words, waits_words
from apps.decisions.models import Decision

register = template.Library()
for words_of in (ended_state, entry_words, status_words, waits_words):
    register.filter(words_of.__name__, words_of)

# State -> symbol in templates/parts/shapes.html, color class, what it means.
SHAPES = {
    "open": ("open", "idle", "ready"),
    "waiting": ("block", "idle", "waits"),
    "working": ("work", "run", "at work"),
    "person": ("need", "needs", "needs you"),
    "failed": ("fail", "fail", "failed"),
    "done": ("done", "done", "done"),
}


PRETTY_CHARS = 2000
ACRONYMS = {"ceo", "cfo", "cto", "qa", "ui", "ux"}
AGENT_STATES = {
    "working": "working",
    "deciding": "working",
    "blocked": "person",
    "paused": "waiting",
    "stopped": "waiting",
}
FLOWS = {
    "agent.life": "An agent's next work",
    "bead.escalation": "Question about a bead that is stuck",
    "bead.work": "Work on a bead",
    "command.execute": "Command of a person",
    "decision.answer": "Answer by the decision maker",
    "decision.deadline": "Deadline of a decision",
    "language.checks": "Checks an agent asked for",
    "language.delegate": "Work handed on by an agent",
    "language.remind": "Reminder of an agent",
    "pairing.chat": "Answer to a person",
    "pairing.pair": "Answer to a person, pairing",
    "prd.weave": "From the PRD to merged software",
    "provider.heartbeat": "Health of a model",
    "repository.take-over": "Beginning with a repository",
    "session.replay": "Session played again",
    "webhook.github": "News from GitHub",
}
RUN_STATES = {
    "ready": "open",
    "running": "working",
    "waiting": "waiting",
    "paused": "waiting",
    "done": "done",
    "failed": "failed",
    "canceled": "waiting",
}


@register.simple_tag
@cache
def shape(state: str) -> SafeString:
    """A state's shape with its color, named for those who cannot see it."""
    symbol, color, meaning = SHAPES[state]
    return format_html(
        '<svg class="shape {}" width="14" height="14" role="img" aria-label="{}"><use href="#{}"/></svg>',
        color,
        meaning,
        symbol,
    )


@register.filter
def money(microusd: int) -> str:
    """Micro-USD as dollars: two places, three for what is less than ten cents."""
    dollars = microusd / 1_000_000
    if 0 < dollars < 0.0995:
        return f"${dollars:.3f}" if dollars >= 0.0005 else "under $0.001"
    return f"${dollars:,.2f}"


@register.filter
def share(part: int, whole: int | None) -> int:
    """Per cent, within 0 and 100."""
    return min(100, max(0, round(100 * part / whole))) if whole else 0


@register.filter
def ago(moment: datetime, form: str = "") -> str:
    """How long ago or how long until, in one unit; of what has been, in a sentence, with the form "ago"."""
    seconds = (timezone.now() - moment).total_seconds()
    size = abs(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if size >= length:
            return f"{size / length:.0f} {unit} {form}".strip()
    if seconds < 0:
        return "under 1 min"
    return "just now" if form else "now"


@register.filter
def short(commit: str) -> str:
    return commit[:7]


@register.filter
def told(counts: dict[str, Any]) -> str:
    """What a check counted, in words."""
    return counts_text(counts)


@register.filter
def words(text: str) -> list[str]:
    """For short loops in templates."""
    return text.split()


@register.simple_tag
def static_css(name: str) -> str:
    return static(f"css/{name}.css")


@register.filter
def undo_of(tags: str) -> str:
    """The address that undoes what a message tells of, kept in its tags."""
    return next((tag.removeprefix("undo=") for tag in (tags or "").split() if tag.startswith("undo=")), "")


@register.simple_tag(takes_context=True)
def rail_link(context: dict[str, Any], name: str, words: str, count: int = 0) -> SafeString:
    """A link of the rail; the page one is on, or is below, is marked."""
    way, here = address(name), context["request"].path
    is_here = here == way or (way != "/" and here.startswith(way))
    return format_html(
        '<a href="{}" data-go="{}"{}>{}{}</a>',
        way,
        name,
        mark_safe(' aria-current="page"') if is_here else "",
        words,
        format_html("<b>{}</b>", count) if count else "",
    )


@register.simple_tag(takes_context=True)
def rail_project(context: dict[str, Any], name: str, words: str, project_id: int) -> SafeString:
    way = address(name, project_id)
    return format_html(
        '<a href="{}" data-go="{}"{}>{}</a>',
        way,
        name,
        mark_safe(' aria-current="page"') if context["request"].path == way else "",
        words,
    )


@register.simple_tag(takes_context=True)
def hidden_fields(context: dict[str, Any]) -> SafeString:
    """The page's token and where to come back to."""
    return format_html(
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<input type="hidden" name="next" value="{}">',
        str(context.get("csrf_token", "")),
        context.get("here") or context["request"].get_full_path(),
    )


@register.simple_tag
def said_at(changes: Any, path: str, old: Any, new: Any = None) -> list[Any]:
    """What people say about a line of a change; side by side, about either of the two lines."""
    places = {(path, "old", getattr(old, "old", None)), (path, "new", getattr(new or old, "new", None))}
    return [said for place in places for said in changes.said.get(place, ())]


@register.simple_tag
def when(moment: datetime | None, form: str = "") -> SafeString:
    """How long ago, kept current by the page; the exact time on hover. In a sentence the form is "ago"."""
    if moment is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}" title="{}" data-ago="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        form,
        ago(moment, form),
    )


@register.filter
def seconds(milliseconds: float) -> str:
    """A length of time in one unit."""
    if milliseconds < 1000:
        return f"{round(milliseconds)} ms"
    length = milliseconds / 1000
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if length >= size:
            return f"{length / size:.1f} {unit}"
    return f"{length:.1f} s"


@register.filter
def initials(name: str) -> str:
    """Two letters for a face: of two words the first of each, else the first and a number."""
    parts = [part for part in name.replace("-", " ").split() if part]
    return "".join(part[0] for part in parts[:2]).upper() or "?"


@register.filter
def get(row: Any, name: str) -> Any:
    return getattr(row, name, "")


@register.filter
def symbol(state: str) -> str:
    return SHAPES[state][0]


@register.filter
def meaning(state: str) -> str:
    return SHAPES[state][2]


@register.simple_tag(takes_context=True)
def sort_head(context: dict[str, Any], css: str, words: str, name: str) -> SafeString:
    """The head of a column that sorts: once up, once down."""
    sort = context["sort"]
    is_down = sort == f"-{name}"
    is_by = sort.lstrip("-") == name
    wanted = name if is_down or not is_by else f"-{name}"
    query = f"{context['sortless']}&sort={wanted}".lstrip("&")
    direction = ("descending" if is_down else "ascending") if is_by else ""
    return format_html(
        '<th scope="col" class="{}"{}><a href="?{}">{}{}</a></th>',
        css,
        format_html(' aria-sort="{}"', direction) if direction else "",
        query,
        words,
        (" ↓" if is_down else " ↑") if is_by else "",
    )


@register.filter
def markdown(text: str) -> SafeString:
    """Markdown that people or agents wrote, as HTML without anything that could act."""
    return rendered(text)


@register.filter
def plain(text: str) -> str:
    """The same as words alone, to be escaped like any other text."""
    return plainly(text)


@register.filter
def chosen(choice: str, decision: Decision) -> str:
    """An answer by the words that its option has, where it is one of the options."""
    return decision.label(choice)


@register.filter
def flow(name: str) -> str:
    """What a durable run does, in words; a flow that has none is told by its name."""
    return FLOWS.get(name, name)


@register.filter
def run_state(status: str) -> str:
    """The shape of a durable run's status."""
    return RUN_STATES.get(status, "open")


@register.filter
def agent_state(status: str) -> str:
    """The shape of an agent's status."""
    return AGENT_STATES.get(status, "open")


@register.filter
def pretty(data: Any) -> str:
    """JSON for people, cut where it is long."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= PRETTY_CHARS else f"{text[:PRETTY_CHARS]}\n[{len(text)} characters in all]"


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"


@register.filter
def answered(error_rate: float) -> str:
    """The part of calls that were answered, of the part that was not."""
    return f"{100 * (1 - error_rate):.0f} %"


@register.filter
def role(name: str) -> str:
    """The name of a role as people write it."""
    words = [word.upper() if word in ACRONYMS else word for word in name.split("-")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


@register.filter
def asker(requester: str) -> str:
    """Who asked: nobody, or the system, is Loom itself."""
    return "Loom" if requester in ("", "system", "loom") else requester


@register.filter
def spaced(name: str) -> str:
    """A name of the code, such as the reason why a session ended, as words."""
    return name.replace("_", " ")


@register.filter
def filename(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


@register.filter
def without(text: str, beginning: str) -> str:
    return text.removeprefix(beginning).strip()
