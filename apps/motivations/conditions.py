"""What a motivation can wait for: its type, the events it hears, and the parameters it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from celery.schedules import ParseException, crontab

from apps.beads.models import Bead
from apps.core.errors import BadInput
from apps.motivations.models import Motivation

LABEL = "motivation"  # on beads that motivations made: what becomes of these moves no motivation
CLOCK, EDGE, SENSE = "clock", "edge", "sense"
SHORTEST_MINUTES = 1
MOST_CRON = 60  # characters of one field, as many as beat's rows have room for
Type = Motivation.Type


@dataclass(frozen=True)
class Heard:
    """An event, and the bead it is about."""

    data: dict[str, Any]
    bead: Bead | None = None

    @property
    def labels(self) -> list[str]:
        return self.bead.labels if self.bead is not None else []


@dataclass(frozen=True)
class Condition:
    """`how` it is noticed: a clock rings, an event is heard, or each tick senses it."""

    type: str
    how: str
    events: tuple[str, ...] = ()
    takes: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    hears: Callable[[Heard, dict[str, Any]], bool] = lambda _heard, _parameters: True


def _number(least: float, most: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return value

    return read


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise ValueError("a list of texts")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value.strip()


def _moment(value: Any) -> str:
    moment_of(value)
    return str(value)


def moment_of(value: Any) -> datetime:
    """A moment as ISO 8601, UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("a moment such as 2026-12-24T09:00:00Z") from None


def _cron(value: Any) -> str:
    crontab_of(value)
    return str(value)


def crontab_of(value: Any) -> crontab:
    """Five fields as cron has them: minute, hour, day of month, month, day of week."""
    fields = str(value).split()
    if len(fields) != 5 or any(len(field) > MOST_CRON for field in fields):
        raise ValueError("five fields such as `0 9 * * 1`")
    minute, hour, day, month, weekday = fields
    try:
        return crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    except (ParseException, ValueError) as error:
        raise ValueError(f"five fields such as `0 9 * * 1` ({error})") from None


def _bead_fits(heard: Heard, parameters: dict[str, Any]) -> bool:
    """About a bead of the wanted type and label; never one that a motivation made."""
    if LABEL in heard.labels:
        return False
    if (types := parameters.get("bead_types")) and (heard.bead is None or heard.bead.type not in types):
        return False
    wanted = parameters.get("labels")
    return not wanted or bool(set(wanted) & set(heard.labels))


def _status_fits(heard: Heard, parameters: dict[str, Any]) -> bool:
    wanted = parameters.get("status")
    return _bead_fits(heard, parameters) and (not wanted or heard.data.get("status") == wanted)


def _failure_fits(heard: Heard, parameters: dict[str, Any]) -> bool:
    """On top of main; that a claim fails its checks is an ordinary part of work (`of`: "claim" hears it)."""
    return _bead_fits(heard, parameters) and heard.data.get("of") == parameters.get("of", "merge")


def _below(heard: Heard, parameters: dict[str, Any]) -> bool:
    percent = heard.data.get("percent")
    return isinstance(percent, int | float) and percent < parameters.get("percent", 80)


def _webhook_fits(heard: Heard, parameters: dict[str, Any]) -> bool:
    wanted = parameters.get("webhook_type")
    return not wanted or wanted in (heard.data.get("webhook_type"), heard.data.get("type"))


_BEADS: dict[str, Callable[[Any], Any]] = {"bead_types": _words, "labels": _words}
_DAYS, _MINUTES, _PERCENT = _number(0, 3650), _number(1, 525_600), _number(0, 100)
_DEADLINE: dict[str, Callable[[Any], Any]] = {"labels": _words, "deadline": _moment}

CONDITIONS: dict[str, Condition] = {
    "time_reached": Condition(Type.CALENDAR, CLOCK, takes={"at": _moment}, needs=("at",)),
    "scheduled_interval": Condition(
        Type.CALENDAR, CLOCK, takes={"minutes": _number(SHORTEST_MINUTES, 525_600), "cron": _cron}
    ),
    "quarter_boundary": Condition(Type.CALENDAR, CLOCK),
    "month_boundary": Condition(Type.CALENDAR, CLOCK),
    "deadline_approach": Condition(Type.CALENDAR, SENSE, takes={"days": _DAYS, **_DEADLINE}),
    "deadline_passed": Condition(Type.CALENDAR, SENSE, takes=_DEADLINE),
    "bead_created": Condition(Type.EVENT, EDGE, ("bead.created",), _BEADS, hears=_bead_fits),
    "bead_status_changed": Condition(
        Type.EVENT, EDGE, ("bead.status_change",), {"status": _text, **_BEADS}, hears=_status_fits
    ),
    "bead_completed": Condition(Type.EVENT, EDGE, ("bead.closed",), _BEADS, hears=_bead_fits),
    "decision_pending": Condition(Type.EVENT, SENSE, takes={"minutes": _MINUTES}),
    "decision_resolved": Condition(Type.EVENT, EDGE, ("decision.resolved",)),
    "test_failure": Condition(
        Type.EVENT, EDGE, ("evidence.failed",), {"of": _text, **_BEADS}, hears=_failure_fits
    ),
    "release_published": Condition(Type.EXTERNAL, EDGE, ("external.release",)),
    "github_issue_opened": Condition(Type.EXTERNAL, EDGE, ("external.github_issue",)),
    "github_comment_added": Condition(Type.EXTERNAL, EDGE, ("external.github_comment",)),
    "github_pr_opened": Condition(Type.EXTERNAL, EDGE, ("external.github_pr",)),
    "webhook_received": Condition(
        Type.EXTERNAL, EDGE, ("external.webhook",), {"webhook_type": _text}, hears=_webhook_fits
    ),
    "coverage_dropped": Condition(
        Type.THRESHOLD, EDGE, ("external.coverage",), {"percent": _PERCENT}, hears=_below
    ),
    "cost_exceeded": Condition(
        Type.THRESHOLD,
        SENSE,
        takes={"usd": _number(0, 10**9), "hours": _number(1, 8760), "percent": _PERCENT},
    ),
    "velocity_drop": Condition(Type.THRESHOLD, SENSE, takes={"percent": _PERCENT, "days": _number(1, 365)}),
    "system_idle": Condition(Type.IDLE, SENSE, takes={"minutes": _MINUTES}),
    "agent_idle": Condition(Type.IDLE, SENSE, takes={"minutes": _MINUTES}),
    "project_idle": Condition(Type.IDLE, SENSE, takes={"minutes": _MINUTES}),
}
EXTERNAL = tuple(
    sorted({kind for one in CONDITIONS.values() for kind in one.events if kind.startswith("external.")})
)
HEARD = tuple(sorted({kind for one in CONDITIONS.values() for kind in one.events}))
SENSED = tuple(name for name, one in CONDITIONS.items() if one.how == SENSE)


def conditions_of(event_kind: str) -> list[str]:
    return [name for name, one in CONDITIONS.items() if event_kind in one.events]


def condition_of(name: str) -> Condition:
    found = CONDITIONS.get(name)
    if found is None:
        raise BadInput(f"There is no condition {name!r}.", hint="Use one of: " + ", ".join(CONDITIONS) + ".")
    return found


def parameters_check(name: str, parameters: Any) -> dict[str, Any]:
    """The parameters of a condition, each checked; BadInput names the wrong one and what was expected."""
    condition = condition_of(name)
    if not isinstance(parameters, dict):
        raise BadInput("parameters must be a JSON object.")
    checked: dict[str, Any] = {}
    for key, value in parameters.items():
        if key not in condition.takes:
            taken = ", ".join(condition.takes) or "none"
            raise BadInput(f"{name} takes no parameter {str(key)[:40]!r}.", hint=f"It takes: {taken}.")
        try:
            checked[key] = condition.takes[key](value)
        except ValueError as error:
            raise BadInput(f"The parameter {key} of {name} must be {error}.") from None
    if missing := [key for key in condition.needs if key not in checked]:
        raise BadInput(f"{name} needs the parameter {missing[0]}.")
    if name == "scheduled_interval" and len(checked) != 1:
        raise BadInput("A schedule has either minutes or a cron line.")
    return checked
