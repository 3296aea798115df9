"""YAML from outside: plain values only, bounded, without references."""

from __future__ import annotations

import math
from typing import Any

import yaml

from apps.core.errors import BadInput
from apps.core.storable import storable_text

MAX_DEPTH, MAX_EVENTS = 40, 300_000


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
HEAD = "# The configuration of an organization of Loom, without secrets; docs/configuration.md tells of it.\n"


def yaml_write(document: dict[str, Any]) -> str:
    return HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def yaml_read(text: str) -> dict[str, Any]:
    """The mapping that a text holds; BadInput with the line where it is none."""
    try:
        _check(text)
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise BadInput(f"This is not YAML{where}: {getattr(error, 'problem', '') or 'unreadable'}.") from None
    except (RecursionError, ValueError) as error:  # ValueError: a date that there never was
        raise BadInput(f"This YAML cannot be read: {str(error)[:200]}.") from None
    if not isinstance(found, dict):
        raise BadInput("The configuration must be a mapping.")
    kept: dict[str, Any] = _kept(found)
    return kept


def _kept(value: Any) -> Any:
    """As every database keeps it: escapes of YAML can say what text and JSON cannot hold."""
    match value:
        case str():
            return storable_text(value)
        case float() if not math.isfinite(value):
            raise BadInput("The configuration holds .nan or .inf, which is no number.")
        case list():
            return [_kept(item) for item in value]
        case dict():
            return {_kept(key): _kept(item) for key, item in value.items()}
        case _:
            return value


def _check(text: str) -> None:
    """Refuse what would grow when it is read: references, deep nesting, endless small parts."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise BadInput("References (&, *) are not taken here.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            raise BadInput("The configuration is too large.")
