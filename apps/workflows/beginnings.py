"""Where work on beads begins: the workflow each goes through, and who works at its first node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents.matching import roles_for
from apps.agents.models import Persona
from apps.beads.models import Bead
from apps.beads.services import bead_block
from apps.core.errors import Conflict, NotFound
from apps.projects.models import Project
from apps.workflows.briefing import Part
from apps.workflows.graph import Graph, Task
from apps.workflows.graph_library import workflow_for, workflows_of


@dataclass(frozen=True)
class Beginning:
    """`role` works at the first node; empty: nobody does, because that is no task."""

    graph: Graph
    role: str
    part: Part
    persona: Persona | None = None


def beginnings_of(project: Project, beads: Sequence[Bead]) -> dict[int, Beginning]:
    """The beginning of each bead; those that no workflow is for wait for a person with the reason."""
    try:
        workflows = workflows_of(project)
    except Conflict as error:
        for bead in beads:
            bead_block(bead=bead, reason=f"{error.message} {error.hint}", actor="loom")
        return {}
    personas = _hinted((found.graph for found in workflows.values()), project.organization_id)
    roles = roles_for(beads, project.organization_id)
    begins: dict[int, Beginning] = {}
    for bead in beads:
        try:
            begins[bead.pk] = _begin(workflow_for(bead, workflows).graph, roles[bead.pk], personas)
        except NotFound as error:
            bead_block(bead=bead, reason=f"{error.message} {error.hint}".strip(), actor="loom")
    return begins


def _begin(graph: Graph, own: str, personas: dict[str, Persona]) -> Beginning:
    first: Any = graph.nodes[graph.start]
    if not isinstance(first, Task):
        return Beginning(graph, "", Part())
    persona = personas.get(first.persona)
    role = node_role(first, own, persona)
    if not role:
        raise NotFound("No persona may change files.", hint="Load the personas, or name a role.")
    return Beginning(graph, role, Part(first.instructions), persona)


def _hinted(graphs: Iterable[Graph], organization_id: int) -> dict[str, Persona]:
    """The personas that nodes name, most have none."""
    nodes: list[Any] = [node for graph in graphs for node in graph.nodes.values()]
    names = {node.persona for node in nodes if getattr(node, "persona", "")}
    team = Persona.objects.for_organization(organization_id)
    return {row.name: row for row in team.filter(name__in=names)} if names else {}


def node_role(node: Any, own: str, persona: Persona | None) -> str:
    """Who works at a node: its role, the role of its persona, or the bead's own."""
    return str(node.role or (persona.role if persona else own))
