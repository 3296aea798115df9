"""A quick look whether a file still parses, so that a slip is seen at once and not three turns later."""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Callable
from xml.parsers import expat

import yaml

from apps.agents.codemap_trees import language_of, tree_error

MAX_CHECKED = 400_000

_Yaml = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def syntax_finding(name: str, text: str) -> str:
    """What keeps the file `name` from parsing, or "" if it parses or nothing here can tell."""
    if len(text) > MAX_CHECKED:
        return ""
    if language_of(name):
        return tree_error(name, text)
    check = _CHECKS.get(name.rpartition(".")[2].lower()) if "." in name else None
    if check is None:
        return ""
    try:
        check(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        return f"{where}{error.problem}"
    except expat.ExpatError as error:
        return f"line {error.lineno}: {expat.ErrorString(error.code)}"
    except (
        ValueError,
        yaml.YAMLError,
    ) as error:  # JSON's and TOML's errors are ValueErrors that tell the line
        return str(error)
    except (RecursionError, MemoryError):
        return "it is nested too deeply to be checked"
    return ""


def _python(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        compile(text, "file", "exec", dont_inherit=True)


def _yaml(text: str) -> None:
    # Events only: tags of any kind pass, and aliases are not followed.
    for _ in yaml.parse(text, Loader=_Yaml):
        pass


def _xml(text: str) -> None:
    # No handlers: nothing is loaded from elsewhere, and expat itself bounds how far entities expand.
    expat.ParserCreate().Parse(text.encode("utf-8", "replace"), True)


_CHECKS: dict[str, Callable[[str], object]] = {
    "py": _python,
    "pyi": _python,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": _yaml,
    "yml": _yaml,
    "xml": _xml,
    "svg": _xml,
}
