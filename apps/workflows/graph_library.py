"""Which workflows there are for a project, and which of them a bead goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q
from pydantic import ValidationError

from apps.agents.models import Persona
from apps.agents.personas import load_personas, roles_of
from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.prepared import Prepared
from apps.projects.models import Project
from apps.workflows.graph import Graph, Rule, label_matches, words_of
from apps.workflows.graph_actions import ACTIONS
from apps.workflows.graph_checks import graph_problems
from apps.workflows.graph_reading import GraphRefused, Problem, graph_read, located
from apps.workflows.models import WorkflowContent, WorkflowDefinition

BUILT_IN = Path(__file__).parent / "definitions"
CHOSEN_BY = "workflow"  # the label `workflow:<name>` chooses one by name
BOOTSTRAP = "bootstrap"


_OWN: Prepared[WorkflowDefinition] = Prepared(
    lambda organization_id, project_id: WorkflowDefinition.objects.filter(
        Q(project=project_id) | Q(project=None), organization_id=organization_id
    )
)
_COMMON: Prepared[WorkflowDefinition] = Prepared(
    lambda organization_id: WorkflowDefinition.objects.filter(project=None, organization_id=organization_id)
)


@dataclass(frozen=True)
class Found:
    """A workflow that a project may use; `level`: 0 built-in, 1 the organization's, 2 its own."""

    graph: Graph
    level: int = 0
    definition: WorkflowDefinition | None = None


@lru_cache(maxsize=1)
def built_in() -> dict[str, Graph]:
    """The shipped workflows by name."""
    graphs = [graph_read(path.read_text(encoding="utf-8")) for path in sorted(BUILT_IN.glob("*.yaml"))]
    return {graph.name: graph for graph in graphs}


def graph_check(graph: Graph, team: Iterable[Persona] | None = None) -> list[Problem]:
    """What speaks against using a graph on this installation, with that team or the shipped one."""
    known = Persona.objects.filter(organization=None) if team is None else team
    rows: Iterable[Any] = list(known) or load_personas(settings.LOOM_PERSONAS_DIR)
    roles = {row.name: row.role for row in rows}
    actions = {name: found.takes for name, found in ACTIONS[graph.subject].items()}
    return graph_problems(graph, roles=roles_of(rows), personas=roles, actions=actions)


def graph_checked(given: str | dict[str, Any], team: Iterable[Persona] | None = None) -> Graph:
    """The graph of a definition that can be used as it stands; GraphRefused with everything wrong."""
    graph = graph_read(given)
    if problems := graph_check(graph, team):
        raise GraphRefused(graph.name, located(problems, given) if isinstance(given, str) else problems)
    return graph


def workflows_of(project: Project) -> dict[str, Found]:
    """What a project may use, by name: its own before its organization's before the built-in ones."""
    return workflows_in(project.organization_id, project.pk)


def workflows_in(organization_id: int, project_id: int | None) -> dict[str, Found]:
    """The same; without a project, what goes for those that have none of their own."""
    found = {name: Found(graph) for name, graph in built_in().items()}
    rows = _OWN(organization_id, project_id) if project_id else _COMMON(organization_id)
    for row in sorted(rows, key=lambda row: row.project_id is not None):
        found[row.name] = found_in(row)
    return found


def found_in(row: WorkflowDefinition) -> Found:
    """The workflow that a row holds; Conflict if this version of Loom reads it no more."""
    try:
        graph = Graph.model_validate(row.content)
    except ValidationError as error:
        raise Conflict(
            f"The workflow {row.name} was saved by another version of Loom and cannot be read.",
            hint="Save it again, or delete it.",
            details={"problems": error.errors(include_url=False, include_context=False, include_input=False)},
        ) from error
    return Found(graph, 1 if row.project_id is None else 2, row)


def workflow_require(name: str, workflows: dict[str, Found]) -> None:
    """BadInput unless a project can send its beads through the workflow of that name."""
    usable = sorted(key for key, found in workflows.items() if found.graph.subject == "bead")
    if name and name not in usable:
        raise BadInput(
            f"There is no workflow {name[:80]!r} for beads.",
            hint=f"Use one of: {', '.join(usable)}.",
            details={"field": "workflow"},
        )


def workflow_for(bead: Bead, workflows: dict[str, Found]) -> Found:
    """The workflow of a bead: the one it names, else the most specific match, else the default.

    Labels say more than types, and both together most. Then the project's own goes before others, and the
    name decides. So the same bead always gets the same one.
    """
    mine = {name: found for name, found in workflows.items() if found.graph.subject == "bead"}
    if forced := bead.project.workflow:
        if forced not in mine:
            raise NotFound(f"There is no workflow {forced!r}, which {bead.project.name} asks for.")
        return mine[forced]
    for name in sorted(mine):
        if any(words_of(str(label)) == words_of(f"{CHOSEN_BY} {name}") for label in bead.labels):
            return mine[name]
    matched = [
        (specific, found.level, name)
        for name, found in mine.items()
        if (specific := max((_specific(rule, bead) for rule in found.graph.match), default=0))
    ]
    if not matched:
        matched = [(0, found.level, name) for name, found in mine.items() if found.graph.default]
    if not matched:
        raise NotFound(
            f"No workflow is for {bead.key} ({bead.type}).",
            hint="Add a rule that matches it, or a default workflow.",
        )
    _, _, name = min(matched, key=lambda one: (-one[0], -one[1], one[2]))
    return mine[name]


def _specific(rule: Rule, bead: Bead) -> int:
    """0 if the rule is not for the bead; 1 by type, 2 by label, 3 by both."""
    by_type = bead.type in rule.types
    by_label = any(label_matches(label, bead.labels) for label in rule.labels)
    if (rule.types and not by_type) or (rule.labels and not by_label):
        return 0
    return by_type + 2 * by_label


@lru_cache(maxsize=256)
def pinned(sha256: str) -> Graph:
    """The graph that runs were started with."""
    row = WorkflowContent.objects.filter(sha256=sha256).first()
    if row is None:
        raise NotFound(f"The workflow {sha256[:12]} is not kept any more.")
    return Graph.model_validate(row.content)
