"""Standing orders: the instructions in a persona's text, carried out once for each agent that has it."""

from __future__ import annotations

import logging

from django.db import transaction

from apps.agents.models import Agent, Persona
from apps.agents.orchestration import Order, use
from apps.agents.replies.language import read_language
from apps.core.errors import LoomError
from apps.events.bus import emit, on, on_all
from apps.events.models import Event
from apps.projects.models import Project
from apps.workflows.language import execute

log = logging.getLogger(__name__)

use(execute)


@on_all("agent.spawned")
def spawned_order(events: list[Event]) -> None:
    keys = [int(event.subject.removeprefix("agent:")) for event in events]
    personas = Persona.objects.filter(agents__in=keys).distinct()
    ordering = [persona.pk for persona in personas if read_language(persona.body).instructions]
    if not ordering:
        return  # as most: whoever dispatches many agents waits for this
    agents = Agent.objects.filter(pk__in=keys, persona__in=ordering)
    for agent in agents.order_by("pk").select_related("persona", "project"):
        standing_orders(agent)


@on("personas.synced", "persona.saved")
def changed_order(event: Event) -> None:
    """Agents of a persona that has changed get what is new in it."""
    of_it = {"persona__name__in": event.data["names"], "persona__organization_id": event.organization_id}
    agents = Agent.objects.filter(**of_it, retired_at=None)
    for agent in agents.exclude(project__status=Project.Status.CLOSED).select_related("persona", "project"):
        standing_orders(agent)


def standing_orders(agent: Agent) -> int:
    """Carry out what the agent's persona orders; how many orders succeeded. Once per text of the persona."""
    done = 0
    for index, instruction in enumerate(read_language(agent.persona.body).instructions):
        key = f"persona:{agent.pk}:{agent.persona.sha256[:12]}:{index}"
        try:
            execute(Order(instruction, agent.project, agent, key))
        except LoomError as error:
            log.warning("standing order %s of %s was refused: %s", index + 1, agent, error)
            _refused(agent, key, instruction.kind, error)
        else:
            done += 1
    return done


@transaction.atomic
def _refused(agent: Agent, key: str, kind: str, error: LoomError) -> None:
    emit(
        "orchestration.refused",
        organization_id=agent.project.organization_id,
        project_id=agent.project_id,
        subject=f"order:{key}",
        actor=agent.name,
        instruction=kind,
        error=error.message,
    )
