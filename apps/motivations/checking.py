"""What may be said of a motivation: each field checked, each refusal with what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.accounts.models import Organization
from apps.agents.models import Agent, Persona
from apps.agents.personas import role_resolve, roles_of
from apps.beads.models import WORKABLE
from apps.core.errors import BadInput
from apps.core.storable import storable
from apps.motivations.conditions import parameters_check
from apps.projects.models import Project

TEXT, LIST = "a text", "a list of texts"
TEMPLATE = {"title": TEXT, "description": TEXT, "type": TEXT, "acceptance": LIST, "labels": LIST}
NAME_CHARS = 160
LONGEST_COOLDOWN = 366 * 24 * 60


def fields_check(
    organization: Organization, project: Project | None, condition: str, fields: dict[str, Any]
) -> dict[str, Any]:
    """The fields as they are kept; BadInput for the first that is wrong or cannot be set."""
    if refused := sorted(set(fields) - CHECKS.keys() - {"parameters", "agent"}):
        settable = ", ".join(sorted({*CHECKS, "parameters", "agent"}))
        raise BadInput(f"{', '.join(refused)} of a motivation cannot be set.", hint=f"Use: {settable}.")
    checked = {key: CHECKS[key](value) if key in CHECKS else value for key, value in fields.items()}
    if checked.get("agent_role"):
        checked["agent_role"] = _role_of(organization, checked["agent_role"])
    if "parameters" in fields:
        checked["parameters"] = parameters_check(condition, storable(fields["parameters"]))
    agent: Agent | None = fields.get("agent")
    if agent is not None:
        homes = {project.pk} if project else set(organization.projects.values_list("pk", flat=True))
        if agent.project_id not in homes:
            raise BadInput("The agent belongs to another project.")
    return checked


def _line(what: str, most: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not text or len(text) > most or "\0" in text:
            raise BadInput(f"The {what} must be a text of 1 to {most} characters.")
        return text

    return read


def _description(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput("The description must be a text.")
    return str(storable(value))


def _whole(what: str, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise BadInput(f"{what} must be a whole number from 0 to {most}.")
        return value

    return read


def _truth(what: str) -> Callable[[Any], bool]:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise BadInput(f"{what} must be true or false.")
        return value

    return read


def _template(value: Any) -> dict[str, Any]:
    template = storable(value)
    if not isinstance(template, dict):
        raise BadInput("bead_template must be a JSON object.")
    for key, part in template.items():
        if key not in TEMPLATE:
            raise BadInput(f"bead_template has no key {key[:40]!r}.", hint=f"Use: {', '.join(TEMPLATE)}.")
        texts = part if isinstance(part, list) and TEMPLATE[key] == LIST else [part]
        if (TEMPLATE[key] == LIST) != isinstance(part, list) or not all(
            isinstance(one, str) for one in texts
        ):
            raise BadInput(f"{key} of bead_template must be {TEMPLATE[key]}.")
    if template.get("type", WORKABLE[0]) not in WORKABLE:
        raise BadInput(f"{template['type']!r} is no type of bead that agents work on.")
    return template


def _role(value: Any) -> str:
    return "" if value is None or value == "" else _line("agent_role", 60)(value)


def _role_of(organization: Organization, name: str) -> str:
    roles = roles_of(Persona.objects.for_organization(organization.pk))
    found = role_resolve(name, roles)
    if found is None and roles:  # without any, the personas are not loaded yet
        raise BadInput(f"There is no role {name!r}.", hint="Use one of: " + ", ".join(sorted(roles)) + ".")
    return found or name


CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _line("name", NAME_CHARS),
    "description": _description,
    "cooldown_minutes": _whole("cooldown_minutes", LONGEST_COOLDOWN),
    "priority": _whole("priority", 4),
    "create_bead": _truth("create_bead"),
    "wake_agent": _truth("wake_agent"),
    "bead_template": _template,
    "agent_role": _role,
}
