"""Where work on beads begins: the workflow each goes through, and who works at its first node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents.models import Persona
from apps.beads.models import Bead
from apps.beads.services import bead_block
from apps.core.errors import Conflict, NotFound
from apps.projects.models import Project
from apps.workflows.briefing import Part
from apps.workflows.graph import Graph, Task
from apps.workflows.graph_library import workflow_for, workflows_of

DEFAULT_ROLE = "engineering-manager"


@dataclass(frozen=True)
class Beginning:
    """`role` works at the first node; empty: nobody does, because that is no task."""

    graph: Graph
    role: str
    part: Part
    persona: Persona | None = None


def role_of(bead: Bead) -> str:
    return bead.role or DEFAULT_ROLE


def beginnings_of(project: Project, beads: Sequence[Bead]) -> dict[int, Beginning]:
    """The beginning of each bead; those that no workflow is for wait for a person with the reason."""
    try:
        workflows = workflows_of(project)
    except Conflict as error:
        for bead in beads:
            bead_block(bead=bead, reason=f"{error.message} {error.hint}", actor="loom")
        return {}
    personas = _hinted(found.graph for found in workflows.values())
    begins: dict[int, Beginning] = {}
    for bead in beads:
        try:
            graph = workflow_for(bead, workflows).graph
        except NotFound as error:
            bead_block(bead=bead, reason=f"{error.message} {error.hint}", actor="loom")
            continue
        first: Any = graph.nodes[graph.start]
        if isinstance(first, Task):
            persona = personas.get(first.persona)
            role = node_role(first, bead, persona)
            begins[bead.pk] = Beginning(graph, role, Part(first.instructions), persona)
        else:
            begins[bead.pk] = Beginning(graph, "", Part())
    return begins


def _hinted(graphs: Iterable[Graph]) -> dict[str, Persona]:
    """The personas that nodes name, most have none."""
    nodes: list[Any] = [node for graph in graphs for node in graph.nodes.values()]
    names = {node.persona for node in nodes if getattr(node, "persona", "")}
    return {row.name: row for row in Persona.objects.filter(name__in=names)} if names else {}


def node_role(node: Any, bead: Bead, persona: Persona | None) -> str:
    """Who works at a node: its role, the role of its persona, or the bead's own."""
    return str(node.role or (persona.role if persona else role_of(bead)))
