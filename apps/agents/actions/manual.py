"""How models learn of the actions: as tool definitions, or as a short text for the JSON protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.fields import FieldInfo

from apps.agents.actions.base import Action
from apps.agents.actions.registry import REGISTRY

# In the JSON protocol the key "type" names the action, so an argument of that name needs another one.
TYPE_ARGUMENT = "bead_type"
_DROPPED = frozenset(
    {"title", "default", "minLength", "maxLength", "maxItems", "minItems", "exclusiveMinimum"}
)


def tools_for(names: Iterable[str]) -> list[dict[str, Any]]:
    """OpenAI tool definitions for these actions, in the registry's order."""
    return [
        {
            "type": "function",
            "function": {
                "name": action.name,
                "description": action.purpose,
                "parameters": _parameters(action),
            },
        }
        for action in _chosen(names)
    ]


def manual_for(names: Iterable[str]) -> str:
    """A line per action for the JSON protocol, with an example where the form is not plain."""
    lines: list[str] = []
    for action in _chosen(names):
        lines.append(f"- {signature_of(action)}: {action.purpose}")
        if action.example:
            lines.append(f"  e.g. {action.example}")
    return "\n".join(lines)


def signature_of(action: type[Action]) -> str:
    """`read_file {path, offset?, limit?}`: a question mark where an argument may be left out."""
    shown = [
        (TYPE_ARGUMENT if name == "type" else name) + _form(field) + ("" if field.is_required() else "?")
        for name, field in action.model_fields.items()
    ]
    return f"{action.name} {{{', '.join(shown)}}}"


def _form(field: FieldInfo) -> str:
    annotation = str(field.annotation)
    return "[]" if annotation.startswith("list[") else ""


def _chosen(names: Iterable[str]) -> list[type[Action]]:
    wanted = set(names)
    unknown = wanted - REGISTRY.keys()
    if unknown:
        raise KeyError(f"no such action: {', '.join(sorted(unknown))}")
    return [action for name, action in REGISTRY.items() if name in wanted]


def _parameters(action: type[Action]) -> dict[str, Any]:
    schema = action.model_json_schema()
    compact: dict[str, Any] = _compact(schema, schema.get("$defs", {}))
    return {
        "type": "object",
        "properties": compact.get("properties", {}),
        "required": compact.get("required", []),
        "additionalProperties": False,
    }


def _compact(node: Any, definitions: dict[str, Any], *, naming: bool = False) -> Any:
    """The schema without references, titles, defaults and null alternatives.

    `naming` is set where the keys of `node` are argument names, not words of the schema language.
    """
    if isinstance(node, list):
        return [_compact(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if naming:
        return {key: _compact(value, definitions) for key, value in node.items()}
    if "$ref" in node:
        return _compact(definitions[node["$ref"].rpartition("/")[2]], definitions)
    kinds = [kind for kind in node.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        return _compact({**kinds[0], **{key: node[key] for key in node if key == "description"}}, definitions)
    return {
        key: _compact(value, definitions, naming=key == "properties")
        for key, value in node.items()
        if key not in _DROPPED and key not in {"$defs", "additionalProperties"}
    }
