"""Definitions on their way out and in: YAML for people, the HTTP API's shape for programs."""

from __future__ import annotations

from typing import Any

import yaml

from apps.workflows.graph import END, Graph
from apps.workflows.graph_library import Found
from apps.workflows.models import WorkflowDefinition

HEAD = "# A workflow of Loom; docs/workflows.md tells the format.\n"
FIRST = ("name", "description", "subject", "default", "match", "start", "max_cycles", "nodes", "edges")
OWN_FIELDS = {"kind", "role", "persona", "instructions", "max_attempts", "timeout"}


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)
)


def graph_yaml(graph: Graph) -> str:
    """The definition as a file that reads back as the same graph."""
    content = graph.content()
    ordered: dict[str, Any] = {key: content[key] for key in FIRST if key in content}
    ordered["edges"] = [
        _Flow({key: edge[key] for key in ("from", "to", "on", *edge) if key in edge})
        for edge in content["edges"]
    ]
    for node in ordered["nodes"].values():
        for key in ("timeout", "delay"):
            if key in node:
                node[key] = duration(node[key])
    return HEAD + yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def duration(seconds: float) -> str:
    """The shortest words for a length of time."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def workflow_id(found: Found) -> str:
    return f"wf-{found.definition.pk}" if found.definition is not None else f"wf-{found.graph.name}"


def workflow_body(found: Found) -> dict[str, Any]:
    """A workflow as clients of the original read it; edges from and to "" are its start and end."""
    graph, row = found.graph, found.definition
    made = {
        "created_at": row.created_at.isoformat() if row else None,
        "updated_at": row.updated_at.isoformat() if row else None,
    }
    ident = workflow_id(found)
    return {
        "id": ident,
        "name": graph.name,
        "description": graph.description,
        "workflow_type": graph.name,
        "subject": graph.subject,
        "is_default": graph.default,
        "is_built_in": row is None,
        "organization_id": row.organization_id if row else None,
        "project_id": row.project_id if row else None,
        "version": row.version if row else 1,
        "sha256": graph.sha256,
        "match": graph.content().get("match", []),
        "start": graph.start,
        "max_cycles": graph.max_cycles,
        "nodes": [node_body(ident, graph, key, made["created_at"]) for key in graph.nodes],
        "edges": _edges(ident, graph, made["created_at"]),
        **made,
    }


def unreadable_body(row: WorkflowDefinition, why: str) -> dict[str, Any]:
    """A row that this version of Loom cannot read, with `problem`: to be saved anew, or deleted."""
    return {
        "id": f"wf-{row.pk}",
        "name": row.name,
        "description": "",
        "workflow_type": row.name,
        "subject": "",
        "is_default": False,
        "is_built_in": False,
        "organization_id": row.organization_id,
        "project_id": row.project_id,
        "version": row.version,
        "sha256": "",
        "match": [],
        "start": "",
        "max_cycles": 0,
        "nodes": [],
        "edges": [],
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "problem": why,
    }


def node_body(ident: str, graph: Graph, key: str, created_at: str | None) -> dict[str, Any]:
    node: Any = graph.nodes[key]
    timeout = getattr(node, "timeout", None)
    written = graph.content()["nodes"][key]
    return {
        "id": f"{ident}:{key}",
        "workflow_id": ident,
        "node_key": key,
        "node_type": node.kind,
        "role_required": getattr(node, "role", ""),
        "persona_hint": getattr(node, "persona", ""),
        "max_attempts": node.max_attempts,
        "timeout_minutes": timeout / 60 if timeout is not None else 0,
        "instructions": getattr(node, "instructions", ""),
        "metadata": {name: value for name, value in written.items() if name not in OWN_FIELDS},
        "created_at": created_at,
    }


def _edges(ident: str, graph: Graph, created_at: str | None) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {"from": "", "to": graph.start, "on": "success", "priority": 0, "labels": []}
    told = [entry]
    told += [
        {
            "from": edge.source,
            "to": "" if edge.target == END else edge.target,
            "on": edge.on,
            "priority": edge.priority,
            "labels": list(edge.labels),
        }
        for edge in graph.edges
    ]
    return [
        {
            "id": f"{ident}:{number}",
            "workflow_id": ident,
            "from_node_key": edge["from"],
            "to_node_key": edge["to"],
            "condition": edge["on"],
            "priority": edge["priority"],
            "labels": edge["labels"],
            "created_at": created_at,
        }
        for number, edge in enumerate(told)
    ]
