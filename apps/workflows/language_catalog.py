"""What agents may start and do by instruction: a short list that other apps add to when they are ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.agents.models import Agent, Session
from apps.agents.orchestration import Order
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project


class Input(BaseModel):
    """What INPUT holds; other keys are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


@dataclass(frozen=True)
class Commission:
    """On whose behalf something is started; `key` names it for ever."""

    project: Project
    agent: Agent
    key: str
    session: Session | None = None


@dataclass(frozen=True)
class Startable:
    """A workflow that agents may start. `prepare`, in the transaction that starts `flow`, gives its input.

    `needs` is the action a persona must have for it, `takes` the parameters beside INPUT that mean something,
    `signals` the names that agents may send to its runs.
    """

    purpose: str
    flow: str
    input: type[Input]
    prepare: Callable[[Commission, Any, dict[str, Any]], dict[str, Any]]
    needs: str = ""
    takes: frozenset[str] = frozenset()
    signals: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Activity:
    """Something done at once; its text is the result."""

    purpose: str
    input: type[Input]
    act: Callable[[Order, Any], str]
    needs: str = ""


WORKFLOWS: dict[str, Startable] = {}
ACTIVITIES: dict[str, Activity] = {}


def startable(name: str) -> Startable:
    found = WORKFLOWS.get(_plain(name))
    if found is None:
        raise NotFound(f"There is no workflow {name!r} to start.", hint=f"There are: {_names(WORKFLOWS)}.")
    return found


def activity(name: str) -> Activity:
    found = ACTIVITIES.get(_plain(name))
    if found is None:
        raise NotFound(f"There is no activity {name!r}.", hint=f"There are: {_names(ACTIVITIES)}.")
    return found


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _names(catalog: dict[str, Any]) -> str:
    return ", ".join(sorted(catalog))


def checked_input(kind: type[Input], given: dict[str, Any], *, of: str) -> Input:
    """INPUT as what `of` takes; BadInput names each finding and what was expected."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)[:5]
        )
        raise BadInput(
            f"INPUT of {of} is not valid: {found}.", hint=f"Expected: {input_form(kind)}."
        ) from None


def input_form(kind: type[Input]) -> str:
    """`{title, role?}`: a question mark where a key may be left out."""
    names = [name + ("" if field.is_required() else "?") for name, field in kind.model_fields.items()]
    return "{" + ", ".join(names) + "}"


def catalog_text() -> str:
    """What LIST: catalog answers."""
    lines = ["WORKFLOW and SCHEDULE start:"]
    for name, one in sorted(WORKFLOWS.items()):
        takes = "".join(f", {word}" for word in sorted(one.takes))
        lines.append(f"- {name} (INPUT {input_form(one.input)}{takes}): {one.purpose}")
    lines.append("ACTIVITY does:")
    lines += [
        f"- {name} (INPUT {input_form(one.input)}): {one.purpose}" for name, one in sorted(ACTIVITIES.items())
    ]
    return "\n".join(lines)
