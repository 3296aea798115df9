"""The many shapes in which a JSON value says "do this": which name, which arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from apps.agents.actions import REGISTRY, resolve
from apps.agents.actions.registry import plain_name
from apps.agents.replies.jsonish import Broken, read_value

LISTS = ("actions", "tool_calls", "calls", "function_calls", "tool_uses", "commands")
NAMES = ("action", "type", "tool", "tool_name", "name", "function", "recipient_name")
_HOLDERS = ("function", "action", "function_call", "tool_call", "tool_use", "next_action", "call")
_AROUND = ("response", "answer", "output", "message", "choices")
_WRAPPERS = frozenset({"function", "function_call", "tool_use", "tool_call", "tool", "action"})
_BAGS = ("arguments", "args", "parameters", "params", "input", "action_input", "tool_input", "kwargs")
_REMARKS = frozenset(
    {
        "id",
        "notes",
        "note",
        "thought",
        "thoughts",
        "reasoning",
        "explanation",
        "comment",
        "type",
        "tool_call_id",
        "call_id",
    }
)
_OTHERS = ("user", "tool", "system", "function", "developer")  # whose messages ask for nothing
_MESSAGE = {"content", "tool_calls"}  # what a message has; a role alone is that of a bead
_MODULE = re.compile(r"^(?:functions|tools|default_api)[.:]")
_DEEPEST = 2
_NAME = re.compile(r"[A-Za-z][\w.:-]{0,63}")


@dataclass(frozen=True)
class Spoken:
    """An action as the model put it; the name is not checked."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = ""


def is_known(name: Any) -> bool:
    return isinstance(name, str) and resolve(name) is not None


def is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name.strip()) is not None


def spoken_of(value: Any) -> Spoken | None:
    """The action in one JSON object, in any of the usual shapes; None if it names none."""
    if not isinstance(value, dict) or (value.get("role") in _OTHERS and _MESSAGE & value.keys()):
        return None
    inner = value.get("function")
    if isinstance(inner, dict) and _is_schema(inner):
        return None
    if isinstance(inner, dict):  # {"type": "function", "function": {"name", "arguments"}}
        found = spoken_of({"name": inner.get("name"), "arguments": inner.get("arguments", {})})
        return Spoken(found.name, found.arguments, _id(value)) if found else None
    for holder in _HOLDERS[1:]:  # {"action": {"type": ...}}
        if isinstance(inner := value.get(holder), dict):
            return spoken_of(inner)
    if _is_schema(value):
        return None
    key = _name_key(value)
    if key is None:
        return _keyed(value)
    arguments = {name: item for name, item in value.items() if name != key}
    if key != "type" and value.get("type") in _WRAPPERS:
        arguments.pop("type")
    return Spoken(_MODULE.sub("", value[key].strip()), _unpacked(arguments), _id(value))


def _is_schema(value: dict[str, Any]) -> bool:
    """A tool that is described, not called."""
    described = value.get("parameters") or value.get("input_schema")
    return isinstance(described, dict) and isinstance(described.get("properties"), dict)


def _id(value: dict[str, Any]) -> str:
    given = value.get("id") or value.get("call_id")
    return given if isinstance(given, str) else ""


def _name_key(value: dict[str, Any]) -> str | None:
    """The key whose value names the action: the first that names a known one, else the first of all."""
    keys = [key for key in NAMES if isinstance(value.get(key), str) and value[key].strip()]
    if "name" in keys and value.get("type") in _WRAPPERS:
        return "name"
    if "type" in keys and is_known(value["type"]):
        return "type"
    bare = len(value) > 1 and not any(bag in value for bag in _BAGS)
    if "name" in keys and bare and plain_name(value["name"]) not in REGISTRY:
        keys.remove("name")  # a thing with a name, not a call
    return next((key for key in keys if is_known(value[key])), keys[0] if keys else None)


def _keyed(value: dict[str, Any]) -> Spoken | None:
    """{"read_file": {"path": "a"}}: the name as the only key."""
    if len(value) == 1:
        ((name, arguments),) = value.items()
        if is_known(name) and isinstance(arguments, dict):
            return Spoken(name, arguments)
    return None


def _unpacked(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that come in a bag of their own, as an object or as JSON text, taken out of it."""
    bag = next((key for key in _BAGS if key in arguments), None)
    if bag is None or not (arguments.keys() - {bag}) <= _REMARKS:
        return arguments
    packed = arguments[bag]
    if packed is None:
        return {}
    if isinstance(packed, str):
        packed = _parsed(packed)
    return packed if isinstance(packed, dict) else arguments


def _parsed(text: str) -> Any:
    try:
        return read_value(text.strip(), 0).value if text.strip().startswith(("{", "[")) else text
    except Broken:
        return text


def listed(value: Any, depth: int = 0) -> list[Any] | None:
    """The list of actions of an envelope; None if the value is not one."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    for key in LISTS:
        inner = value.get(key)
        if isinstance(inner, list):
            return inner
        if isinstance(inner, dict):
            return [inner]
        if isinstance(inner, str) and isinstance(packed := _parsed(inner), list):
            return packed
    if isinstance(inner := value.get("action"), list):
        return inner
    for around in _AROUND if depth < _DEEPEST else ():
        inner = value.get(around)
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(inner, dict) and (found := listed(inner, depth + 1)) is not None:
            return found
    return None


def notes_of(value: Any) -> str:
    """What an envelope says beside its actions."""
    if not isinstance(value, dict):
        return ""
    said = next((value[key] for key in ("notes", "note", "thought", "thoughts") if value.get(key)), "")
    if isinstance(said, list):
        said = "\n".join(str(line) for line in said)
    return said if isinstance(said, str) else ""
